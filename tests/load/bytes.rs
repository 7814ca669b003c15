//! The bytes that the tool tells are those that passed on its connections.

use std::sync::atomic::AtomicBool;

use geoloop::ids::Transport;
use geoloop::study::measure::Bench;

use crate::harness::Server;
use crate::harness::metrics::Scrape;
use crate::proxy::{Bytes, Look, Proxy};
use crate::tool::Tool;
use crate::{TRANSPORTS, target};

/// What passed between two looks on each connection but those of the looks.
fn between(proxy: &Proxy, from: &Look, to: &Look) -> Vec<Bytes> {
    let numbers = (0..to.before.len()).filter(|number| !proxy.is_look(*number));
    let since = |number: usize| {
        let before = from.before.get(number).copied().unwrap_or_default();
        Bytes { up: to.before[number].up - before.up, down: to.before[number].down - before.down }
    };
    numbers.map(since).collect()
}

fn sum(bytes: &[Bytes]) -> Bytes {
    bytes
        .iter()
        .fold(Bytes::default(), |sum, each| Bytes { up: sum.up + each.up, down: sum.down + each.down })
}

/// What the server counted between two looks, but for what the looks themselves took.
fn counted(proxy: &Proxy, from: &Look, to: &Look) -> Bytes {
    let scrapes = [from, to].map(|look| Scrape::parse(&proxy.scrape(look)));
    let grown = |direction| {
        let [before, after] =
            scrapes.each_ref().map(|it| it.sum("geoloop_wire_bytes_total", &[("direction", direction)]));
        (after - before) as u64
    };
    let all = proxy.bytes();
    // A scrape holds its own request and the answer to the one before.
    Bytes { up: grown("received") - all[to.number].up, down: grown("sent") - all[from.number].down }
}

#[track_caller]
fn check(transport: Transport) {
    let server = Server::start(&["--workers", "1"]);
    let proxy = Proxy::start(server.address());
    let interrupted = AtomicBool::new(false);
    let mut bench = Bench { interrupted: &interrupted, seed: 3 };
    let target = target(proxy.address(), proxy.address());
    let (wire, flow) = bench.wire(&target, transport).expect("the exchange can be made");
    let figures = &flow.figures;
    assert_eq!(figures.failures.total(), 0, "{transport:?}: {:?}", figures.failures);
    let looks = proxy.looks();
    let [_, from, to] = looks.as_slice() else { panic!("{} looks", looks.len()) };
    let passed = between(&proxy, from, to);
    let [subscriber, publisher] = passed.as_slice() else { panic!("{passed:?}") };

    let (delivered, published) = (figures.delivered as f64, figures.published as f64);
    assert_eq!(figures.published, 20, "{transport:?}");
    let rounded = |each: f64, count: f64| (each * count).round() as u64;
    // A publisher over WebSocket is told of its updates as everyone else is, and counted with the subscriber.
    let (heard, answers) = match transport {
        Transport::WebSocket => (subscriber.down + publisher.down, 0),
        _ => (subscriber.down, publisher.down),
    };
    assert_eq!(rounded(wire.down_payload + wire.down_overhead, delivered), heard, "{transport:?}: {wire:?}");
    assert_eq!(rounded(wire.up, delivered), subscriber.up, "{transport:?}: {wire:?}");
    assert_eq!(rounded(wire.publish_up, published), publisher.up, "{transport:?}: {wire:?}");
    assert_eq!(rounded(wire.publish_down, published), answers, "{transport:?}: {wire:?}");
    assert_eq!(sum(&passed), Bytes { up: figures.data_sent, down: figures.data_received }, "{transport:?}");
    assert_eq!(sum(&passed), counted(&proxy, from, to), "{transport:?}: the proxy and the server");

    assert_eq!(figures.unchanged, 0, "{transport:?}: each poll brings the newest of five");
    let told = wire.down_payload + wire.down_overhead;
    assert!((told - wire.down_computed).abs() < 1e-6, "{transport:?}: {wire:?}");
    let asks = !matches!(transport, Transport::Sse | Transport::WebSocket | Transport::Stomp);
    let up = if asks { wire.up_computed } else { 0.0 };
    assert!((wire.up - up).abs() < 1e-6, "{transport:?}: {wire:?}");
    server.stop();
}

#[test]
fn short_poll_takes_the_bytes_that_it_is_said_to_take() {
    check(Transport::ShortPoll);
}

#[test]
fn long_poll_takes_the_bytes_that_it_is_said_to_take() {
    check(Transport::LongPoll);
}

#[test]
fn event_stream_takes_the_bytes_that_it_is_said_to_take() {
    check(Transport::Sse);
}

#[test]
fn websocket_takes_the_bytes_that_it_is_said_to_take() {
    check(Transport::WebSocket);
}

#[test]
fn stomp_takes_the_bytes_that_it_is_said_to_take() {
    check(Transport::Stomp);
}

#[test]
fn report_holds_the_bytes_that_passed() {
    let server = Server::start(&[]);
    for transport in TRANSPORTS {
        let proxy = Proxy::start(server.address());
        let flags = "--scenario fanout --users 3 --groups 2 --rate 50 --warm-up 50ms --duration 210ms --interval 50ms";
        let run = Tool::start(proxy.address(), transport.label(), flags).finish();
        assert_eq!(run.exit.code, Some(0), "{transport:?}: {:?}", run.exit);
        let report = run.json();
        let looks = proxy.looks();
        let [_, from, to] = looks.as_slice() else { panic!("{} looks", looks.len()) };
        let passed = sum(&between(&proxy, from, to));
        let figures = &report["figures"];
        assert_eq!(
            (&figures["data_sent"], &figures["data_received"]),
            (&passed.up.into(), &passed.down.into())
        );
        let total = |direction: &str| {
            let counts = report["server"]["counts"][direction].as_object().expect("the server is looked at");
            counts.values().filter_map(serde_json::Value::as_u64).sum::<u64>()
        };
        assert_eq!((total("wire_received"), total("wire_sent")), (passed.up, passed.down), "{transport:?}");
    }
    server.stop();
}
