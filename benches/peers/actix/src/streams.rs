//! Event streams.

use std::time::Duration;

use actix_web::{HttpRequest, HttpResponse, Responder, web};
use actix_web_lab::sse::{Event, Sse};
use bytestring::ByteString;
use futures_util::stream::{self, StreamExt};
use peer_contract::{COMMENT_SECONDS, GroupId, Member, retry_ms, simulate};
use serde::Deserialize;

use crate::requests::NO_STORE;
use crate::{Group, Present, Shared, Subscribed};

#[derive(Deserialize)]
pub(crate) struct Watch {
    member: Option<Member>,
    last_event_id: Option<u64>,
}

/// A parked stream of the group's updates.
pub(crate) async fn events(
    hub: Shared,
    group: Group,
    watch: web::Query<Watch>,
    request: HttpRequest,
) -> impl Responder {
    let watch = watch.into_inner();
    let last = request.headers().get("last-event-id").and_then(|value| value.to_str().ok()?.parse().ok());
    let group = hub.group(*group);
    let subscription = group.subscribe(last.or(watch.last_event_id));
    let presence: Present = watch.member.map(|member| group.connect(member));
    let opening = stream::iter([Event::Comment(ByteString::new())]);
    let updates = stream::unfold((subscription, presence), next_event);
    Sse::from_infallible_stream(opening.chain(updates))
        .with_retry_duration(Duration::from_millis(retry_ms()))
        .with_keep_alive(Duration::from_secs(COMMENT_SECONDS))
        .customize()
        .insert_header(NO_STORE)
        .insert_header(("x-accel-buffering", "no"))
}

async fn next_event(mut listening: (Subscribed, Present)) -> Option<(Event, (Subscribed, Present))> {
    let update = listening.0.next().await;
    Some((update.said.event().clone(), listening))
}

/// A location made up for group 0, as one event.
pub(crate) async fn event_once(hub: Shared) -> HttpResponse {
    let group = hub.group(GroupId::new(0).expect("0 is a group"));
    let published = group.publish(simulate()).expect("what names no time is not stale");
    let update = published.expect("a location is numbered");
    let body = format!("id: {}\nevent: location\ndata: {}\n\n", update.seq, update.said.text);
    HttpResponse::Ok().insert_header(NO_STORE).content_type("text/event-stream").body(body)
}
