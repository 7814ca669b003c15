//! What a running server says over WebSocket and STOMP, against the AsyncAPI document, and that document's names
//! against those of the protocols.

use std::collections::{BTreeMap, BTreeSet};

use geoloop::wire::stomp::Command;
use geoloop::wire::stomp::field::{LOCATION_PREFIX, SHARE_PREFIX};
use geoloop::wire::websocket::frame::CloseCode;
use serde_json::Value;

use crate::document::{Document, has_no_name_outside};
use crate::harness::Server;
use crate::harness::stomp::{Frame, Stomp};
use crate::harness::websocket::Socket;

/// The channels of a server of the document.
fn channels<'a>(document: &'a Document, server: &'a str) -> impl Iterator<Item = &'a Value> {
    let reference = format!("#/servers/{server}");
    let channels = document.members("/channels").map(|(_, channel)| channel);
    channels.filter(move |channel| channel["servers"][0]["$ref"] == reference)
}

#[test]
fn every_frame_of_stomp_is_described() {
    let document = Document::asyncapi();
    let messages = channels(&document, "stomp")
        .flat_map(|channel| channel["messages"].as_object().expect("a channel has messages").values());
    let names = messages.map(|message| document.follow(message)["name"].as_str().expect("a name"));
    let commands = Command::ALL.iter().map(|command| command.label());
    assert_eq!(
        names.collect::<BTreeSet<_>>(),
        commands.collect(),
        "the document (left) and the code (right)"
    );
}

#[test]
fn every_message_of_a_channel_has_its_operation() {
    let document = Document::asyncapi();
    let mut operated = BTreeSet::new();
    for (_, operation) in document.members("/operations") {
        let messages = operation["messages"].as_array().expect("an operation has messages");
        operated
            .extend(messages.iter().map(|message| message["$ref"].as_str().expect("a reference").to_owned()));
    }
    let mut there = BTreeSet::new();
    for (name, channel) in document.members("/channels") {
        let messages = channel["messages"].as_object().expect("a channel has messages");
        there.extend(messages.keys().map(|message| format!("#/channels/{name}/messages/{message}")));
    }
    assert_eq!(operated, there, "messages of operations (left) and of channels (right)");
}

#[test]
fn destinations_are_those_of_the_code() {
    let document = Document::asyncapi();
    let addresses = channels(&document, "stomp").filter_map(|channel| channel["address"].as_str());
    let spelled = [LOCATION_PREFIX, SHARE_PREFIX].map(|prefix| format!("{prefix}{{group}}"));
    assert_eq!(addresses.collect::<BTreeSet<_>>(), spelled.iter().map(String::as_str).collect());
}

#[test]
fn close_codes_are_those_of_the_code() {
    let document = Document::asyncapi();
    let told = document.at("/x-close-codes").as_array().expect("a list");
    let told = told.iter().map(|each| each["code"].as_u64().expect("a number"));
    let used = [
        CloseCode::NORMAL,
        CloseCode::PROTOCOL_ERROR,
        CloseCode::UNSUPPORTED,
        CloseCode::NOT_UTF8,
        CloseCode::POLICY,
        CloseCode::TOO_BIG,
        CloseCode::RESTART,
    ];
    assert_eq!(told.collect::<Vec<_>>(), used.map(|code| u64::from(code.number())));
}

#[test]
fn text_messages_are_as_described() {
    let document = Document::asyncapi();
    let payload = |name: &str| document.at(&format!("/components/messages/{name}/payload"));
    let parse = |text: &str| serde_json::from_str::<Value>(text).expect("JSON");
    let server = Server::start(&[]);
    let mut socket = Socket::open(&server, "/ws/3?member=alice");
    for publish in [r#"{"x":1,"y":2.5}"#, r#"{"left":true}"#] {
        document.check(payload("publish"), &parse(publish));
        socket.send(publish);
        document.check(payload("update"), &parse(&socket.text()));
    }
    for bad in [r#"{"x":1}"#, "hello"] {
        socket.send(bad);
        document.check(payload("refusal"), &parse(&socket.text()));
    }
    server.stop();
}

/// A frame has the headers that its message needs and no other, and the body that it is to have.
#[track_caller]
fn check_frame(document: &Document, frame: &Frame) {
    let mut messages = document.members("/components/messages").map(|(_, message)| message);
    let message = messages.find(|message| message["name"] == frame.command).expect("a frame of STOMP");
    let headers: BTreeMap<_, _> = frame.headers.iter().cloned().collect();
    let headers = serde_json::to_value(headers).expect("names and values");
    document.check(&message["headers"], &headers);
    assert!(has_no_name_outside(&headers, &message["headers"]["properties"]), "not described: {frame:?}");
    let Some(payload) = message.get("payload") else {
        return assert!(frame.body.is_empty(), "{frame:?}");
    };
    let body = String::from_utf8(frame.body.clone()).expect("text");
    let is_text = message.get("contentType").is_some_and(|kind| kind == "text/plain");
    let value = if is_text { body.into() } else { serde_json::from_str(&body).expect("JSON") };
    document.check(payload, &value);
}

#[test]
fn frames_of_stomp_are_as_described() {
    let document = Document::asyncapi();
    let server = Server::start(&[]);
    let mut stomp = Stomp::open(&server);
    check_frame(&document, &stomp.handshake(&[("member", "alice"), ("heart-beat", "0,0")]));
    stomp.subscribe("plain", 3);
    stomp.subscribe_with("acknowledged", 4, &[("ack", "client")]);
    for group in [3, 4] {
        stomp.publish(group, r#"{"x":1,"y":2}"#);
        check_frame(&document, &stomp.frame());
    }
    stomp.send("UNSUBSCRIBE", &[("id", "plain"), ("receipt", "77")], "");
    check_frame(&document, &stomp.frame());
    stomp.send("SEND", &[("destination", "/pub/share/3"), ("receipt", "78")], r#"{"x":1}"#);
    let error = stomp.frame();
    assert_eq!(error.command, "ERROR");
    check_frame(&document, &error);
    stomp.expect_end();

    let mut stomp = Stomp::open(&server);
    stomp.send("CONNECT", &[("accept-version", "9.9"), ("host", "geoloop")], "");
    let error = stomp.frame();
    assert!(error.header("version").is_some(), "{error:?}");
    check_frame(&document, &error);
    server.stop();
}
