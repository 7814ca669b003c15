//! What a STOMP connection may hold, over real sockets: at each limit, and an ERROR one past it.

mod harness;

use harness::Server;
use harness::stomp::Stomp;
use tungstenite::Message;

const BODY: &str = r#"{"member":"alice","x":1,"y":2}"#;

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

#[test]
fn client_that_never_connects_is_closed() {
    let server = Server::start(&["--connect-timeout", "300ms"]);
    let mut stomp = Stomp::open(&server);
    while !matches!(stomp.socket.message(), Message::Close(_)) {}
    stomp.socket.expect_end();
    assert_eq!(server.scrape().sum("geoloop_refused_total", &[("reason", "connect_timeout")]), 1.0);
}
