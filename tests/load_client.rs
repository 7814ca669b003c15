//! The load tool's clients against the built server: every transport, with the bytes that really come.

mod harness;

use std::io::{Read, Write};
use std::net::TcpStream;

use geoloop::ids::GroupId;
use geoloop::load::client::{Client, ClientError, Heard, speak};
use geoloop::wire::http::client::{encode_request, encode_upgrade};
use geoloop::wire::stomp::Version;
use geoloop::wire::stomp::encode::encode_disconnect;
use geoloop::wire::websocket::frame::CloseCode;
use geoloop::wire::websocket::handshake;
use harness::{PATIENCE, Server};

const MASK: [u8; 4] = [7, 77, 177, 17];
const GROUP: u64 = 3;

/// One connection with a client on it.
struct User {
    stream: TcpStream,
    client: Client,
    /// What was heard and not asked for yet.
    heard: Vec<Told>,
}

/// What the tests ask for, owned.
#[derive(Clone, Debug, PartialEq)]
enum Told {
    Answer { status: u16, body: String, numbers: [Option<u64>; 2] },
    Opened,
    Connected(&'static str),
    Update(String, Option<(String, u64)>),
    Receipt(String),
    Retry,
    Refused(u16),
    Complaint(String),
    Closing(u16),
}

impl Told {
    fn of(heard: Heard<'_>) -> Self {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("it is text");
        match heard {
            Heard::Answer(answer) => Self::Answer {
                status: answer.status,
                body: text(answer.body),
                numbers: [answer.location_seq, answer.etag].map(|seq| seq.map(geoloop::ids::Seq::number)),
            },
            Heard::Opened => Self::Opened,
            Heard::Connected { version } => Self::Connected(version),
            Heard::Update { body, subscription, group } => {
                let address = subscription.zip(group).map(|(id, group)| (id.to_owned(), group.number()));
                Self::Update(text(body), address)
            }
            Heard::Receipt(id) => Self::Receipt(id.to_owned()),
            Heard::Retry { .. } => Self::Retry,
            Heard::Refused { status } => Self::Refused(status),
            Heard::Complaint(text) => Self::Complaint(text.to_owned()),
            Heard::Closing { code } => Self::Closing(code),
        }
    }
}

impl User {
    fn connect(server: &Server, client: Client, hello: impl FnOnce(&mut Vec<u8>, &str)) -> Self {
        let stream = TcpStream::connect(server.address()).expect("the server accepts");
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket takes a timeout");
        let mut user = Self { stream, client, heard: Vec::new() };
        user.say(|out| hello(out, &server.address().to_string()));
        user
    }

    fn requests(server: &Server) -> Self {
        Self::connect(server, Client::requests(), |_, _| {})
    }

    fn upgraded(server: &Server, target: &str, client: fn([u8; 24]) -> Client) -> Self {
        let key = handshake::encode_key(*b"sixteen bytes ok");
        let mut user =
            Self::connect(server, client(key), |out, host| encode_upgrade(out, target, host, &key, None));
        assert_eq!(user.next(), Told::Opened);
        user
    }

    fn say(&mut self, encode: impl FnOnce(&mut Vec<u8>)) {
        let mut out = Vec::new();
        encode(&mut out);
        self.stream.write_all(&out).expect("the server reads");
    }

    fn ask(&mut self, method: &str, target: &str, body: Option<&str>) -> Told {
        let body = body.map(str::as_bytes);
        self.say(|out| encode_request(out, method, target, "geo.example", &[], body));
        self.next()
    }

    /// Reads once; whether the connection goes on.
    fn read(&mut self) -> Result<bool, ClientError> {
        let Self { stream, client, heard } = self;
        // Small, so that much of what comes is cut in two.
        let mut buffer = [0; 50];
        let count = stream.read(&mut buffer).expect("something comes in time");
        let (mut unsent, mut hear) = (Vec::new(), |said: Heard<'_>| heard.push(Told::of(said)));
        if count == 0 {
            return client.handle_end(&mut hear).map(|()| false);
        }
        client.handle_received(&mut buffer[..count], MASK, &mut unsent, &mut hear)?;
        // The server may have gone behind its Close.
        drop(stream.write_all(&unsent));
        Ok(true)
    }

    #[track_caller]
    fn next(&mut self) -> Told {
        loop {
            if let Some(at) = self.heard.iter().position(|told| *told != Told::Retry) {
                return self.heard.drain(..=at).next_back().expect("it is there");
            }
            assert_eq!(self.read(), Ok(true));
        }
    }

    #[track_caller]
    fn end(&mut self) {
        while self.read().expect("nothing is cut short") {}
        assert!(self.heard.is_empty(), "{:?}", self.heard);
    }
}

#[test]
fn update_is_the_same_on_every_transport() {
    let server = Server::start(&["--workers", "1"]);
    let group = GroupId::new(GROUP).expect("a group");
    let mut events = User::connect(&server, Client::event_stream(), |out, host| {
        encode_request(out, "GET", "/location/sse/3", host, &[("Accept", "text/event-stream")], None);
    });
    assert_eq!(events.next(), Told::Opened);
    let mut texts = User::upgraded(&server, "/ws/3", Client::websocket);
    let mut frames = User::upgraded(&server, "/location", Client::stomp);
    frames.say(|out| {
        speak::encode_seed_connect(out, MASK);
        speak::encode_seed_subscribe(out, "id-1", group, MASK);
        speak::encode_seed_send(out, group, MASK);
    });
    assert_eq!(frames.next(), Told::Connected("1.1"));
    let mut polls = User::requests(&server);
    for round in 0..20 {
        let Told::Update(update, address) = frames.next() else { panic!("no update in round {round}") };
        assert_eq!(address, Some(("id-1".to_owned(), GROUP)));
        assert_eq!(events.next(), Told::Update(update.clone(), None));
        assert_eq!(texts.next(), Told::Update(update.clone(), None));
        let Told::Answer { status: 200, body, numbers: [None, Some(etag)] } =
            polls.ask("GET", "/location/cur/3", None)
        else {
            panic!("no answer in round {round}")
        };
        assert_eq!(body, update);
        assert!(update.starts_with(&format!("{{\"seq\":{etag},")), "{update}");
        let long = polls.ask("GET", &format!("/location/long/3?since={}", etag - 1), None);
        assert_eq!(long, Told::Answer { status: 200, body: update, numbers: [Some(etag), None] });
        if round % 2 == 0 {
            let publish = format!("{{\"member\":\"a{round}\",\"x\":{round},\"y\":-0.5}}");
            texts.say(|out| speak::encode_text(out, publish.as_bytes(), MASK));
        } else {
            let notified = polls.ask("POST", "/location/long/3/notify", None);
            assert!(matches!(notified, Told::Answer { status: 200, .. }), "{notified:?}");
        }
    }
    server.stop();
}

#[test]
fn refusals_complaints_and_goodbyes_are_heard() {
    let server = Server::start(&["--workers", "1"]);
    let mut refused = User::connect(&server, Client::event_stream(), |out, host| {
        encode_request(out, "GET", "/location/sse/x", host, &[], None);
    });
    assert_eq!(refused.next(), Told::Refused(400));
    let mut texts = User::upgraded(&server, "/ws/3", Client::websocket);
    texts.say(|out| speak::encode_text(out, b"{\"x\":1}", MASK));
    assert!(matches!(texts.next(), Told::Complaint(_)));
    let mut close = Vec::new();
    texts.client.close(CloseCode::NORMAL, MASK, &mut close);
    texts.say(|out| out.append(&mut close));
    assert_eq!(texts.next(), Told::Closing(1000));
    texts.end();
    let mut frames = User::upgraded(&server, "/location", Client::stomp);
    frames.say(|out| {
        speak::encode_seed_connect(out, MASK);
        speak::encode_in_text(out, MASK, |out| encode_disconnect(out, Version::V11, Some("bye")));
    });
    assert_eq!((frames.next(), frames.next()), (Told::Connected("1.1"), Told::Receipt("bye".to_owned())));
    let mut broken = User::upgraded(&server, "/location", Client::stomp);
    broken.say(|out| speak::encode_text(out, b"SEND\n\n\0", MASK));
    assert!(matches!(broken.next(), Told::Complaint(_)));
    assert!(matches!(broken.next(), Told::Closing(_)));
    broken.end();
    let mut polls = User::requests(&server);
    let unknown = polls.ask("GET", "/nowhere", None);
    assert!(matches!(unknown, Told::Answer { status: 404, .. }), "{unknown:?}");
    let once = polls.ask("GET", "/location/sse/connect", None);
    let Told::Answer { status: 200, body, .. } = once else { panic!("{once:?}") };
    assert!(body.starts_with("id: "), "{body}");
    let published = polls.ask("POST", "/location/share/3", Some("{\"member\":\"a\",\"x\":1,\"y\":2}"));
    assert!(matches!(published, Told::Answer { status: 200, .. }), "{published:?}");
    let waited = polls.ask("GET", "/location/long/3?timeout=1", None);
    let Told::Answer { status: 204, numbers: [Some(_), None], .. } = waited else { panic!("{waited:?}") };
    server.stop();
}
