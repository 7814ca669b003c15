//! The operations whose costs are told: what a server does over and over, each from bytes in to bytes out.
//!
//! README's table, tests/allocations.rs and the benches name them alike.

use geoloop::ids::{ConnId, Transport};
use geoloop::report::Report;
use geoloop::wire::stomp::field::AckMode;

use crate::in_memory::Server;
use crate::in_memory::words::{self, GROUP, SUBSCRIPTION};

/// Rounds after which queues have been pooled and the ring of the group is full.
const WARM_ROUNDS: usize = 300;

/// How many are written an update at a time.
const LAP: usize = 64;

/// Something that is done over and over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    /// A poll for the newest update, on a connection that stays; its answer was made for a poll before it.
    ShortPoll,
    /// The same, the first behind an update: its answer is made.
    ShortPollAnew,
    /// The same by a client that has it already.
    NotModified,
    /// A location is numbered; nobody hears it but a WebSocket that published it.
    Publish(Transport),
    /// A long poll comes and waits.
    Park,
    /// An update that has been encoded is written to a lap of subscribers more, and counted.
    Deliver(Transport),
    /// An update is written to a STOMP subscription with another id than the one before.
    DeliverOwnId,
    /// An update is encoded, queued and written for one STOMP subscription that acknowledges.
    DeliverAcknowledged,
    /// Its ACK comes.
    Acknowledge,
    /// A connection comes, is told or subscribed, and goes.
    Connect(Transport),
}

impl Operation {
    pub(crate) const ALL: [Self; 19] = [
        Self::ShortPoll,
        Self::ShortPollAnew,
        Self::NotModified,
        Self::Publish(Transport::Http),
        Self::Publish(Transport::WebSocket),
        Self::Publish(Transport::Stomp),
        Self::Park,
        Self::Deliver(Transport::LongPoll),
        Self::Deliver(Transport::Sse),
        Self::Deliver(Transport::WebSocket),
        Self::Deliver(Transport::Stomp),
        Self::DeliverOwnId,
        Self::DeliverAcknowledged,
        Self::Acknowledge,
        Self::Connect(Transport::ShortPoll),
        Self::Connect(Transport::LongPoll),
        Self::Connect(Transport::Sse),
        Self::Connect(Transport::WebSocket),
        Self::Connect(Transport::Stomp),
    ];

    pub(crate) fn name(self) -> String {
        match self {
            Self::ShortPoll => "short_poll".to_owned(),
            Self::ShortPollAnew => "short_poll_anew".to_owned(),
            Self::NotModified => "short_poll_304".to_owned(),
            Self::Publish(transport) => format!("publish_{}", transport.label()),
            Self::Park => "park_long_poll".to_owned(),
            Self::Deliver(transport) => format!("deliver_{}", transport.label()),
            Self::DeliverOwnId => "deliver_stomp_own_id".to_owned(),
            Self::DeliverAcknowledged => "deliver_stomp_ack".to_owned(),
            Self::Acknowledge => "acknowledge".to_owned(),
            Self::Connect(transport) => format!("connect_{}", transport.label()),
        }
    }

    /// What is among the bytes that it writes; `None` where it writes none.
    const fn mark(self) -> Option<&'static str> {
        match self {
            Self::ShortPoll | Self::ShortPollAnew | Self::Connect(Transport::ShortPoll) => {
                Some("\"member\":\"alice\"")
            }
            Self::NotModified => Some("HTTP/1.1 304 "),
            Self::Publish(Transport::Stomp)
            | Self::Park
            | Self::Acknowledge
            | Self::Connect(Transport::LongPoll) => None,
            Self::Publish(Transport::WebSocket) | Self::Deliver(Transport::WebSocket) => Some("{\"seq\":"),
            Self::Publish(_) => Some("HTTP/1.1 200 "),
            Self::Deliver(Transport::LongPoll) => Some("Location-Seq: "),
            Self::Deliver(Transport::Sse) => Some("event: location"),
            Self::Deliver(_) => Some("MESSAGE\nsubscription:sub-0\n"),
            Self::DeliverOwnId => Some("MESSAGE\nsubscription:sub-1\n"),
            Self::DeliverAcknowledged => Some("\nack:0-"),
            Self::Connect(Transport::Sse) => Some("text/event-stream"),
            Self::Connect(Transport::WebSocket) => Some("HTTP/1.1 101 "),
            Self::Connect(_) => Some("CONNECTED"),
        }
    }

    /// How many writes it takes.
    const fn writes(self) -> usize {
        match self {
            Self::Publish(Transport::Stomp)
            | Self::Park
            | Self::Acknowledge
            | Self::Connect(Transport::LongPoll) => 0,
            // The handshake and CONNECTED.
            Self::Connect(Transport::Stomp) => 2,
            Self::Deliver(_) => LAP,
            Self::ShortPoll
            | Self::ShortPollAnew
            | Self::NotModified
            | Self::Publish(_)
            | Self::DeliverOwnId
            | Self::DeliverAcknowledged
            | Self::Connect(_) => 1,
        }
    }
}

/// A server in which one operation is done again and again: each time [`Scene::begin`], [`Scene::run`], which is what
/// is measured, and [`Scene::end`].
pub(crate) struct Scene {
    server: Server,
    operation: Operation,
    /// Who polls, publishes or acknowledges, and what it says.
    speaker: ConnId,
    said: Vec<u8>,
    /// Who publishes to the others, without being answered, and how.
    publisher: ConnId,
    publish: Vec<u8>,
    /// Who polls, and what is newest.
    poller: ConnId,
    newest: u64,
    listeners: Vec<ConnId>,
    poll: Vec<u8>,
    hellos: Vec<Vec<u8>>,
}

impl Scene {
    /// A scene that is warm and has begun: the next thing is [`Scene::run`]. In a box, so that handing it on costs no
    /// copy that would be counted.
    pub(crate) fn warm(operation: Operation) -> Box<Self> {
        let mut scene = Box::new(Self::with_listeners(operation, 2 * LAP));
        scene.check();
        for _ in 0..WARM_ROUNDS {
            scene.round();
        }
        scene.begin();
        scene
    }

    /// A scene in which so many subscribers listen, if any do, that has not begun.
    pub(crate) fn with_listeners(operation: Operation, listeners: usize) -> Self {
        // If ACKs did nothing, the third publish would find the window full. Were there room for one message alone, each
        // ACK would open a full one, which is another path.
        let mut server = Server::with(listeners + 3, |limits| limits.prefetch_count = 2);
        let publisher = server.connect(&words::upgrade("/location"));
        server.say(publisher, &words::connect());
        let publish = words::publish(Transport::Stomp);
        server.say(publisher, &publish);
        let (poller, newest) = newest(&mut server);
        let mut scene = Self {
            speaker: publisher,
            said: Vec::new(),
            publisher,
            publish,
            poller,
            newest,
            listeners: Vec::new(),
            poll: words::get(&format!("/location/long/{GROUP}")),
            hellos: Vec::new(),
            operation,
            server,
        };
        scene.set_up(listeners);
        scene
    }

    /// Has everybody come who is there before the operation.
    fn set_up(&mut self, listeners: usize) {
        match self.operation {
            Operation::ShortPoll | Operation::ShortPollAnew => {
                self.said = words::poll();
                self.speaker = self.poller;
            }
            Operation::NotModified => {
                let condition = format!("If-None-Match: \"{}\"\r\n", self.newest);
                self.said = words::get_with(&format!("/location/cur/{GROUP}"), &condition);
                self.speaker = self.poller;
            }
            Operation::Publish(transport) => {
                self.said = words::publish(transport);
                self.speaker = match transport {
                    Transport::Stomp => self.publisher,
                    Transport::WebSocket => self.join(transport, SUBSCRIPTION, AckMode::Auto),
                    Transport::Http | Transport::ShortPoll | Transport::LongPoll | Transport::Sse => {
                        self.server.connect(&self.said)
                    }
                };
            }
            Operation::Park => {
                self.said = self.poll.clone();
                self.speaker = self.poller;
            }
            Operation::Deliver(Transport::LongPoll) => {
                self.listeners = (0..listeners).map(|_| self.server.connect(&words::poll())).collect();
            }
            Operation::Deliver(transport) => {
                let join = |_| self.join(transport, SUBSCRIPTION, AckMode::Auto);
                self.listeners = (0..listeners).map(join).collect();
            }
            Operation::DeliverOwnId => {
                let join = |index| self.join(Transport::Stomp, &format!("sub-{index}"), AckMode::Auto);
                self.listeners = (0..listeners).map(join).collect();
            }
            Operation::DeliverAcknowledged | Operation::Acknowledge => {
                self.speaker = self.join(Transport::Stomp, SUBSCRIPTION, AckMode::ClientIndividual);
            }
            Operation::Connect(transport) => {
                self.hellos = words::hellos(transport, SUBSCRIPTION, AckMode::Auto);
            }
        }
    }

    /// A newcomer that is subscribed.
    fn join(&mut self, transport: Transport, id: &str, ack: AckMode) -> ConnId {
        let hellos = words::hellos(transport, id, ack);
        let conn = self.server.connect(&hellos[0]);
        for hello in &hellos[1..] {
            self.server.say(conn, hello);
        }
        conn
    }

    /// The operation does what its name says, or all that is measured of it means nothing.
    fn check(&mut self) {
        let connections = self.server.shard().connections();
        self.begin();
        let before = self.server.shard().report();
        self.server.look();
        self.run();
        let written = self.server.seen();
        self.check_counts(&before);
        self.end();
        if let Operation::Connect(transport) = self.operation {
            self.check_told(transport);
        }
        assert_eq!(self.server.shard().connections(), connections, "{:?} leaves one behind", self.operation);
        let written = String::from_utf8_lossy(&written);
        match self.operation.mark() {
            Some(mark) => assert!(written.contains(mark), "{:?} wrote {written}", self.operation),
            None => assert_eq!(written, "", "{:?} wrote something", self.operation),
        }
        if self.operation == Operation::ShortPollAnew {
            let newest = format!("ETag: \"{}\"", self.newest);
            assert!(written.contains(&newest), "not {newest}: {written}");
        }
    }

    /// What the operation itself has counted since: for those that write nothing it is all there is to see.
    fn check_counts(&self, before: &Report) {
        let after = self.server.shard().report();
        let (mut publishes, mut parked, mut came) =
            (before.publishes, before.parked, before.connections_total);
        match self.operation {
            Operation::Publish(transport) => publishes[transport as usize] += 1,
            Operation::Park => parked[Transport::LongPoll as usize] += 1,
            Operation::Deliver(Transport::LongPoll) => parked[Transport::LongPoll as usize] -= LAP as u64,
            Operation::Connect(transport) => {
                // Each is one of HTTP until it has said what it is.
                came[Transport::Http as usize] += 1;
                came[transport as usize] += 1;
                assert_eq!(after.connections_total, came, "{:?}: who came", self.operation);
            }
            Operation::ShortPoll
            | Operation::ShortPollAnew
            | Operation::NotModified
            | Operation::Deliver(_)
            | Operation::DeliverOwnId
            | Operation::DeliverAcknowledged
            | Operation::Acknowledge => {}
        }
        assert_eq!(after.publishes, publishes, "{:?}: what was published", self.operation);
        assert_eq!(after.parked, parked, "{:?}: who is parked", self.operation);
    }

    /// Whoever comes is told what is published while it is there, but for one that has polled and been answered.
    fn check_told(&mut self, transport: Transport) {
        let conn = self.join(transport, SUBSCRIPTION, AckMode::Auto);
        let told = self.server.say(self.publisher, &self.publish);
        self.server.hang_up(conn);
        assert_eq!(told, usize::from(transport != Transport::ShortPoll), "{transport:?}: told of an update");
    }

    /// What comes before the operation.
    pub(crate) fn begin(&mut self) {
        match self.operation {
            Operation::Deliver(_) | Operation::DeliverOwnId => {
                self.tell();
                assert!(
                    self.server.write_lap() > 0,
                    "the first listeners are told, for whom the update is encoded"
                );
            }
            Operation::DeliverAcknowledged => self.tell(),
            Operation::Acknowledge => {
                self.tell();
                assert_eq!(self.server.write(), 1, "the window has room");
                self.said = words::ack(self.newest);
            }
            Operation::ShortPollAnew => {
                self.tell();
                assert_eq!(self.server.write(), 0, "nobody hears it");
            }
            Operation::ShortPoll
            | Operation::NotModified
            | Operation::Publish(_)
            | Operation::Park
            | Operation::Connect(_) => {}
        }
    }

    /// An update is published and every listener told; long polls come anew before it.
    pub(crate) fn tell_all(&mut self) {
        self.tell();
        assert_eq!(self.server.write(), self.listeners.len());
    }

    /// An update is published that all listeners wait for.
    fn tell(&mut self) {
        if self.operation == Operation::Deliver(Transport::LongPoll) {
            for index in 0..self.listeners.len() {
                self.server.say(self.listeners[index], &self.poll);
            }
        }
        self.server.hear(self.publisher, &self.publish);
        self.newest += 1;
    }

    /// The operation.
    #[inline]
    pub(crate) fn run(&mut self) {
        let writes = match self.operation {
            Operation::ShortPoll
            | Operation::ShortPollAnew
            | Operation::NotModified
            | Operation::Publish(_)
            | Operation::Park
            | Operation::Acknowledge => self.server.say(self.speaker, &self.said),
            Operation::Deliver(_) | Operation::DeliverOwnId => self.server.write_lap(),
            Operation::DeliverAcknowledged => self.server.write(),
            Operation::Connect(_) => self.come_and_go(),
        };
        assert_eq!(writes, self.operation.writes());
    }

    fn come_and_go(&mut self) -> usize {
        let conn = self.server.accept();
        let writes = self.hellos.iter().map(|hello| self.server.say(conn, hello)).sum();
        self.server.hang_up(conn);
        writes
    }

    /// What comes behind the operation, so that it can be done again.
    pub(crate) fn end(&mut self) {
        match self.operation {
            Operation::Park => {
                let told = self.server.say(self.publisher, &self.publish);
                assert_eq!(told, 1, "the poll waits for it");
            }
            Operation::Deliver(_) | Operation::DeliverOwnId => {
                self.server.write();
            }
            Operation::DeliverAcknowledged => {
                self.server.say(self.speaker, &words::ack(self.newest));
            }
            Operation::ShortPoll
            | Operation::ShortPollAnew
            | Operation::NotModified
            | Operation::Publish(_)
            | Operation::Acknowledge
            | Operation::Connect(_) => {}
        }
    }

    /// All of it once.
    pub(crate) fn round(&mut self) {
        self.begin();
        self.run();
        self.end();
    }
}

/// Somebody who has polled, and the number of the update that it was told.
fn newest(server: &mut Server) -> (ConnId, u64) {
    server.look();
    let poller = server.connect(&words::poll());
    let answer = String::from_utf8(server.seen()).expect("the answer is text");
    let etag = answer.lines().find_map(|line| line.strip_prefix("ETag: "));
    let seq = etag.and_then(|etag| etag.trim_matches('"').parse().ok());
    (poller, seq.expect("a number in the ETag"))
}
