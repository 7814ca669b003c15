//! One listener on every transport, and a publisher for every way to publish.

use super::Server;
use super::http::Wire;
use super::sse::EventStream;
use super::stomp::Stomp;
use super::update::{Update, check_in_order};
use super::websocket::Socket;

/// Every transport listening to one group.
pub(crate) struct Audience {
    group: u64,
    sse: EventStream,
    websocket: Socket,
    stomp: Stomp,
    long_poll: Wire,
    cursor: u64,
}

impl Audience {
    /// Subscribes on every transport; once this returns all are in place.
    #[track_caller]
    pub(crate) fn gather(server: &Server, group: u64) -> Self {
        let sse = EventStream::open(server, &format!("/location/sse/{group}"));
        let websocket = Socket::open(server, &format!("/ws/{group}"));
        let mut stomp = Stomp::connect(server);
        stomp.subscribe("audience", group);
        let mut long_poll = Wire::connect(server);
        long_poll.send_get(&format!("/location/long/{group}?timeout=0"));
        let cursor = long_poll.answer().expect_status(204).location_seq();
        Self { group, sse, websocket, stomp, long_poll, cursor }
    }

    /// Hears so many updates as [`Self::hear_streams`] does, and checks that a short poll shows the last of them.
    #[track_caller]
    pub(crate) fn hear(&mut self, server: &Server, count: usize) -> Vec<Update> {
        let heard = self.hear_streams(count);
        let current = server.get(&format!("/location/cur/{}", self.group)).expect_status(200);
        assert_eq!(Some(current.text()), heard.last().map(|update| update.text.clone()), "a short poll");
        heard
    }

    /// Hears so many updates, and checks that every transport hears the same bytes in the order of their seq.
    #[track_caller]
    pub(crate) fn hear_streams(&mut self, count: usize) -> Vec<Update> {
        let heard = self.websocket.updates(count);
        check_in_order(&heard);
        assert!(heard.iter().all(|update| !update.gap), "nothing was lost: {heard:?}");
        assert_eq!(self.sse.updates(count), heard, "SSE hears what WebSocket hears");
        assert_eq!(self.stomp.updates(count), heard, "STOMP hears what WebSocket hears");
        assert_eq!(self.poll(count), heard, "long polls hear what WebSocket hears");
        heard
    }

    #[track_caller]
    fn poll(&mut self, count: usize) -> Vec<Update> {
        let mut polled = Vec::new();
        for _ in 0..count {
            self.long_poll.send_get(&format!("/location/long/{}?since={}", self.group, self.cursor));
            let answer = self.long_poll.answer().expect_status(200);
            self.cursor = answer.location_seq();
            polled.push(answer.update());
        }
        polled
    }
}

/// The five ways to publish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// `POST /location/share/{group}`
    Share,
    /// `POST /location/long/{group}/notify`
    Notify,
    /// `POST /location/sse/share?group=`
    SseShare,
    /// A text message.
    WebSocket,
    /// A SEND.
    Stomp,
}

impl Way {
    /// All of them.
    pub(crate) const ALL: [Self; 5] =
        [Self::Share, Self::Notify, Self::SseShare, Self::WebSocket, Self::Stomp];
}

/// A connection that publishes to one group.
pub(crate) enum Publisher {
    /// Requests to this target.
    Http(Wire, String),
    /// Messages; it hears its own.
    WebSocket(Socket),
    /// Frames, to this destination.
    Stomp(Stomp, String),
}

impl Publisher {
    /// Connects.
    #[track_caller]
    pub(crate) fn open(server: &Server, way: Way, group: u64) -> Self {
        let http = |target: String| Self::Http(Wire::connect(server), target);
        match way {
            Way::Share => http(format!("/location/share/{group}")),
            Way::Notify => http(format!("/location/long/{group}/notify")),
            Way::SseShare => http(format!("/location/sse/share?group={group}")),
            Way::WebSocket => Self::WebSocket(Socket::open(server, &format!("/ws/{group}"))),
            Way::Stomp => Self::Stomp(Stomp::connect(server), format!("/pub/share/{group}")),
        }
    }

    /// Publishes, and returns once the group has it.
    #[track_caller]
    pub(crate) fn publish(&mut self, member: &str, x: usize) {
        let body = format!(r#"{{"member":"{member}","x":{x},"y":0}}"#);
        match self {
            Self::Http(wire, target) => {
                wire.send_post(target, &body);
                wire.answer().expect_status(200);
            }
            Self::WebSocket(socket) => {
                socket.send(&body);
                while {
                    let heard = socket.update();
                    heard.member.as_deref() != Some(member) || heard.point().0 != x as f64
                } {}
            }
            Self::Stomp(stomp, destination) => {
                stomp.send_for_receipt("SEND", &[("destination", destination)], &body);
            }
        }
    }
}
