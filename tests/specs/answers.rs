//! What a running server answers, against what the OpenAPI document says of the address, the method and the status.

use serde_json::Value;

use crate::document::Document;
use crate::harness::Server;
use crate::harness::http::{Answer, Wire};

/// Fields that any answer may have, and the document says so once for all.
const GENERAL: [&str; 4] = ["Date", "Connection", "Content-Type", "Content-Length"];

/// What HTTP refuses whatever is asked for: these alone are described by their class.
const BY_HTTP: [u16; 7] = [408, 413, 414, 417, 431, 501, 505];

const HANDSHAKE: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
const BAD_HANDSHAKE: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                             Sec-WebSocket-Key: short\r\n";
const FOREIGN: &str = "Origin: http://evil.example\r\n";

/// A server and the description that it is held against.
struct Scene {
    server: Server,
    document: Document,
}

impl Scene {
    fn start(flags: &[&str]) -> Self {
        let flags = [&["--workers", "1"], flags].concat();
        Self { server: Server::start(&flags), document: Document::openapi() }
    }

    /// Sends a request, given as `METHOD target`; its answer has this status and is as it is described.
    #[track_caller]
    fn check(&self, request: &str, fields: &str, body: &str, status: u16) {
        let (method, target) = request.split_once(' ').expect("a method and a target");
        let length =
            if body.is_empty() { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
        let mut wire = Wire::connect(&self.server);
        wire.send(format!("{request} HTTP/1.1\r\nHost: geoloop\r\n{fields}{length}\r\n{body}"));
        let mut answer = wire.head();
        if let Some(length) = answer.header("Content-Length").filter(|_| method != "HEAD") {
            answer.body = wire.take(length.parse().expect("a length is a number"));
        }
        assert_eq!(answer.status, status, "{request}: {answer:?}");
        let path = target.split('?').next().expect("split gives one part at least");
        let answers =
            &self.document.root()["paths"][self.template(path)][method.to_ascii_lowercase()]["responses"];
        let of_class = format!("{}XX", status / 100);
        let described = answers.get(status.to_string());
        let described = described.or_else(|| answers.get(&of_class).filter(|_| BY_HTTP.contains(&status)));
        let described = described.unwrap_or_else(|| panic!("{request}: {status} is not described"));
        self.check_fields(request, self.document.follow(described), &answer);
        self.check_content(request, self.document.follow(described), &answer, method == "HEAD");
    }

    /// The path as the document spells it.
    #[track_caller]
    fn template(&self, path: &str) -> &str {
        let fits = |template: &str| {
            let mut pairs = template.split('/').zip(path.split('/'));
            template.split('/').count() == path.split('/').count()
                && pairs.all(|(wanted, given)| wanted == "{group}" || wanted == given)
        };
        let mut templates = self.document.members("/paths").map(|(template, _)| template);
        // Literal paths win over those with a group.
        let literal = templates.find(|template| *template == path);
        let mut others = self.document.members("/paths").map(|(template, _)| template);
        literal.or_else(|| others.find(|template| fits(template))).expect("the path is described")
    }

    #[track_caller]
    fn check_fields(&self, request: &str, described: &Value, answer: &Answer) {
        let fields = described.get("headers").and_then(Value::as_object);
        for (name, field) in fields.into_iter().flatten() {
            let field = self.document.follow(field);
            let schema = self.document.follow(&field["schema"]);
            match answer.header(name) {
                Some(value) if schema["type"] == "integer" => {
                    self.document.check(schema, &value.parse::<u64>().expect("a number").into());
                }
                Some(value) => self.document.check(schema, &value.into()),
                None => assert_ne!(field["required"], true, "{request}: no {name} in {answer:?}"),
            }
        }
        for (name, _) in &answer.headers {
            let is_described = fields.is_some_and(|fields| fields.keys().any(|field| field == name));
            assert!(is_described || GENERAL.contains(&name.as_str()), "{request}: {name} is not described");
        }
    }

    #[track_caller]
    fn check_content(&self, request: &str, described: &Value, answer: &Answer, head_only: bool) {
        let kind = answer.header("Content-Type");
        let Some(contents) = described.get("content") else {
            assert!(answer.body.is_empty(), "{request}: content is not described: {}", answer.text());
            return assert!(head_only || kind.is_none(), "{request}: {kind:?} of nothing");
        };
        let content = contents.get(kind.unwrap_or_default());
        let content = content.unwrap_or_else(|| panic!("{request}: {kind:?} is not described"));
        match kind.unwrap_or_default() {
            // The head of a stream alone was read.
            "text/event-stream" if answer.body.is_empty() => {}
            "text/event-stream" => self.document.check(&content["schema"], &event(&answer.text())),
            kind if kind.ends_with("json") => self.document.check(&content["schema"], &answer.json()),
            _ => self.document.check(&content["schema"], &answer.text().into()),
        }
    }
}

/// The fields of the one event that a text is.
fn event(text: &str) -> Value {
    let fields = text.lines().filter_map(|line| line.split_once(": "));
    fields.map(|(name, value)| (name.to_owned(), Value::from(value))).collect()
}

#[test]
fn polls_are_answered_as_described() {
    let scene = Scene::start(&[]);
    scene.check("GET /location/cur/3", "", "", 200);
    scene.check("HEAD /location/cur/3", "", "", 200);
    scene.check("GET /location/group/3", "", "", 200);
    scene.check("POST /location/share/3", "", r#"{"member":"alice","x":1,"y":2.5}"#, 200);
    for method in ["GET", "HEAD"] {
        scene.check(&format!("{method} /location/cur/3"), "", "", 200);
        scene.check(&format!("{method} /cur/3"), "If-None-Match: *\r\n", "", 304);
        scene.check(&format!("{method} /cur/x"), "", "", 400);
        scene.check(&format!("{method} /location/group/3"), "", "", 200);
        scene.check(&format!("{method} /location/group/"), "", "", 400);
        scene.check(&format!("{method} /location/long/3?since=0"), "", "", 200);
        scene.check(&format!("{method} /location/long/3?timeout=60001"), "", "", 400);
    }
    scene.check("GET /location/long/3?timeout=0&member=bob", "", "", 204);
    scene.check("POST /location/long/3/notify", "", r#"{"member":"alice","left":true}"#, 200);
    scene.check("GET /location/long/3?since=1", "", "", 200);
    for method in ["GET", "HEAD"] {
        scene.check(&format!("{method} /location/cur/3"), "", "", 204);
    }
    scene.server.stop();
}

#[test]
fn publishes_are_answered_as_described() {
    let scene = Scene::start(&[]);
    for target in
        ["/location/cur/3", "/cur/3", "/location/share/3", "/location/long/3/notify", "/location/sse/share"]
    {
        let request = format!("POST {target}");
        scene.check(&request, "", r#"{"x":1,"y":2}"#, 200);
        scene.check(&request, "", r#"{"member":"alice","x":1,"y":2,"at":2000}"#, 200);
        scene.check(&request, "", r#"{"member":"alice","x":1,"y":2,"at":1000}"#, 409);
        scene.check(&request, "", r#"{"member":"bob","left":true}"#, 204);
        scene.check(&request, "", r#"{"x":1}"#, 400);
        scene.check(&request, "", "", 200);
        scene.check(&request, FOREIGN, "", 403);
        scene.check(&request, "", &" ".repeat(16 * 1024 + 1), 413);
        scene.check(&request, "Transfer-Encoding: gzip, chunked\r\n", "", 501);
        scene.check(&request, "Expect: more\r\n", "", 417);
    }
    scene.check("POST /location/sse/share?group=x", "", "", 400);
    scene.server.stop();
}

#[test]
fn streams_and_upgrades_are_answered_as_described() {
    let scene = Scene::start(&["--echo"]);
    for method in ["GET", "HEAD"] {
        scene.check(&format!("{method} /location/sse/3?member=alice"), "", "", 200);
        scene.check(&format!("{method} /location/sse/3?member="), "", "", 400);
        scene.check(&format!("{method} /location/sse/connect"), "", "", 200);
        scene.check(&format!("{method} /location/sse/connect"), "Sec-Fetch-Site: cross-site\r\n", "", 403);
        for target in ["/ws", "/ws/3", "/location", "/echo"] {
            scene.check(&format!("{method} {target}"), "", "", 426);
            scene.check(&format!("{method} {target}"), FOREIGN, "", 403);
        }
        scene.check(&format!("{method} /ws/3?since=x"), HANDSHAKE, "", 400);
    }
    for target in ["/ws", "/ws/3", "/location", "/echo"] {
        scene.check(&format!("GET {target}"), HANDSHAKE, "", 101);
        scene.check(&format!("GET {target}"), BAD_HANDSHAKE, "", 400);
    }
    let offers = format!("{HANDSHAKE}Sec-WebSocket-Protocol: v10.stomp, v12.stomp\r\n");
    scene.check("GET /location", &offers, "", 101);
}

#[test]
fn what_is_for_operators_is_answered_as_described() {
    let scene = Scene::start(&[]);
    for target in
        ["/metrics", "/actuator/prometheus", "/healthz", "/readyz", "/", "/openapi.json", "/asyncapi.json"]
    {
        scene.check(&format!("GET {target}"), "", "", 200);
        scene.check(&format!("HEAD {target}"), "", "", 200);
    }
    scene.check("GET /echo", HANDSHAKE, "", 404);
    scene.check("HEAD /echo", "", "", 404);
    let paths: Vec<_> =
        scene.document.members("/paths").map(|(path, _)| path.replace("{group}", "3")).collect();
    for path in paths {
        scene.check(&format!("OPTIONS {path}"), "", "", 204);
    }
    scene.check("OPTIONS /ws/x", "", "", 400);
    scene.server.stop();
}

#[test]
fn a_server_that_makes_nothing_up_and_is_full_answers_as_described() {
    let scene = Scene::start(&["--no-simulate", "--max-groups", "1"]);
    scene.check("GET /location/cur/1", "", "", 204);
    scene.check("GET /location/sse/connect", "", "", 204);
    scene.check("POST /location/share/1", "", "", 400);
    scene.check("POST /location/share/1", "", r#"{"x":1,"y":2}"#, 200);
    scene.check("POST /location/share/2", "", r#"{"x":1,"y":2}"#, 503);
    scene.check("GET /location/long/2", "", "", 503);
    scene.check("GET /ws/2", HANDSHAKE, "", 503);
    scene.check("GET /location/sse/2", "", "", 200);
    scene.server.stop();
}

#[test]
fn documents_are_served_as_they_are_and_counted() {
    let server = Server::start(&[]);
    for (target, text) in [
        ("/openapi.json", include_str!("../../src/specs/openapi.json")),
        ("/asyncapi.json", include_str!("../../src/specs/asyncapi.json")),
    ] {
        let answer = server.get(target).expect_status(200);
        assert_eq!(answer.header("Content-Type"), Some("application/json"));
        assert!(answer.text() == text, "{target} is not the document");
    }
    let counted = server.scrape().sum("geoloop_requests_total", &[("endpoint", "specs"), ("status", "2xx")]);
    assert_eq!(counted, 2.0);
    server.stop();
}
