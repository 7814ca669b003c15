//! The codecs: what bytes a second each reads or writes.

mod in_memory;
mod timing;

use std::hint::black_box;

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use geoloop::limits::Limits;
use geoloop::wire::http::request::{self, HeadLimits};
use geoloop::wire::json;
use geoloop::wire::sse;
use geoloop::wire::stomp::Version;
use geoloop::wire::stomp::encode::{self, MessageHead};
use geoloop::wire::stomp::field::AckMode;
use geoloop::wire::stomp::frame::{self as stomp_frame, FrameLimits, Scan};
use geoloop::wire::websocket::frame::{self, Side};
use geoloop::wire::websocket::handshake;
use geoloop::wire::websocket::mask;
use geoloop::wire::websocket::message::{Bounds, Messages};

use crate::in_memory::NOW;
use crate::in_memory::words::{self, SUBSCRIPTION, update};

/// Payloads from a control frame's to the largest that a length of 16 bits tells.
const PAYLOADS: [usize; 5] = [16, 125, 1024, 16 * 1024, 64 * 1024 - 1];

/// One reader of bytes, in bytes a second.
fn reads<T>(group: &mut BenchmarkGroup<'_, WallTime>, name: &str, bytes: &[u8], read: impl Fn(&[u8]) -> T) {
    group.throughput(Throughput::Bytes(bytes.len() as u64));
    group.bench_function(name, |bencher| bencher.iter(|| black_box(read(black_box(bytes)))));
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
    let limits = Limits::default();
    let limits =
        HeadLimits { head_bytes_max: limits.head_bytes_max, target_bytes_max: limits.target_bytes_max };
    let decode = |head: &[u8]| request::decode(head, 0, &limits).is_ok();
    reads(&mut group, "head of a short poll", &words::poll(), decode);
    reads(&mut group, "head of a browser", &words::browser(), decode);
    reads(&mut group, "head of an upgrade", &words::upgrade("/ws/3"), decode);
    group.finish();
}

fn websocket(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("websocket");
    for length in PAYLOADS {
        let message = words::text(&vec![b'a'; length]);
        group.throughput(Throughput::Bytes(message.len() as u64));
        group.bench_function(BenchmarkId::new("decode and unmask", length), |bencher| {
            let bounds = Bounds { message_bytes_max: length, fragments_max: None };
            // It is unmasked where it lies, so every other time it is the mask that comes out: ASCII too.
            let mut input = message.clone();
            bencher.iter(|| {
                let mut messages = Messages::new(Side::Client);
                black_box(messages.decode(black_box(&mut input), bounds).is_ok())
            });
        });
        group.throughput(Throughput::Bytes(length as u64));
        group.bench_function(BenchmarkId::new("mask", length), |bencher| {
            let mut payload = vec![b'a'; length];
            bencher.iter(|| mask::apply(black_box([1, 2, 3, 4]), 0, black_box(&mut payload)));
        });
    }
    reads(&mut group, "frame head", &words::text(&[b'a'; 125]), |bytes| {
        frame::decode(bytes, Side::Client).is_ok()
    });
    reads(&mut group, "accept key", b"dGhlIHNhbXBsZSBub25jZQ==", handshake::accept_key);
    writes(&mut group, "handshake", |out| {
        handshake::encode_switching(out, b"dGhlIHNhbXBsZSBub25jZQ==", Some("v12.stomp"), &[]);
    });
    group.finish();
}

fn stomp(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("stomp");
    let limits = Limits::default();
    let limits =
        FrameLimits { frame_bytes_max: limits.frame_bytes_max, headers_max: limits.frame_headers_max };
    let decode =
        |bytes: &[u8]| stomp_frame::decode(bytes, Version::V12, limits, &mut Scan::default()).is_ok();
    reads(&mut group, "SEND", &words::send_frame(), decode);
    reads(&mut group, "SUBSCRIBE", &words::subscribe_frame(SUBSCRIPTION, AckMode::Auto), decode);
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
    let decode = |body: &[u8]| json::decode_publish(body, NOW.unix);
    reads(&mut group, "publish", words::BODY.as_bytes(), decode);
    reads(&mut group, "publish with a time", words::BODY_WITH_TIME.as_bytes(), decode);
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
