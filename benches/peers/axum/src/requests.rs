//! Requests that are answered once: short polls, snapshots, publishes, long polls.

use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{Path, Query, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use peer_contract::{GroupId, Newest, PARK_MS, PARK_MS_MAX, Update, read_publish, simulate};
use serde::Deserialize;
use tokio::time::timeout;

use axum::extract::ws::Utf8Bytes;

use crate::said::Said;
use crate::{App, Group, problem};

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const NO_CACHE: HeaderValue = HeaderValue::from_static("no-cache");
pub(crate) const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");

/// The group's newest update, or 304 if the client has it.
pub(crate) async fn current(State(hub): State<App>, Path(group): Group, request: Request) -> Response {
    match hub.find(group).map_or(Newest::Never, |group| group.newest()) {
        Newest::Update(update) => {
            let tag = update.said.tag();
            let is_known =
                request.headers().get_all(header::IF_NONE_MATCH).iter().any(|value| names(value, tag));
            let fields = [(header::ETAG, tag.clone()), (header::CACHE_CONTROL, NO_CACHE)];
            if is_known {
                return (StatusCode::NOT_MODIFIED, fields).into_response();
            }
            (fields, json(update.said.text.clone())).into_response()
        }
        Newest::Gone => (StatusCode::NO_CONTENT, [(header::CACHE_CONTROL, NO_STORE)]).into_response(),
        Newest::Never => {
            let made_up = Update::<Said>::new(0, simulate());
            ([(header::CACHE_CONTROL, NO_STORE)], json(made_up.said.text)).into_response()
        }
    }
}

/// Whether a list of entity tags names this one, or any.
fn names(list: &HeaderValue, tag: &HeaderValue) -> bool {
    let tags = list.to_str().unwrap_or_default().split(',').map(str::trim);
    tags.map(|each| each.strip_prefix("W/").unwrap_or(each)).any(|each| tag == each || each == "*")
}

fn json(text: Utf8Bytes) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, JSON)], Bytes::from(text))
}

/// The newest update of each member.
pub(crate) async fn snapshot(State(hub): State<App>, Path(id): Group) -> Response {
    let (seq, updates) = hub.find(id).map_or((0, Vec::new()), |group| group.snapshot());
    let members: Vec<&str> = updates.iter().map(|update| &*update.said.text).collect();
    let body = format!(r#"{{"group":{},"seq":{seq},"members":[{}]}}"#, id.number(), members.join(","));
    ([(header::CACHE_CONTROL, NO_STORE), (header::CONTENT_TYPE, JSON)], body).into_response()
}

/// Publishes the body.
pub(crate) async fn publish(State(hub): State<App>, Path(group): Group, body: Bytes) -> Response {
    let published = read_publish(&body, None).and_then(|publish| hub.group(group).publish(publish));
    let no_store = [(header::CACHE_CONTROL, NO_STORE)];
    match published {
        Ok(Some(update)) => (no_store, json(update.said.text.clone())).into_response(),
        Ok(None) => (StatusCode::NO_CONTENT, no_store).into_response(),
        Err(refusal) => {
            let status = StatusCode::from_u16(refusal.status()).expect("it is one");
            problem(status, &refusal.to_string())
        }
    }
}

#[derive(Deserialize)]
pub(crate) struct To {
    group: Option<GroupId>,
}

/// Publishes the body to group 0, or to the one that the query names.
pub(crate) async fn publish_to_any(
    State(hub): State<App>,
    Query(To { group }): Query<To>,
    body: Bytes,
) -> Response {
    let group = group.or_else(|| GroupId::new(0)).expect("0 is a group");
    publish(State(hub), Path(group), body).await
}

#[derive(Deserialize)]
pub(crate) struct Park {
    since: Option<u64>,
    timeout: Option<u64>,
}

/// The next update, or the oldest behind a cursor, as soon as there is one. A client that goes away drops the handler.
pub(crate) async fn long_poll(
    State(hub): State<App>,
    Path(group): Group,
    Query(park): Query<Park>,
) -> Response {
    let park_ms = park.timeout.unwrap_or(PARK_MS);
    if park_ms > PARK_MS_MAX {
        return problem(StatusCode::BAD_REQUEST, "timeout is not an integer from 0 to 60000");
    }
    let mut subscription = hub.group(group).subscribe(park.since);
    let next = timeout(Duration::from_millis(park_ms), subscription.next()).await;
    let fields = [
        (header::HeaderName::from_static("location-seq"), HeaderValue::from(subscription.cursor())),
        (header::CACHE_CONTROL, NO_STORE),
    ];
    match next {
        Ok(update) => (fields, json(update.said.text.clone())).into_response(),
        Err(_) => (StatusCode::NO_CONTENT, fields).into_response(),
    }
}
