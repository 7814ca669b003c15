//! WebSockets: a task each, which waits for updates, messages and the time to ping.

use std::sync::Arc;
use std::time::Duration;

use axum::Error;
use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket, WebSocketUpgrade, close_code};
use axum::extract::{Path, Query, State};
use axum::response::Response;
use futures_util::SinkExt;
use peer_contract::{
    BODY_BYTES_MAX, Group, GroupId, Member, PING_SECONDS, SILENCE_SECONDS_MAX, error_text, read_publish,
};
use serde::Deserialize;
use tokio::time::{self, Instant};

use crate::said::Said;
use crate::{App, Present, Subscribed};

/// Tungstenite allocates its read buffer at once for each connection, by default 128 KiB.
const READ_BUFFER_BYTES: usize = 4 * 1024;

#[derive(Deserialize)]
pub(crate) struct Join {
    since: Option<u64>,
    member: Option<Member>,
}

/// Joins the group of the path.
pub(crate) async fn join(
    upgrade: WebSocketUpgrade,
    State(hub): State<App>,
    Path(group): crate::Group,
    Query(join): Query<Join>,
) -> Response {
    // The subscription begins before the client is told that it has one.
    let group = hub.group(group);
    let subscription = group.subscribe(join.since);
    let presence = join.member.map(|member| group.connect(member));
    let conversation = Conversation { group, subscription, presence };
    upgrade
        .read_buffer_size(READ_BUFFER_BYTES)
        .max_message_size(BODY_BYTES_MAX)
        .max_frame_size(BODY_BYTES_MAX)
        .on_upgrade(|socket| async {
            // Its client is gone, or broke the protocol: either way nobody is left to be told.
            let _ = conversation.hold(socket).await;
        })
}

/// Joins one of ten groups.
pub(crate) async fn join_any(
    upgrade: WebSocketUpgrade,
    hub: State<App>,
    join_query: Query<Join>,
) -> Response {
    join(upgrade, hub, Path(GroupId::drawn()), join_query).await
}

struct Conversation {
    group: Arc<Group<Said>>,
    subscription: Subscribed,
    presence: Present,
}

impl Conversation {
    async fn hold(mut self, mut socket: WebSocket) -> Result<(), Error> {
        let mut pings = time::interval(Duration::from_secs(PING_SECONDS));
        pings.reset();
        let mut heard = Instant::now();
        loop {
            tokio::select! {
                update = self.subscription.next() => {
                    socket.feed(Message::Text(update.said.text.clone())).await?;
                    while let Some(update) = self.subscription.try_next() {
                        socket.feed(Message::Text(update.said.text.clone())).await?;
                    }
                    socket.flush().await?;
                }
                message = socket.recv() => {
                    heard = Instant::now();
                    match message {
                        Some(Ok(Message::Text(text))) => self.publish(&mut socket, &text).await?,
                        Some(Ok(Message::Binary(_))) => return refuse_binary(&mut socket).await,
                        // Tungstenite answers both by itself: a Ping with the next write, a Close when it is read on.
                        Some(Ok(Message::Ping(_) | Message::Close(_))) => socket.flush().await?,
                        Some(Ok(Message::Pong(_))) => {}
                        Some(Err(error)) => return Err(error),
                        None => return Ok(()),
                    }
                }
                _ = pings.tick() => {
                    if heard.elapsed() > Duration::from_secs(SILENCE_SECONDS_MAX) {
                        return Ok(());
                    }
                    socket.send(Message::Ping(axum::body::Bytes::new())).await?;
                }
            }
        }
    }

    async fn publish(&self, socket: &mut WebSocket, text: &str) -> Result<(), Error> {
        let member = self.presence.as_ref().map(|presence| presence.member());
        let published = read_publish(text.as_bytes(), member).and_then(|publish| self.group.publish(publish));
        match published {
            // A stale one is dropped: the member is known at a later time.
            Ok(_) | Err(peer_contract::Refusal::Stale { .. }) => Ok(()),
            Err(refusal) => socket.send(Message::Text(error_text(&refusal).into())).await,
        }
    }
}

async fn refuse_binary(socket: &mut WebSocket) -> Result<(), Error> {
    let reason = Utf8Bytes::from_static("a location is a text message");
    socket.send(Message::Close(Some(CloseFrame { code: close_code::UNSUPPORTED, reason }))).await
}
