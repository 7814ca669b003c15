//! Instructions that each operation and each codec takes, counted by valgrind's callgrind: the same on every run of one
//! build.
//!
//! Needs valgrind, and `cargo install gungraun-runner` in the version that Cargo.lock has of gungraun; where either is
//! missing it says so and counts nothing. README's table is from here.

mod in_memory;

use std::process::{Command, Stdio};

/// What gungraun makes of the attributes is a program of its own.
mod counted {
    #![allow(unused_qualifications, reason = "the attributes write paths out")]

    use std::hint::black_box;

    use geoloop::ids::Transport;
    use geoloop::location::Update;
    use geoloop::wire::Parsed;
    use geoloop::wire::http::request::{self, HeadLimits};
    use geoloop::wire::json::{self, PublishBody, PublishError};
    use geoloop::wire::sse;
    use geoloop::wire::stomp::Version;
    use geoloop::wire::stomp::encode::{self, MessageHead};
    use geoloop::wire::stomp::field::AckMode;
    use geoloop::wire::stomp::frame::{self, FrameLimits, Scan};
    use geoloop::wire::websocket::frame::Side;
    use geoloop::wire::websocket::handshake;
    use geoloop::wire::websocket::message::{Bounds, Messages, Progress};
    use gungraun::{library_benchmark, library_benchmark_group, main};

    use crate::in_memory::operation::{Operation, Scene};
    use crate::in_memory::words::{self, SUBSCRIPTION};
    use crate::in_memory::{NOW, frame_limits, head_limits};

    #[library_benchmark]
    #[bench::short_poll(Scene::warm(Operation::ShortPoll))]
    #[bench::short_poll_anew(Scene::warm(Operation::ShortPollAnew))]
    #[bench::short_poll_304(Scene::warm(Operation::NotModified))]
    #[bench::publish_http(Scene::warm(Operation::Publish(Transport::Http)))]
    #[bench::publish_websocket(Scene::warm(Operation::Publish(Transport::WebSocket)))]
    #[bench::publish_stomp(Scene::warm(Operation::Publish(Transport::Stomp)))]
    #[bench::park_long_poll(Scene::warm(Operation::Park))]
    #[bench::deliver_long_poll(Scene::warm(Operation::Deliver(Transport::LongPoll)))]
    #[bench::deliver_sse(Scene::warm(Operation::Deliver(Transport::Sse)))]
    #[bench::deliver_websocket(Scene::warm(Operation::Deliver(Transport::WebSocket)))]
    #[bench::deliver_stomp(Scene::warm(Operation::Deliver(Transport::Stomp)))]
    #[bench::deliver_stomp_own_id(Scene::warm(Operation::DeliverOwnId))]
    #[bench::deliver_stomp_ack(Scene::warm(Operation::DeliverAcknowledged))]
    #[bench::acknowledge(Scene::warm(Operation::Acknowledge))]
    #[bench::connect_short_poll(Scene::warm(Operation::Connect(Transport::ShortPoll)))]
    #[bench::connect_long_poll(Scene::warm(Operation::Connect(Transport::LongPoll)))]
    #[bench::connect_sse(Scene::warm(Operation::Connect(Transport::Sse)))]
    #[bench::connect_websocket(Scene::warm(Operation::Connect(Transport::WebSocket)))]
    #[bench::connect_stomp(Scene::warm(Operation::Connect(Transport::Stomp)))]
    fn operation(mut scene: Box<Scene>) -> Box<Scene> {
        scene.run();
        scene
    }

    #[library_benchmark]
    #[bench::curl((words::poll(), head_limits()))]
    #[bench::browser((words::browser(), head_limits()))]
    #[bench::upgrade((words::upgrade("/ws/3"), head_limits()))]
    fn http_head((head, limits): (Vec<u8>, HeadLimits)) -> Vec<u8> {
        let decoded = request::decode(black_box(&head), 0, &limits);
        assert!(matches!(black_box(decoded), Ok(Parsed::Complete { .. })));
        head
    }

    #[library_benchmark]
    #[bench::bytes_16(words::text(&[b'a'; 16]))]
    #[bench::bytes_125(words::text(&[b'a'; 125]))]
    #[bench::bytes_1024(words::text(&[b'a'; 1024]))]
    #[bench::bytes_65535(words::text(&[b'a'; 65535]))]
    fn websocket_message(mut message: Vec<u8>) -> Vec<u8> {
        let bounds = Bounds { message_bytes_max: 65535, fragments_max: None };
        let mut messages = Messages::new(Side::Client);
        let decoded = messages.decode(black_box(&mut message), bounds);
        assert!(matches!(black_box(decoded), Ok(Progress { item: Some(_), .. })));
        message
    }

    #[library_benchmark]
    #[bench::key(b"dGhlIHNhbXBsZSBub25jZQ==")]
    fn accept_key(key: &[u8]) -> [u8; 28] {
        handshake::accept_key(black_box(key))
    }

    #[library_benchmark]
    #[bench::send((words::send_frame(), frame_limits()))]
    #[bench::subscribe((words::subscribe_frame(SUBSCRIPTION, AckMode::Auto), frame_limits()))]
    fn stomp_frame((frame, limits): (Vec<u8>, FrameLimits)) -> Vec<u8> {
        let mut scan = Scan::default();
        let decoded = frame::decode(black_box(&frame), Version::V12, limits, &mut scan);
        assert!(matches!(black_box(decoded), Ok(Parsed::Complete { .. })));
        frame
    }

    #[library_benchmark]
    #[bench::auto(words::rendered())]
    fn stomp_message((mut out, json): (Vec<u8>, Vec<u8>)) -> (Vec<u8>, Vec<u8>) {
        let id = SUBSCRIPTION.as_bytes();
        let head = MessageHead { subscription: Some(id), ordinal: 0, seq: words::update().seq, ack: false };
        head.encode(black_box(&mut out));
        encode::encode_message_tail(&mut out, words::group(), &json);
        (out, json)
    }

    #[library_benchmark]
    #[bench::update((words::update(), Vec::with_capacity(1024)))]
    fn json_update((update, mut out): (Update, Vec<u8>)) -> (Update, Vec<u8>) {
        json::encode_update(black_box(&mut out), &update, false);
        (update, out)
    }

    #[library_benchmark]
    #[bench::short(words::BODY)]
    #[bench::long(words::BODY_WITH_TIME)]
    fn json_publish(body: &str) -> Result<PublishBody, PublishError> {
        json::decode_publish(black_box(body.as_bytes()), NOW.unix)
    }

    #[library_benchmark]
    #[bench::update(words::rendered())]
    fn sse_event((mut out, json): (Vec<u8>, Vec<u8>)) -> (Vec<u8>, Vec<u8>) {
        sse::encode_event(black_box(&mut out), Some(words::update().seq), &json);
        (out, json)
    }

    library_benchmark_group!(name = operations, benchmarks = [operation]);
    library_benchmark_group!(
        name = codecs,
        benchmarks = [
            http_head,
            websocket_message,
            accept_key,
            stomp_frame,
            stomp_message,
            json_update,
            json_publish,
            sse_event
        ]
    );
    main!(library_benchmark_groups = [operations, codecs]);

    pub(crate) fn run() {
        main();
    }
}

/// The version that both gungraun and its runner are to have.
const GUNGRAUN: &str = "0.20.0";

fn main() {
    // The runner starts this program again, under valgrind, for each thing that is counted.
    let is_counted = std::env::args().nth(1).is_some_and(|arg| arg == "--gungraun-run");
    if !is_counted && let Some(missing) = missing() {
        println!("no instructions are counted: {missing}");
        return;
    }
    counted::run();
}

/// What is missing that it takes to count.
fn missing() -> Option<String> {
    if version_of("valgrind").is_none() {
        return Some("valgrind is not installed (Debian: apt-get install valgrind)".to_owned());
    }
    let install = format!("cargo install gungraun-runner@{GUNGRAUN} --locked");
    match version_of("gungraun-runner") {
        None => Some(format!("gungraun-runner is not installed ({install})")),
        Some(version) if !version.ends_with(GUNGRAUN) => {
            Some(format!("the runner is {version}, and has to be {GUNGRAUN} ({install})"))
        }
        Some(_) => None,
    }
}

/// What a program on the path says its version is.
fn version_of(program: &str) -> Option<String> {
    let output = Command::new(program).arg("--version").stderr(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
