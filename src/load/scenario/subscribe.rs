//! How a subscriber of each transport comes to listen to a group, up to the moment from which it is owed every update.

use crate::ids::{GroupId, Transport};
use crate::load::client::speak::{encode_in_text, encode_text};
use crate::load::client::{Client, Heard};
use crate::load::driver::{ConnKey, Driver};
use crate::load::figures::Failure;
use crate::load::scenario::ask::Ask;
use crate::wire::http::client::encode_upgrade;
use crate::wire::stomp::Version;
use crate::wire::stomp::encode::{Connect, encode_connect};
use crate::wire::websocket::handshake::encode_key;

/// The id of a STOMP subscription.
const SUBSCRIPTION: &str = "0";

/// The receipt that says that a STOMP subscription is in place.
const RECEIPT: &str = "subscribed";

/// How far a subscriber has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Opening {
    /// Something is still to come.
    UnderWay,
    /// It listens from now on.
    Open,
    /// It was told no, or the server closes: what kind of failure that is, and in words.
    Refused(Failure, String),
}

/// One connection that subscribes to one group, or publishes to it.
#[derive(Debug)]
pub struct Subscription {
    transport: Transport,
    /// STOMP: whether it subscribes at all; over WebSocket everyone does.
    subscribes: bool,
    conn: Option<ConnKey>,
}

impl Subscription {
    /// One that is not connected yet.
    #[must_use]
    pub const fn new(transport: Transport) -> Self {
        Self { transport, subscribes: true, conn: None }
    }

    /// One that is not connected yet, and subscribes only where publishing cannot be had without.
    #[must_use]
    pub const fn of_publisher(over: Transport) -> Self {
        let transport = match over {
            Transport::WebSocket | Transport::Stomp => over,
            Transport::Http | Transport::ShortPoll | Transport::LongPoll | Transport::Sse => Transport::Http,
        };
        Self { transport, subscribes: false, conn: None }
    }

    /// Its connection, while it has one.
    #[must_use]
    pub const fn conn(&self) -> Option<ConnKey> {
        self.conn
    }

    /// Forgets the connection.
    pub const fn take_conn(&mut self) -> Option<ConnKey> {
        self.conn.take()
    }

    /// Connects, and sends what subscribes. A short poll sends nothing; a long poll asks for the cursor to begin with.
    ///
    /// # Errors
    /// What the system says when it gives no socket.
    pub fn open<W: Copy + Ord>(
        &mut self,
        driver: &mut Driver<W>,
        user: u32,
        group: GroupId,
        host: &str,
    ) -> std::io::Result<()> {
        let key = new_key(driver);
        let client = match self.transport {
            Transport::Http | Transport::ShortPoll | Transport::LongPoll => Client::requests(),
            Transport::Sse => Client::event_stream(),
            Transport::WebSocket => Client::websocket(key),
            Transport::Stomp => Client::stomp(key),
        };
        let conn = driver.open(user, client)?;
        self.conn = Some(conn);
        driver.send(conn, |out| match self.transport {
            Transport::Http | Transport::ShortPoll => {}
            Transport::LongPoll => Ask::Cursor.encode(out, group, host),
            Transport::Sse => Ask::Stream.encode(out, group, host),
            Transport::WebSocket => {
                encode_upgrade(out, &format!("/ws/{}", group.number()), host, &key, None);
            }
            Transport::Stomp => encode_upgrade(out, "/location", host, &key, Some("v12.stomp")),
        });
        Ok(())
    }

    /// Connects anew for requests, and sends nothing: the server said that it closes the connection behind its answer.
    ///
    /// # Errors
    /// What the system says when it gives no socket.
    pub fn reopen<W: Copy + Ord>(&mut self, driver: &mut Driver<W>, user: u32) -> std::io::Result<ConnKey> {
        if let Some(conn) = self.conn.take() {
            driver.close(conn);
        }
        let conn = driver.open(user, Client::requests())?;
        self.conn = Some(conn);
        Ok(conn)
    }

    /// What is wrong with the address of an update, in words, if it subscribed over STOMP.
    #[must_use]
    pub fn misaddressed(&self, heard: &Heard<'_>, group: GroupId) -> Option<String> {
        misaddressed(heard, group, SUBSCRIPTION)
    }

    /// What else it hears than answers and updates; a STOMP connection sends CONNECT and SUBSCRIBE once it is upgraded.
    pub fn handle_heard<W: Copy + Ord>(
        &self,
        driver: &mut Driver<W>,
        conn: ConnKey,
        group: GroupId,
        heard: &Heard<'_>,
    ) -> Opening {
        match heard {
            Heard::Opened if self.transport == Transport::Stomp => {
                let masks = [driver.mask(), driver.mask()];
                driver.send(conn, |out| {
                    encode_stomp_connect(out, masks[0]);
                    if self.subscribes {
                        encode_stomp_subscribe(out, group, masks[1]);
                    }
                });
                Opening::UnderWay
            }
            Heard::Connected { .. } if !self.subscribes => Opening::Open,
            Heard::Opened => Opening::Open,
            Heard::Receipt(id) if *id == RECEIPT => Opening::Open,
            Heard::Refused { status } => {
                Opening::Refused(Failure::Status, format!("the handshake was answered {status}"))
            }
            Heard::Complaint(text) => Opening::Refused(Failure::Status, (*text).to_owned()),
            Heard::Closing { code } => {
                Opening::Refused(Failure::Cut, format!("the server closed with {code}"))
            }
            Heard::Answer(_)
            | Heard::Connected { .. }
            | Heard::Update { .. }
            | Heard::Receipt(_)
            | Heard::Retry { .. } => Opening::UnderWay,
        }
    }
}

/// What is wrong with the address of a STOMP update to who subscribed to this group by this id, in words.
#[must_use]
pub fn misaddressed(heard: &Heard<'_>, group: GroupId, id: &str) -> Option<String> {
    let Heard::Update { subscription, group: Some(named), .. } = heard else { return None };
    if *named != group {
        return Some(format!("a MESSAGE is of group {named}, and {group} was subscribed"));
    }
    match subscription {
        Some(subscription) if *subscription == id => None,
        Some(other) => Some(format!("a MESSAGE is for the subscription {other}, and {id} was subscribed")),
        None => Some("a MESSAGE names no subscription".to_owned()),
    }
}

/// Appends a CONNECT of 1.2 without heart-beats, in a message of its own.
fn encode_stomp_connect(out: &mut Vec<u8>, mask: [u8; 4]) {
    let connect =
        Connect { accept_version: Version::V12.label(), host: "geoloop", heart_beat: (0, 0), member: None };
    encode_in_text(out, mask, |out| encode_connect(out, connect));
}

/// Appends a SUBSCRIBE with a receipt, in a message of its own.
fn encode_stomp_subscribe(out: &mut Vec<u8>, group: GroupId, mask: [u8; 4]) {
    let group = group.number();
    let subscribe =
        format!("SUBSCRIBE\nid:{SUBSCRIPTION}\ndestination:/sub/location/{group}\nreceipt:{RECEIPT}\n\n\0");
    encode_text(out, subscribe.as_bytes(), mask);
}

/// A new key for a handshake (RFC 6455, section 4.1).
pub(super) fn new_key<W: Copy + Ord>(driver: &mut Driver<W>) -> [u8; 24] {
    let mut nonce = [0; 16];
    for part in nonce.chunks_exact_mut(4) {
        part.copy_from_slice(&driver.random().number().to_be_bytes());
    }
    encode_key(nonce)
}
