//! What is refused for want of room, whatever it is that there is no room for: each way to ask for it, and how its
//! transport says no.

use tungstenite::Message;

use crate::harness::Server;
use crate::harness::http::{Answer, Wire};
use crate::harness::sse::EventStream;
use crate::harness::stomp::Stomp;
use crate::harness::websocket::Socket;
use crate::publish_of;

/// Asks for something in this group and checks that it is refused, in words that say this rule.
pub(crate) type Refused = fn(&Server, u64, &str);

/// Ways to publish to a group that there is no room for, or as a member that there is no room for.
pub(crate) const PUBLISHES: [Refused; 2] = [publish_over_http, publish_over_stomp];

/// Ways to subscribe to a group that there is no room for.
pub(crate) const SUBSCRIPTIONS: [Refused; 4] = [poll, stream, upgrade, subscribe];

/// Checks that an answer says 503, when to come back, and this rule.
#[track_caller]
fn check_unavailable(answer: &Answer, rule: &str) {
    let detail = answer.expect_problem(503);
    assert!(detail.contains(rule), "{detail:?} does not say {rule:?}");
    assert!(answer.needed_header("Retry-After").parse::<u64>().is_ok(), "{answer:?}");
}

/// Checks that an ERROR comes next, whose body says this rule, and then the end.
#[track_caller]
fn check_error(mut stomp: Stomp, rule: &str) {
    let error = stomp.frame();
    assert_eq!(error.command, "ERROR", "{error:?}");
    let body = String::from_utf8_lossy(&error.body);
    assert!(body.contains(rule), "{body:?} does not say {rule:?}");
    stomp.expect_end();
}

#[track_caller]
fn check_get(server: &Server, target: &str, rule: &str) {
    let mut wire = Wire::connect(server);
    wire.send_get(target);
    check_unavailable(&wire.answer(), rule);
    wire.expect_alive();
}

fn poll(server: &Server, group: u64, rule: &str) {
    check_get(server, &format!("/location/long/{group}"), rule);
}

/// All of a group's members, which take what there is no room for.
pub(crate) fn snapshot(server: &Server, group: u64, rule: &str) {
    check_get(server, &format!("/location/group/{group}"), rule);
}

fn publish_over_http(server: &Server, group: u64, rule: &str) {
    let mut wire = Wire::connect(server);
    wire.send_post(&format!("/location/share/{group}"), &publish_of(0));
    check_unavailable(&wire.answer(), rule);
    wire.expect_alive();
}

fn publish_over_stomp(server: &Server, group: u64, rule: &str) {
    let mut stomp = Stomp::connect(server);
    stomp.publish(group, &publish_of(0));
    check_error(stomp, rule);
}

/// A publish as a member that there is no room for, in a group that is there: the connection goes on.
pub(crate) fn publish_over_websocket(server: &Server, group: u64, rule: &str) {
    let mut socket = Socket::open(server, &format!("/ws/{group}"));
    socket.send(&publish_of(0));
    let detail = socket.expect_error();
    assert!(detail.contains(rule), "{detail:?} does not say {rule:?}");
    socket.send_message(Message::Ping("still here".into()));
    assert_eq!(socket.any_message(), Message::Pong("still here".into()));
}

/// An event source would give up on a 503, so it is told when to come back instead.
fn stream(server: &Server, group: u64, _: &str) {
    let mut wire = Wire::connect(server);
    wire.send_get(&format!("/location/sse/{group}"));
    EventStream::expect_refused(wire);
}

fn upgrade(server: &Server, group: u64, rule: &str) {
    let refusal = Socket::try_open(server.connect(), &format!("/ws/{group}"), &[]).err();
    check_unavailable(&refusal.expect("there is no room for the group"), rule);
}

fn subscribe(server: &Server, group: u64, rule: &str) {
    let mut stomp = Stomp::connect(server);
    // With a subscription it stays on a worker, which is another one's as often as not: the refusal comes by mail then.
    stomp.subscribe("home", crate::ELSEWHERE);
    stomp.send("SUBSCRIBE", &[("id", "s"), ("destination", &format!("/sub/location/{group}"))], "");
    check_error(stomp, rule);
}
