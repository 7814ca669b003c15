//! The codecs: what bytes a second each reads or writes.

mod in_memory;
mod timing;

use std::hint::black_box;

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use geoloop::wire::Parsed;
use geoloop::wire::http::request;
use geoloop::wire::json::{self, PublishBody};
use geoloop::wire::sse;
use geoloop::wire::stomp::Version;
use geoloop::wire::stomp::encode::{self, MessageHead};
use geoloop::wire::stomp::field::AckMode;
use geoloop::wire::stomp::frame::{self as stomp_frame, Scan};
use geoloop::wire::websocket::frame::{self, Side};
use geoloop::wire::websocket::handshake;
use geoloop::wire::websocket::mask;
use geoloop::wire::websocket::message::{Bounds, Messages, Progress};

use crate::in_memory::words::{self, SUBSCRIPTION, update};
use crate::in_memory::{NOW, frame_limits, head_limits};

/// Payloads from a control frame's to the largest that a length of 16 bits tells.
const PAYLOADS: [usize; 5] = [16, 125, 1024, 16 * 1024, 64 * 1024 - 1];

/// One reader of bytes, in bytes a second; all that it makes of them is made.
fn reads<'a, T>(
    group: &mut BenchmarkGroup<'_, WallTime>,
    name: &str,
    bytes: &'a [u8],
    read: impl Fn(&'a [u8]) -> T,
) {
    group.throughput(Throughput::Bytes(bytes.len() as u64));
    group.bench_function(name, |bencher| bencher.iter(|| read(black_box(bytes))));
}

/// The same of one that finds a whole item in them, or it would be another thing that is timed.
fn reads_whole<'a, T, E>(
    group: &mut BenchmarkGroup<'_, WallTime>,
    name: &str,
    bytes: &'a [u8],
    read: impl Fn(&'a [u8]) -> Result<Parsed<T>, E>,
) {
    let is_whole = matches!(read(bytes), Ok(Parsed::Complete { used, .. }) if used == bytes.len());
    assert!(is_whole, "{name}: {}", bytes.escape_ascii());
    reads(group, name, bytes, read);
}

/// One writer of bytes, in bytes a second.
fn writes(group: &mut BenchmarkGroup<'_, WallTime>, name: &str, write: impl Fn(&mut Vec<u8>)) {
    let mut out = Vec::new();
    write(&mut out);
    group.throughput(Throughput::Bytes(out.len() as u64));
    group.bench_function(name, |bencher| {
        bencher.iter(|| {
            out.clear();
            write(black_box(&mut out));
        });
    });
}

fn http(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("http");
    let limits = head_limits();
    let heads = [
        ("head of a short poll", words::poll()),
        ("head of a browser", words::browser()),
        ("head of an upgrade", words::upgrade("/ws/3")),
    ];
    for (name, head) in &heads {
        reads_whole(&mut group, name, head, |head| request::decode(head, 0, &limits));
    }
    group.finish();
}

fn websocket(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("websocket");
    for length in PAYLOADS {
        let message = words::text(&vec![b'a'; length]);
        group.throughput(Throughput::Bytes(message.len() as u64));
        group.bench_function(BenchmarkId::new("decode and unmask", length), |bencher| {
            let bounds = Bounds { message_bytes_max: length, fragments_max: None };
            // It is unmasked where it lies, so every other time it is the masked text that comes out: ASCII too.
            let mut input = message.clone();
            let decoded = Messages::new(Side::Client).decode(&mut input, bounds);
            assert!(matches!(decoded, Ok(Progress { used, item: Some(_) }) if used == message.len()));
            bencher.iter(|| {
                let mut messages = Messages::new(Side::Client);
                black_box(&messages.decode(black_box(&mut input), bounds));
            });
        });
        group.throughput(Throughput::Bytes(length as u64));
        group.bench_function(BenchmarkId::new("mask", length), |bencher| {
            let mut payload = vec![b'a'; length];
            bencher.iter(|| mask::apply(black_box([1, 2, 3, 4]), 0, black_box(&mut payload)));
        });
    }
    // Two bytes and the mask: it looks no further.
    let head = &words::text(&[b'a'; 125])[..6];
    reads_whole(&mut group, "frame head", head, |head| frame::decode(head, Side::Client));
    reads(&mut group, "accept key", b"dGhlIHNhbXBsZSBub25jZQ==", handshake::accept_key);
    writes(&mut group, "handshake", |out| {
        handshake::encode_switching(out, b"dGhlIHNhbXBsZSBub25jZQ==", Some("v12.stomp"), &[]);
    });
    group.finish();
}

fn stomp(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("stomp");
    let limits = frame_limits();
    let frames =
        [("SEND", words::send_frame()), ("SUBSCRIBE", words::subscribe_frame(SUBSCRIPTION, AckMode::Auto))];
    for (name, frame) in &frames {
        reads_whole(&mut group, name, frame, |frame| {
            stomp_frame::decode(frame, Version::V12, limits, &mut Scan::default())
        });
    }
    let (seq, (_, json)) = (update().seq, words::rendered());
    writes(&mut group, "MESSAGE", |out| {
        MessageHead { subscription: Some(SUBSCRIPTION.as_bytes()), ordinal: 0, seq, ack: false }.encode(out);
        encode::encode_message_tail(out, words::group(), &json);
    });
    group.finish();
}

fn updates(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("json");
    let update = update();
    writes(&mut group, "update", |out| json::encode_update(out, &update, false));
    for (name, body) in [("publish", words::BODY), ("publish with a time", words::BODY_WITH_TIME)] {
        let decode = |body| json::decode_publish(body, NOW.unix);
        assert!(matches!(decode(body.as_bytes()), Ok(PublishBody::Publish(_))), "{body}");
        reads(&mut group, name, body.as_bytes(), decode);
    }
    let members = vec![update.clone(); 1000];
    writes(&mut group, "snapshot of 1,000", |out| {
        json::encode_snapshot(out, words::group(), update.seq, members.iter());
    });
    group.finish();
    let (_, json) = words::rendered();
    let mut group = criterion.benchmark_group("sse");
    writes(&mut group, "event", |out| sse::encode_event(out, Some(update.seq), &json));
    group.finish();
}

criterion_group! {
    name = benches;
    config = timing::brief();
    targets = http, websocket, stomp, updates
}
criterion_main!(benches);
