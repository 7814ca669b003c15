//! geoloop: real-time location sharing in groups, over five transports and one hub, driven by a hand-written event loop.
//!
//! Two ideas carry it.
//!
//! 1. **A shard is a value; a reactor is a thread that drives one.** All of a worker's state (connections, the groups
//!    at home there, timers, queues) is one plain struct, [`shard::Shard`]: things that happen go in, things to do
//!    come out. No thread, socket, clock or random source is in it, so a seed replays a whole server and a test drives
//!    one with plain values. The [`reactor`] only moves bytes and reads the clock once a turn.
//! 2. **The folders are the stops of a byte's trip**, in order:
//!
//! ```text
//!  bytes in      parse             route             hub       fan-out          bytes out
//!  reactor/  ->  session/ (wire/) -> route,        ->  hub/  ->  shard/fanout  ->  shard/out_queue,
//!  sockets                          shard/placement            (wire/ encoders)  shard/flush, reactor/sockets
//! ```
//!
//! # One update's trip
//!
//! A `POST /location/share/3` is read by [`reactor`] into the one buffer that all of a worker's connections share, and
//! handed to [`shard::Shard::handle_received`]. The connection's [`session`] decodes it with [`wire`] and [`route`] into an
//! [`session::Event`]. If group 3 is at home on another shard ([`shard::placement`]) and this is the first group that the
//! connection names, the connection moves there, socket and all; what it names later goes by [`shard::mail`]. At home
//! the [`hub`] checks and numbers the update, keeps it in the group's ring, and marks the group.
//!
//! At the end of the turn [`shard::Shard::poll_output`] writes the answers, then tells each marked group once: its new updates
//! are encoded once for each way of writing them, laid end to end, and written from there to every subscriber that is owed
//! nothing else: one system call and no copy a subscriber, however many updates there were. Who is owed more has a queue of
//! references, who is too slow for that reads on by cursor, conflated, once its socket takes bytes again. Where there is
//! more to write than a few milliseconds' worth the other groups wait for the next turn, which follows at once, so that
//! nobody who comes or asks has to wait for everybody to be told.
//!
//! # The other side
//!
//! [`load`] is the clients' end of the same trip: an event loop of its own ([`load::driver`]), the five transports as clients
//! read them ([`load::client`]), scenarios that say what users do, and a ledger ([`load::ledger`]) that holds what everybody
//! heard against what their group was told. [`study`] starts servers, lets load play against them, and makes a page of what
//! was measured.
//!
//! # Who may name whom
//!
//! Leaves ([`ids`], [`clock`], [`limits`], [`location`], [`page`], [`random`], [`report`], [`route`], [`timer_wheel`]) are named by
//! everyone. [`wire`] names leaves; [`session`] names wire; [`hub`] names leaves alone; [`shard`] names wire, session and hub;
//! [`reactor`] names shard and [`metrics`]; [`server`] names reactor and [`config`]. The load tool, [`load`], names wire and
//! nothing else of the server: to it a server is an address. [`study`] names load; [`config`] names the plans of both. [`fuzz`], which nobody names, drives
//! decoders, the load tool's clients and whole shards for fuzzers and tests. Each package has one home. A test holds all of this.
//!
//! # Invariants
//!
//! - Invariant: below the reactor nothing reads the clock, opens a socket, starts a thread or rolls a die.
//! - Invariant: numbers of a group's updates are contiguous; every subscriber sees them in order, each at most once.
//! - Invariant: a message that was begun is ended before anything else is written on its connection.
//! - Invariant: an idle event stream or WebSocket owns its slot, its place among the waiters, and nothing else on the
//!   heap; a parked poll owns a timer besides, a STOMP connection its session, a named one its name.
//! - Invariant: mail between two shards arrives in order and is never lost; a full mailbox makes its senders wait,
//!   and a sender that waits reads nobody and numbers no publish, but goes on taking mail, so that no two shards
//!   wait for each other.
//! - Invariant: at the end of a turn what every connection and group holds is counted against `--max-held-bytes`, and
//!   nothing of who has gone.
//! - Invariant: a slot is given to a newcomer only after the socket of its last connection has gone.
//! - Invariant: nothing that a peer sends panics; every bound that a peer can run into is in [`limits`].
//!
//! # Words
//!
//! *Group*: the unit of sharing and of sharding. *Member*: who a location belongs to. *Update*: what the hub numbered: a
//! member's location, or its leaving. *Seq*: an update's number, the one cursor of all transports. *Publish*: hand a
//! location to the hub. *Subscriber*: whoever is owed a group's updates. *Park*: keep a request open, without a
//! thread, until there is something to say. *Conflate*: drop a member's unsent update because a newer one of that member
//! is behind it. *Shard*: one worker; a group's *home shard* is the one that numbers it. *Mirror*: a copy of a group on a
//! shard that is not its home, kept current by mail for the subscribers there.

pub mod clock;
pub mod config;
pub mod fuzz;
pub mod hub;
pub mod ids;
pub mod limits;
pub mod load;
pub mod location;
pub mod logger;
pub mod metrics;
pub mod page;
pub mod random;
pub mod reactor;
pub mod report;
pub mod route;
pub mod server;
pub mod session;
pub mod shard;
pub mod study;
pub mod timer_wheel;
pub mod wire;
