//! Event streams.

use std::convert::Infallible;
use std::time::Duration;

use axum::extract::{Path, Query, Request, State};
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream::{self, StreamExt};
use peer_contract::{COMMENT_SECONDS, GroupId, Member, retry_ms, simulate};
use serde::Deserialize;

use crate::requests::NO_STORE;
use crate::{App, Group, Present, Subscribed};

#[derive(Deserialize)]
pub(crate) struct Watch {
    member: Option<Member>,
    last_event_id: Option<u64>,
}

/// A parked stream of the group's updates.
pub(crate) async fn events(
    State(hub): State<App>,
    Path(group): Group,
    Query(watch): Query<Watch>,
    request: Request,
) -> impl IntoResponse {
    let last = request.headers().get("last-event-id").and_then(|value| value.to_str().ok()?.parse().ok());
    let group = hub.group(group);
    let subscription = group.subscribe(last.or(watch.last_event_id));
    let presence: Present = watch.member.map(|member| group.connect(member));
    let retry = Duration::from_millis(retry_ms());
    let opening = stream::iter([Event::default().comment(""), Event::default().retry(retry)]);
    let updates = stream::unfold((subscription, presence), next_event);
    let keep_alive = KeepAlive::new().interval(Duration::from_secs(COMMENT_SECONDS));
    let events = Sse::new(opening.chain(updates).map(Ok::<_, Infallible>)).keep_alive(keep_alive);
    let is_unbuffered = (HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    ([(header::CACHE_CONTROL, NO_STORE), is_unbuffered], events)
}

async fn next_event(mut listening: (Subscribed, Present)) -> Option<(Event, (Subscribed, Present))> {
    let update = listening.0.next().await;
    Some((update.said.event().clone(), listening))
}

/// A location made up for group 0, as one event.
pub(crate) async fn event_once(State(hub): State<App>) -> Response {
    let group = hub.group(GroupId::new(0).expect("0 is a group"));
    let published = group.publish(simulate()).expect("what names no time is not stale");
    let update = published.expect("a location is numbered");
    let body = format!("id: {}\nevent: location\ndata: {}\n\n", update.seq, &*update.said.text);
    let content_type = HeaderValue::from_static("text/event-stream");
    ([(header::CACHE_CONTROL, NO_STORE), (header::CONTENT_TYPE, content_type)], body).into_response()
}
