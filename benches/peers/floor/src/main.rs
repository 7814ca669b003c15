//! What a server of the contract hardly gets below that is one epoll loop without io_uring: the system calls of such a
//! loop, and next to nothing beside them.
//!
//! ```text
//! a request              one read, one write
//! a delivery             one write a subscriber
//! a WebSocket come+gone  accept, epoll_ctl, read, write, read, write, close
//! ```
//!
//! A turn of the loop reads all that is ready, then writes all answers; it has one accept more, which finds nobody, where
//! it has any. The listener is told of by edges, so that is how it is known that no more wait.
//!
//! With `--batch` what a connection is answered in a turn is one write, and what is published in one turn of the loop is
//! delivered by one write a subscriber: what a server can spare by waiting for the end of its turn.
//!
//! It finds the blank line of a request, tells requests apart by a byte of their paths, and reads numbers where `geoloop
//! load` writes them. It holds an array of groups, each a list of connections a transport and its last answers. It checks
//! nothing, refuses nothing, has no clock and no timers: a long poll is parked until there is an update, no member
//! leaves, and every update is of the same time. That makes it no server, but a bound for one.

mod conn;
mod group;
mod server;
mod speak;

use std::io;
use std::net::SocketAddr;

use clap::Parser;

use crate::server::Server;

#[derive(Parser)]
#[command(version)]
struct Options {
    /// Where to listen; port 0 takes a free one and prints it
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,

    /// There is one, whatever is asked for: the flag is there because the other servers have it
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1))]
    workers: u16,

    /// Write what a turn of the loop has for a connection at once
    #[arg(long)]
    batch: bool,
}

fn main() -> io::Result<()> {
    let Options { listen, workers: _, batch } = Options::parse();
    let server = Server::bind(listen, batch)?;
    println!("listening on http://{}", server.local_addr()?);
    server.run()
}
