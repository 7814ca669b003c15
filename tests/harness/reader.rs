//! A subscriber that comes with a cursor, goes, and comes again where it was, on any transport.

use super::Server;
use super::http::Wire;
use super::sse::EventStream;
use super::stomp::Stomp;
use super::update::Update;
use super::websocket::Socket;

/// How it listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ear {
    /// Polls, each from the `Location-Seq` of the one before.
    LongPoll,
    /// An event source that sends `Last-Event-ID`.
    Sse,
    /// `?since=`
    WebSocket,
    /// The header `since`, on a connection that lives with this group's home.
    Stomp,
    /// The same, on a connection that lives on another worker.
    StompElsewhere,
}

impl Ear {
    /// All of them.
    pub(crate) const ALL: [Self; 5] =
        [Self::LongPoll, Self::Sse, Self::WebSocket, Self::Stomp, Self::StompElsewhere];
}

/// One that listens.
pub(crate) enum Reader {
    LongPoll { wire: Wire, group: u64, cursor: u64, asked: bool },
    Sse(EventStream),
    WebSocket(Socket),
    Stomp(Stomp),
}

impl Reader {
    /// Comes with a cursor; a poll is under way when this returns.
    #[track_caller]
    pub(crate) fn open(server: &Server, ear: Ear, group: u64, since: u64) -> Self {
        match ear {
            Ear::LongPoll => {
                let mut reader =
                    Self::LongPoll { wire: Wire::connect(server), group, cursor: since, asked: false };
                reader.ask();
                reader
            }
            Ear::Sse => {
                let header = format!("Last-Event-ID: {since}\r\n");
                Self::Sse(EventStream::open_with(server, &format!("/location/sse/{group}"), &header))
            }
            Ear::WebSocket => Self::WebSocket(Socket::open(server, &format!("/ws/{group}?since={since}"))),
            Ear::Stomp | Ear::StompElsewhere => {
                let mut stomp = Stomp::connect(server);
                if ear == Ear::StompElsewhere {
                    stomp.subscribe("home", 1_000_000 + (group + 1) % 2);
                }
                let destination = format!("/sub/location/{group}");
                let since = since.to_string();
                stomp.send("SUBSCRIBE", &[("id", "s"), ("destination", &destination), ("since", &since)], "");
                Self::Stomp(stomp)
            }
        }
    }

    /// The next update.
    #[track_caller]
    pub(crate) fn update(&mut self) -> Update {
        self.ask();
        match self {
            Self::Sse(stream) => stream.update(),
            Self::WebSocket(socket) => socket.update(),
            Self::Stomp(stomp) => stomp.update(),
            Self::LongPoll { wire, cursor, asked, .. } => {
                let answer = wire.answer().expect_status(200);
                let update = answer.update();
                assert_eq!(answer.location_seq(), update.seq);
                (*cursor, *asked) = (update.seq, false);
                update
            }
        }
    }

    /// Sends the next poll, unless it is under way.
    #[track_caller]
    fn ask(&mut self) {
        if let Self::LongPoll { wire, group, cursor, asked: asked @ false } = self {
            wire.send_get(&format!("/location/long/{group}?timeout=60000&since={cursor}"));
            *asked = true;
        }
    }
}
