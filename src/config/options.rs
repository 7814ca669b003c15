//! Every setting under the one name that its flag, its variable and its key in the file share.
//!
//! A flag `--queue-bytes` is the variable `GEOLOOP_QUEUE_BYTES` and the key `queue-bytes`: clap and serde derive all
//! three from the field. [`Options::settle`] says which field of the configuration each one sets.

use std::net::SocketAddr;
use std::time::Duration;

use log::LevelFilter;
use serde::{Deserialize, Serialize};

use crate::limits::SlowConsumer;

use super::Config;
use super::text::Text;

/// What one source (flags over environment, or a file) says; `None` where it says nothing.
#[derive(Debug, Default, clap::Args, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Options {
    /// Address to listen on, IPv4 or [IPv6]; port 0 takes a free port; repeatable
    #[arg(long, env = "GEOLOOP_LISTEN", value_name = "ADDR", value_delimiter = ',', value_parser = address)]
    listen: Option<Vec<SocketAddr>>,

    /// Reactors, each a thread with its own listener and shard
    #[arg(long, env = "GEOLOOP_WORKERS", value_name = "N")]
    workers: Option<usize>,

    /// Make up a location where a client gives none; --no-simulate is --simulate=false
    #[arg(long, env = "GEOLOOP_SIMULATE", value_name = "BOOL", overrides_with = "simulate")]
    #[arg(num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    simulate: Option<bool>,

    /// Serve the WebSocket echo endpoint for conformance suites
    #[arg(long, env = "GEOLOOP_ECHO", value_name = "BOOL")]
    #[arg(num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    echo: Option<bool>,

    /// Origin whose pages may use the server: scheme://host[:port], null, or * for any; repeatable
    #[arg(long, env = "GEOLOOP_ALLOW_ORIGIN", value_name = "ORIGIN", value_delimiter = ',')]
    allow_origin: Option<Vec<String>>,

    /// Updates a group keeps for replay
    #[arg(long, env = "GEOLOOP_HISTORY", value_name = "N")]
    history: Option<usize>,

    /// Bytes of unsent updates a slow connection may have waiting
    #[arg(long, env = "GEOLOOP_QUEUE_BYTES", value_name = "SIZE")]
    queue_bytes: Option<Text<usize>>,

    /// What happens to a connection past that
    #[arg(long, env = "GEOLOOP_SLOW_CONSUMER", value_name = "conflate|disconnect")]
    slow_consumer: Option<Text<SlowConsumer>>,

    /// How long an orderly stop may take
    #[arg(long, env = "GEOLOOP_DRAIN_WINDOW", value_name = "DURATION")]
    drain_window: Option<Text<Duration>>,

    /// What is logged to stderr: off, error, warn, info, debug or trace
    #[arg(long, env = "GEOLOOP_LOG", value_name = "LEVEL")]
    log: Option<Text<LevelFilter>>,

    /// Connections of the whole process
    #[arg(long, env = "GEOLOOP_MAX_CONNECTIONS", value_name = "N")]
    max_connections: Option<u64>,

    /// Request line plus headers
    #[arg(long, env = "GEOLOOP_MAX_HEAD_BYTES", value_name = "SIZE")]
    max_head_bytes: Option<Text<usize>>,

    /// Request target
    #[arg(long, env = "GEOLOOP_MAX_TARGET_BYTES", value_name = "SIZE")]
    max_target_bytes: Option<Text<usize>>,

    /// HTTP body, and WebSocket message
    #[arg(long, env = "GEOLOOP_MAX_BODY_BYTES", value_name = "SIZE")]
    max_body_bytes: Option<Text<usize>>,

    /// STOMP frame, from its command to its NUL
    #[arg(long, env = "GEOLOOP_MAX_FRAME_BYTES", value_name = "SIZE")]
    max_frame_bytes: Option<Text<usize>>,

    /// Header lines of a STOMP frame
    #[arg(long, env = "GEOLOOP_MAX_FRAME_HEADERS", value_name = "N")]
    max_frame_headers: Option<usize>,

    /// STOMP subscriptions of a connection
    #[arg(long, env = "GEOLOOP_MAX_SUBSCRIPTIONS", value_name = "N")]
    max_subscriptions: Option<usize>,

    /// Groups of the whole process
    #[arg(long, env = "GEOLOOP_MAX_GROUPS", value_name = "N")]
    max_groups: Option<usize>,

    /// Members of a group
    #[arg(long, env = "GEOLOOP_MAX_MEMBERS", value_name = "N")]
    max_members: Option<usize>,

    /// What groups, queues and partial messages of all connections may hold together
    #[arg(long, env = "GEOLOOP_MAX_HELD_BYTES", value_name = "SIZE")]
    max_held_bytes: Option<Text<usize>>,

    /// From the first byte of a request's head to its last
    #[arg(long, env = "GEOLOOP_HEAD_TIMEOUT", value_name = "DURATION")]
    head_timeout: Option<Text<Duration>>,

    /// From the end of a head to the last byte of its body
    #[arg(long, env = "GEOLOOP_BODY_TIMEOUT", value_name = "DURATION")]
    body_timeout: Option<Text<Duration>>,

    /// Keep-alive: between two requests of a connection
    #[arg(long, env = "GEOLOOP_IDLE_TIMEOUT", value_name = "DURATION")]
    idle_timeout: Option<Text<Duration>>,

    /// From the upgrade to STOMP's CONNECT
    #[arg(long, env = "GEOLOOP_CONNECT_TIMEOUT", value_name = "DURATION")]
    connect_timeout: Option<Text<Duration>>,

    /// Silence after which a peer is taken for gone
    #[arg(long, env = "GEOLOOP_PEER_TIMEOUT", value_name = "DURATION")]
    peer_timeout: Option<Text<Duration>>,

    /// Silence after which a member that no connection speaks for leaves
    #[arg(long, env = "GEOLOOP_MEMBER_TTL", value_name = "DURATION")]
    member_ttl: Option<Text<Duration>>,

    /// How long a group without subscriber, connected member or publish is kept
    #[arg(long, env = "GEOLOOP_GROUP_TTL", value_name = "DURATION")]
    group_ttl: Option<Text<Duration>>,

    /// Unacknowledged messages of a STOMP subscription before it is conflated
    #[arg(long, env = "GEOLOOP_PREFETCH_COUNT", value_name = "N")]
    prefetch_count: Option<usize>,
}

impl Options {
    /// Sets in `config` what these options say, and says in these options what `config` held where they said nothing.
    ///
    /// So settling the file's options and then those of the flags on one configuration gives flags precedence, and
    /// settling empty options writes a configuration down.
    pub(super) fn settle(&mut self, config: &mut Config) {
        settle(&mut self.listen, &mut config.listen);
        settle(&mut self.workers, &mut config.workers);
        settle(&mut self.simulate, &mut config.simulate);
        settle(&mut self.echo, &mut config.echo);
        settle(&mut self.allow_origin, &mut config.allow_origin);
        settle_text(&mut self.drain_window, &mut config.drain_window);
        settle_text(&mut self.log, &mut config.log);
        self.max_connections = self.max_connections.or(config.max_connections);
        config.max_connections = self.max_connections;

        let limits = &mut config.limits;
        settle(&mut self.history, &mut limits.history);
        settle_text(&mut self.queue_bytes, &mut limits.queue_bytes_max);
        settle_text(&mut self.slow_consumer, &mut limits.slow_consumer);
        settle_text(&mut self.max_head_bytes, &mut limits.head_bytes_max);
        settle_text(&mut self.max_target_bytes, &mut limits.target_bytes_max);
        settle_text(&mut self.max_body_bytes, &mut limits.body_bytes_max);
        settle_text(&mut self.max_frame_bytes, &mut limits.frame_bytes_max);
        settle(&mut self.max_frame_headers, &mut limits.frame_headers_max);
        settle(&mut self.max_subscriptions, &mut limits.subscriptions_max);
        settle(&mut self.max_groups, &mut limits.groups_max);
        settle(&mut self.max_members, &mut limits.members_max);
        settle_text(&mut self.max_held_bytes, &mut limits.held_bytes_max);
        settle_text(&mut self.head_timeout, &mut limits.head_timeout);
        settle_text(&mut self.body_timeout, &mut limits.body_timeout);
        settle_text(&mut self.idle_timeout, &mut limits.idle_timeout);
        settle_text(&mut self.connect_timeout, &mut limits.connect_timeout);
        settle_text(&mut self.peer_timeout, &mut limits.peer_timeout);
        settle_text(&mut self.member_ttl, &mut limits.member_ttl);
        settle_text(&mut self.group_ttl, &mut limits.group_ttl);
        settle(&mut self.prefetch_count, &mut limits.prefetch_count);
    }
}

fn address(text: &str) -> Result<SocketAddr, &'static str> {
    text.parse().map_err(|_| "expected an address and a port, such as 127.0.0.1:8080 or [::1]:8080")
}

/// Makes both sides equal: what is said wins, else what held before.
fn settle<T: Clone>(said: &mut Option<T>, value: &mut T) {
    value.clone_from(said.get_or_insert_with(|| value.clone()));
}

/// The same for a value that is written as text.
fn settle_text<T: Copy>(said: &mut Option<Text<T>>, value: &mut T) {
    *value = said.get_or_insert(Text(*value)).0;
}
