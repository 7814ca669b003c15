//! Every way to break STOMP, over real sockets: an ERROR that names the rule, then the end.

mod harness;

use harness::Server;
use harness::stomp::{Stomp, frame};
use tungstenite::Message;

const BODY: &str = r#"{"member":"alice","x":1,"y":2}"#;

/// Sends one frame, text as it is, on a connection that speaks STOMP 1.2 and checks that it is an ERROR.
#[track_caller]
fn check_error(text: &str) {
    let server = Server::start(&["--workers", "1"]);
    let mut stomp = Stomp::connect(&server);
    stomp.subscribe("s", 3);
    stomp.send_text(text);
    let message = stomp.expect_error();
    assert!(!message.is_empty(), "{text:?}");
    server.wait_until_connected("stomp", 0);
}

#[test]
fn frame_that_is_none_is_an_error() {
    check_error("HELLO\n\n\0");
    check_error("send\ndestination:/pub/share/3\n\n\0");
    check_error("SEND\nno colon\n\n\0");
    check_error("SEND\ndestination:/pub/share/3\nx:a\\tb\n\n\0");
    check_error("SEND\ndestination:/pub/share/3\nx:a\\\n\n\0");
    check_error("SEND\ndestination:/pub/share/3\ncontent-length:x\n\nabc\0");
    check_error("SEND\ndestination:/pub/share/3\ncontent-length:2\n\nabc\0");
    check_error("CONNECT\naccept-version:1.2\nhost:a\n\n\0");
    check_error("CONNECTED\nversion:1.2\n\n\0");
}

#[test]
fn frame_without_what_it_needs_is_an_error() {
    check_error("SEND\n\n\0");
    check_error("SUBSCRIBE\nid:t\n\n\0");
    check_error("SUBSCRIBE\ndestination:/sub/location/4\n\n\0");
    check_error("UNSUBSCRIBE\n\n\0");
    check_error("BEGIN\n\n\0");
    check_error("COMMIT\n\n\0");
    check_error("ACK\n\n\0");
}

#[test]
fn frame_that_names_what_is_none_is_an_error() {
    for destination in
        ["/pub/share/x", "/pub/share/-1", "/pub/share/", "/pub/other/3", "/pub/share/9223372036854775808"]
    {
        check_error(&frame("SEND", &[("destination", destination)], BODY));
    }
    check_error(&frame("SUBSCRIBE", &[("id", "t"), ("destination", "/queue/x")], ""));
    check_error(&frame("SUBSCRIBE", &[("id", "t"), ("destination", "/sub/location/x")], ""));
    check_error(&frame("SUBSCRIBE", &[("id", "s"), ("destination", "/sub/location/4")], ""));
    let subscribe = [("id", "t"), ("destination", "/sub/location/4")];
    check_error(&frame("SUBSCRIBE", &[&subscribe[..], &[("ack", "maybe")]].concat(), ""));
    check_error(&frame("SUBSCRIBE", &[&subscribe[..], &[("since", "x")]].concat(), ""));
    check_error(&frame("SEND", &[("destination", "/pub/share/3"), ("transaction", "none")], BODY));
    check_error(&frame("COMMIT", &[("transaction", "none")], ""));
    check_error(&frame("ABORT", &[("transaction", "none")], ""));
    let begin = frame("BEGIN", &[("transaction", "t")], "");
    check_error(&(begin.clone() + &begin));
}

#[test]
fn refused_publish_is_an_error() {
    for body in ["{", r#"{"x":1}"#, r#"{"x":1,"y":2,"member":""}"#] {
        check_error(&frame("SEND", &[("destination", "/pub/share/3")], body));
    }
}

#[test]
fn frame_past_a_limit_is_an_error() {
    check_error(&frame("SEND", &[("destination", "/pub/share/3")], &" ".repeat(16 * 1024)));
    let many: Vec<_> = (0..64).map(|_| ("x", "y")).collect();
    check_error(&frame("SEND", &[&[("destination", "/pub/share/3")][..], &many].concat(), BODY));
}

#[test]
fn frame_before_connect_is_an_error() {
    let server = Server::start(&[]);
    let mut stomp = Stomp::open(&server);
    stomp.send("SUBSCRIBE", &[("id", "s"), ("destination", "/sub/location/3")], "");
    stomp.expect_error();
}

#[test]
fn bad_member_on_connect_is_an_error() {
    let server = Server::start(&[]);
    let mut stomp = Stomp::open(&server);
    stomp.send("CONNECT", &[("accept-version", "1.2"), ("host", "a"), ("member", "")], "");
    stomp.expect_error();
}

#[test]
fn error_names_the_receipt_of_the_frame_at_fault() {
    let server = Server::start(&[]);
    let mut stomp = Stomp::connect(&server);
    stomp.send("SEND", &[("destination", "/pub/share/x"), ("receipt", "r-7")], BODY);
    let error = stomp.frame();
    assert_eq!((error.command.as_str(), error.header("receipt-id")), ("ERROR", Some("r-7")), "{error:?}");
    stomp.expect_end();
}

#[test]
fn subscriptions_at_the_limit_are_taken_and_one_more_is_an_error() {
    let server = Server::start(&["--max-subscriptions", "2"]);
    let mut stomp = Stomp::connect(&server);
    stomp.subscribe("a", 3);
    stomp.subscribe("b", 4);
    stomp.send("SUBSCRIBE", &[("id", "c"), ("destination", "/sub/location/5")], "");
    stomp.expect_error();
    assert_eq!(server.scrape().sum("geoloop_refused_total", &[("reason", "subscriptions_max")]), 1.0);
}

#[test]
fn transactions_at_the_limit_are_taken_and_one_more_is_an_error() {
    let server = Server::start(&[]);
    let mut stomp = Stomp::connect(&server);
    for transaction in 0..8 {
        stomp.send_for_receipt("BEGIN", &[("transaction", &transaction.to_string())], "");
    }
    stomp.send("BEGIN", &[("transaction", "8")], "");
    stomp.expect_error();
    assert_eq!(server.scrape().sum("geoloop_refused_total", &[("reason", "transactions_max")]), 1.0);
}

#[test]
fn transaction_past_64_kib_is_an_error() {
    let server = Server::start(&[]);
    let mut stomp = Stomp::connect(&server);
    let body = BODY.to_owned() + &" ".repeat(15 * 1024);
    let in_t = [("destination", "/pub/share/3"), ("transaction", "t")];
    stomp.send("BEGIN", &[("transaction", "t")], "");
    for _ in 0..4 {
        stomp.send_for_receipt("SEND", &in_t, &body);
    }
    stomp.send("SEND", &in_t, &body);
    stomp.expect_error();
    assert_eq!(server.scrape().sum("geoloop_publishes_total", &[]), 0.0);
}

// Connecting.

#[test]
fn no_common_version_is_an_error_that_names_ours() {
    let server = Server::start(&[]);
    let mut stomp = Stomp::open(&server);
    stomp.send("CONNECT", &[("accept-version", "2.0"), ("host", "a")], "");
    let error = stomp.frame();
    assert_eq!(error.command, "ERROR", "{error:?}");
    let versions = error.needed_header("version");
    for version in ["1.0", "1.1", "1.2"] {
        assert!(versions.contains(version), "{versions}");
    }
    stomp.expect_end();
}

#[test]
fn client_that_never_connects_is_closed() {
    let server = Server::start(&["--connect-timeout", "300ms"]);
    let mut stomp = Stomp::open(&server);
    while !matches!(stomp.socket.message(), Message::Close(_)) {}
    stomp.socket.expect_end();
    assert_eq!(server.scrape().sum("geoloop_refused_total", &[("reason", "connect_timeout")]), 1.0);
}
