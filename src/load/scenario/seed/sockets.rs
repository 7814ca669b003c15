//! A socket's round: the handshake, what the seed's script says behind it, what is heard, and the Close.

use crate::ids::Transport;
use crate::load::client::Client;
use crate::load::client::speak::{encode_seed_connect, encode_seed_send, encode_seed_subscribe, encode_text};
use crate::load::driver::{ConnKey, Driver};
use crate::load::figures::Failure;
use crate::load::ledger::{Owed, Verdict};
use crate::load::scenario::note;
use crate::load::scenario::seed::{Doing, Seed, Wake};
use crate::load::scenario::subscribe::new_key;
use crate::wire::http::client::encode_upgrade;
use crate::wire::websocket::frame::CloseCode;

impl Seed {
    /// Begins a WebSocket handshake.
    pub(super) fn join(&mut self, driver: &mut Driver<Wake>, number: usize, intended: u64) {
        let key = new_key(driver);
        let (target, client) = match self.plan.transport {
            Transport::Stomp => ("/location", Client::stomp(key)),
            _ => ("/ws", Client::websocket(key)),
        };
        self.users[number].doing = Doing::Joining { intended };
        match driver.open(number as u32, client) {
            Ok(conn) => {
                self.users[number].conn = Some(conn);
                driver.send(conn, |out| encode_upgrade(out, target, &self.plan.host, &key, None));
            }
            Err(error) => {
                note(driver, Failure::Connect, number, &error);
                self.end_round(driver, number);
            }
        }
    }

    pub(super) fn handle_joined(&mut self, driver: &mut Driver<Wake>, number: usize, conn: ConnKey) {
        let Doing::Joining { intended } = self.users[number].doing else { return };
        let now = driver.now();
        driver.figures.ws_sessions += 1;
        driver.figures.ws_connecting.record(now - intended);
        let user = &mut self.users[number];
        user.doing = Doing::Joined { since: now };
        user.heard = 0;
        driver.figures.published += 1;
        if self.plan.transport == Transport::Stomp {
            user.listener = self.ledger.listen(Some(user.group), Owed::FromFirst, number as u32);
            let group = user.group;
            let (id, masks) = (uuid(driver), [driver.mask(), driver.mask(), driver.mask()]);
            driver.figures.ws_msgs_sent += 3;
            driver.send(conn, |out| {
                encode_seed_connect(out, masks[0]);
                encode_seed_subscribe(out, &id, group, masks[1]);
                encode_seed_send(out, group, masks[2]);
            });
            self.users[number].subscription = id;
        } else {
            user.listener = self.ledger.listen(None, Owed::FromFirst, number as u32);
            let text = if user.rounds == 0 { "Hello from k6 WebSocket!" } else { "Hello from k6!" };
            let mask = driver.mask();
            driver.figures.ws_msgs_sent += 1;
            driver.send(conn, |out| encode_text(out, text.as_bytes(), mask));
        }
    }

    pub(super) fn handle_message(&mut self, driver: &mut Driver<Wake>, number: usize, update: Option<&[u8]>) {
        let user = &mut self.users[number];
        driver.figures.ws_msgs_received += 1;
        let (Some(update), Doing::Joined { .. }) = (update, user.doing) else { return };
        user.heard += 1;
        if user.heard == 1 && self.plan.rounds_max.is_some() {
            // Not now: its client is reading.
            driver.wake_at(driver.now(), Wake::Leave(number as u32));
        }
        if let Verdict::Good { .. } = self.ledger.hear(user.listener, update) {
            driver.figures.delivered += 1;
        }
    }

    /// A user who has joined closes its WebSocket.
    pub(super) fn leave(&mut self, driver: &mut Driver<Wake>, number: usize, since: u64, code: CloseCode) {
        let now = driver.now();
        let user = &mut self.users[number];
        driver.figures.ws_session_duration.record(now - since);
        self.ledger.leave(user.listener);
        user.doing = Doing::Leaving { since: now };
        if let Some(conn) = user.conn {
            driver.say_close(conn, code);
        }
    }

    /// A socket's only round is over.
    pub(super) fn handle_round_heard(&mut self, driver: &mut Driver<Wake>, number: usize) {
        if let Doing::Joined { since } = self.users[number].doing {
            self.leave(driver, number, since, CloseCode::NORMAL);
        }
    }

    /// A Close was answered.
    pub(super) fn handle_left(&mut self, driver: &mut Driver<Wake>, number: usize) {
        if self.plan.rounds_max.is_some() {
            self.complete_round(driver, number);
        }
        self.go(driver, number);
    }
}

/// A random UUID (RFC 9562, section 5.4), as the seed's script names its subscription.
fn uuid(driver: &mut Driver<Wake>) -> String {
    let mut number = || driver.random().number();
    let (a, b, c, d) = (number(), number(), number(), number());
    let (version, variant) = (b & 0xfff, 0x8000 | c >> 16 & 0x3fff);
    format!("{a:08x}-{:04x}-4{version:03x}-{variant:04x}-{:04x}{d:08x}", b >> 16, c & 0xffff)
}
