//! WebSockets: a task each, which waits for updates, messages and the time to ping.
//!
//! What a task says goes through a channel of 32 messages to the connection, which writes all that waits there at once.

use std::sync::Arc;
use std::time::Duration;

use actix_web::{HttpRequest, HttpResponse, rt, web};
use actix_ws::{AggregatedMessage, AggregatedMessageStream, CloseCode, CloseReason, Closed, Session};
use peer_contract::{
    BODY_BYTES_MAX, Group, GroupId, Member, PING_SECONDS, Refusal, SILENCE_SECONDS_MAX, error_text,
    read_publish,
};
use serde::Deserialize;
use tokio::time::{self, Instant};

use crate::said::Said;
use crate::{Present, Shared, Subscribed};

#[derive(Deserialize)]
pub(crate) struct Join {
    since: Option<u64>,
    member: Option<Member>,
}

/// Joins the group of the path.
pub(crate) async fn join(
    hub: Shared,
    group: crate::Group,
    join: web::Query<Join>,
    request: HttpRequest,
    body: web::Payload,
) -> actix_web::Result<HttpResponse> {
    join_group(&hub, *group, join.into_inner(), &request, body)
}

/// Joins one of ten groups.
pub(crate) async fn join_any(
    hub: Shared,
    join: web::Query<Join>,
    request: HttpRequest,
    body: web::Payload,
) -> actix_web::Result<HttpResponse> {
    join_group(&hub, GroupId::drawn(), join.into_inner(), &request, body)
}

fn join_group(
    hub: &Shared,
    group: GroupId,
    join: Join,
    request: &HttpRequest,
    body: web::Payload,
) -> actix_web::Result<HttpResponse> {
    let (response, session, messages) = actix_ws::handle(request, body)?;
    let messages = messages.max_frame_size(BODY_BYTES_MAX).aggregate_continuations();
    let messages = messages.max_continuation_size(BODY_BYTES_MAX);
    // The subscription begins before the client is told that it has one.
    let group = hub.group(group);
    let subscription = group.subscribe(join.since);
    let presence = join.member.map(|member| group.connect(member));
    let conversation = Conversation { group, subscription, presence, session };
    rt::spawn(conversation.hold(messages));
    Ok(response)
}

struct Conversation {
    group: Arc<Group<Said>>,
    subscription: Subscribed,
    presence: Present,
    session: Session,
}

impl Conversation {
    async fn hold(mut self, messages: AggregatedMessageStream) {
        if let Ok(reason) = self.converse(messages).await {
            // Its client may be gone by now: nobody is left to be told.
            let _ = self.session.close(reason).await;
        }
    }

    /// Goes on until the client closes, and says what it is answered with.
    async fn converse(
        &mut self,
        mut messages: AggregatedMessageStream,
    ) -> Result<Option<CloseReason>, Closed> {
        let mut pings = time::interval(Duration::from_secs(PING_SECONDS));
        pings.reset();
        let mut heard = Instant::now();
        loop {
            tokio::select! {
                update = self.subscription.next() => self.session.text(update.said.text.clone()).await?,
                message = messages.recv() => {
                    heard = Instant::now();
                    match message {
                        Some(Ok(AggregatedMessage::Text(text))) => self.publish(&text).await?,
                        Some(Ok(AggregatedMessage::Binary(_))) => {
                            let text = "a location is a text message";
                            return Ok(Some((CloseCode::Unsupported, text).into()));
                        }
                        Some(Ok(AggregatedMessage::Ping(payload))) => self.session.pong(&payload).await?,
                        Some(Ok(AggregatedMessage::Pong(_))) => {}
                        Some(Ok(AggregatedMessage::Close(reason))) => return Ok(reason),
                        Some(Err(_)) => return Ok(Some(CloseCode::Protocol.into())),
                        None => return Ok(None),
                    }
                }
                _ = pings.tick() => {
                    if heard.elapsed() > Duration::from_secs(SILENCE_SECONDS_MAX) {
                        return Ok(None);
                    }
                    self.session.ping(b"").await?;
                }
            }
        }
    }

    async fn publish(&mut self, text: &str) -> Result<(), Closed> {
        let member = self.presence.as_ref().map(|presence| presence.member());
        let published = read_publish(text.as_bytes(), member).and_then(|publish| self.group.publish(publish));
        match published {
            // A stale one is dropped: the member is known at a later time.
            Ok(_) | Err(Refusal::Stale { .. }) => Ok(()),
            Err(refusal) => self.session.text(error_text(&refusal)).await,
        }
    }
}
