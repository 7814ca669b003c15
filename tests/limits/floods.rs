//! Clients that ask and ask and do not read: they are read no further, nothing is kept for them beyond a queue, others are
//! served, and once they read they get every answer that they are owed.

use std::io::{ErrorKind, Write};
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use crate::harness::http::{Wire, get};
use crate::harness::stomp;
use crate::harness::websocket::{PING, PONG, TEXT, frame, take_frame};
use crate::harness::{PATIENCE, Server};
use crate::{Scene, slow_websocket};

/// What a client tries to send: many times what the kernel keeps for a connection that nobody reads.
const FLOOD_BYTES: usize = 8 << 20;

/// What the server may grow by meanwhile. It keeps 64 KiB for the flooder, and has others to serve.
const GROWTH_BYTES: f64 = 3e6;

/// Writes until the server has taken nothing for a while; how much it took.
#[track_caller]
fn write_until_stuck(mut stream: &TcpStream, bytes: &[u8]) -> usize {
    stream.set_write_timeout(Some(Duration::from_millis(500))).expect("a deadline above zero");
    let mut written = 0;
    while written < bytes.len() {
        match stream.write(&bytes[written..]) {
            Ok(taken) => written += taken,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => break,
            Err(error) => panic!("{error} after {written} bytes"),
        }
    }
    stream.set_write_timeout(Some(PATIENCE)).expect("a deadline above zero");
    written
}

fn resident_bytes(server: &Server) -> f64 {
    server.scrape().sum("process_resident_memory_bytes", &[])
}

/// Floods the server with the items of `make`, each answered by what `answered` reads.
#[track_caller]
fn check_flood(
    transport: &str,
    mut wire: Wire,
    scene: &mut Scene,
    make: impl Fn(usize) -> Vec<u8>,
    answered: impl Fn(&mut Wire, usize),
) {
    let mut flood = Vec::new();
    let mut count = 0;
    while flood.len() < FLOOD_BYTES {
        flood.extend(make(count));
        count += 1;
    }
    scene.check(&[]);
    let before = resident_bytes(&scene.server);
    let written = write_until_stuck(wire.stream(), &flood);
    assert!(written < flood.len(), "a client that does not read is read no further");
    // Others are served all the while.
    for x in 0..100 {
        scene.server.publish(4, "bob", x, 0);
    }
    let scrape = scene.server.scrape();
    let grown = resident_bytes(&scene.server) - before;
    assert!(grown < GROWTH_BYTES, "{grown} bytes for {written} written");
    let queued = scrape.sum("geoloop_queue_bytes", &[("transport", transport)]);
    assert!(queued > 0.0 && queued < 2.0 * 65_536.0, "{queued} bytes wait to be written");
    let received =
        scrape.sum("geoloop_wire_bytes_total", &[("transport", transport), ("direction", "received")]);
    assert!(received < written as f64, "{received} bytes of {written} were read");
    // Once it reads, it gets whatever it asked for.
    let mut writer = wire.stream().try_clone().expect("a descriptor is free");
    thread::scope(|scope| {
        scope.spawn(move || writer.write_all(&flood[written..]).expect("the rest is taken in time"));
        for index in 0..count {
            answered(&mut wire, index);
        }
    });
    scene.check(&[]);
}

/// The payload of the next frame of a WebSocket, which must begin with this byte; pings are passed over.
#[track_caller]
fn payload(wire: &mut Wire, first: u8) -> Vec<u8> {
    let (begins, payload) = take_frame(wire);
    assert_eq!(begins, first, "{:?}", String::from_utf8_lossy(&payload));
    payload
}

#[test]
fn flood_of_pings_is_read_no_further_than_its_pongs_are() {
    let mut scene = Scene::open(&[]);
    let wire = slow_websocket(&scene.server, "/ws/3");
    let ping = |index: usize| format!("{index:0125}").into_bytes();
    check_flood(
        "websocket",
        wire,
        &mut scene,
        |index| frame(PING, &ping(index)),
        |wire, index| assert_eq!(payload(wire, PONG), ping(index)),
    );
}

#[test]
fn flood_of_requests_is_read_no_further_than_its_answers_are() {
    let mut scene = Scene::open(&[]);
    let published = scene.server.publish(3, "alice", 1, 2);
    let padding = format!("X: {}\r\n\r\n", "a".repeat(400));
    let request = get("/location/cur/3").replace("\r\n\r\n", &format!("\r\n{padding}"));
    let wire = Wire::over(scene.server.connect_to_read_slowly());
    check_flood(
        "short_poll",
        wire,
        &mut scene,
        |_| request.clone().into_bytes(),
        |wire, _| assert_eq!(wire.answer().expect_status(200).text(), published.text),
    );
}

/// STOMP on its own worker's group and on another's, where each SEND is answered by mail.
#[track_caller]
fn check_flood_of_receipts(group: u64) {
    let mut scene = Scene::open(&[]);
    let mut wire = slow_websocket(&scene.server, "/location");
    let connect = stomp::frame("CONNECT", &[("accept-version", "1.2"), ("host", "a")], "");
    let subscribe = [("id", "s"), ("destination", "/sub/location/8"), ("receipt", "subscribed")];
    let begin = connect + &stomp::frame("SUBSCRIBE", &subscribe, "");
    wire.send(frame(TEXT, begin.as_bytes()));
    assert!(payload(&mut wire, TEXT).starts_with(b"CONNECTED"));
    assert!(payload(&mut wire, TEXT).starts_with(b"RECEIPT"));
    let destination = format!("/pub/share/{group}");
    let body = crate::publish_of(500);
    let send = |index: usize| {
        let headers = [("destination", destination.as_str()), ("receipt", &index.to_string())];
        frame(TEXT, stomp::frame("SEND", &headers, &body).as_bytes())
    };
    check_flood("stomp", wire, &mut scene, send, |wire, index| {
        let receipt = String::from_utf8(payload(wire, TEXT)).expect("a receipt is UTF-8");
        assert!(receipt.contains(&format!("receipt-id:{index}\n")), "{receipt} is not the receipt {index}");
    });
}

#[test]
fn flood_of_frames_with_receipts_is_read_no_further_than_its_receipts_are() {
    check_flood_of_receipts(6);
    check_flood_of_receipts(7);
}
