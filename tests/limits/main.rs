//! Every limit of the server, at its value and one past it, over real sockets: what is at the limit is taken and counts
//! as nothing, what is past it is refused in the transport's own way, in words that name the rule, counted once, and
//! nobody else notices.

#[path = "../harness/mod.rs"]
mod harness;

mod connections;
mod delivery;
mod floods;
mod groups;
mod held;
mod http;
mod refusals;
mod stomp;
mod waits;
mod websocket;

use harness::Server;
use harness::http::Wire;
use harness::websocket::{Socket, upgrade};

/// A server, and somebody in another group who must not notice what happens to others.
struct Scene {
    server: Server,
    bystander: Socket,
}

/// The bystander's group.
const ELSEWHERE: u64 = 99;

impl Scene {
    #[track_caller]
    fn open(flags: &[&str]) -> Self {
        let server = Server::start(flags);
        let bystander = Socket::open(&server, &format!("/ws/{ELSEWHERE}"));
        Self { server, bystander }
    }

    /// Checks that exactly these rules were run into, so often each, and that the bystander is served as before.
    #[track_caller]
    fn check(&mut self, refusals: &[(&str, u64)]) {
        let published = self.server.publish(ELSEWHERE, "zoe", 1, 2);
        assert_eq!(self.bystander.update(), published);
        self.server.expect_refusals(refusals);
    }
}

/// A publish that is so many bytes long; 0 for as short as it can be.
fn publish_of(length: usize) -> String {
    let publish = r#"{"member":"alice","x":1,"y":2}"#;
    publish.to_owned() + &" ".repeat(length.saturating_sub(publish.len()))
}

/// A WebSocket whose kernel takes next to nothing that the test does not read.
#[track_caller]
fn slow_websocket(server: &Server, target: &str) -> Wire {
    let mut wire = Wire::over(server.connect_to_read_slowly());
    wire.send(upgrade(target));
    wire.head().expect_status(101);
    wire
}
