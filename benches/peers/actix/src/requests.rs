//! Requests that are answered once: short polls, snapshots, publishes, long polls.

use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderName, HeaderValue};
use actix_web::web::Bytes;
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder, web};
use bytestring::ByteString;
use peer_contract::{GroupId, Newest, PARK_MS, PARK_MS_MAX, Update, read_publish, simulate};
use serde::Deserialize;
use tokio::time::timeout;

use crate::said::Said;
use crate::{Group, Shared, problem};

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const NO_CACHE: (HeaderName, HeaderValue) = (header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
pub(crate) const NO_STORE: (HeaderName, HeaderValue) =
    (header::CACHE_CONTROL, HeaderValue::from_static("no-store"));

/// The group's newest update, or 304 if the client has it.
pub(crate) async fn current(hub: Shared, group: Group, request: HttpRequest) -> HttpResponse {
    match hub.find(*group).map_or(Newest::Never, |group| group.newest()) {
        Newest::Update(update) => {
            let tag = update.said.tag();
            let mut values = request.headers().get_all(header::IF_NONE_MATCH);
            let status =
                if values.any(|value| names(value, tag)) { StatusCode::NOT_MODIFIED } else { StatusCode::OK };
            let mut answer = HttpResponse::build(status);
            answer.insert_header((header::ETAG, tag.clone())).insert_header(NO_CACHE);
            if status == StatusCode::OK {
                json(&mut answer, update.said.text.clone())
            } else {
                answer.finish()
            }
        }
        Newest::Gone => HttpResponse::NoContent().insert_header(NO_STORE).finish(),
        Newest::Never => {
            let made_up = Update::<Said>::new(0, simulate());
            json(HttpResponse::Ok().insert_header(NO_STORE), made_up.said.text)
        }
    }
}

/// Whether a list of entity tags names this one, or any.
fn names(list: &HeaderValue, tag: &HeaderValue) -> bool {
    let tags = list.to_str().unwrap_or_default().split(',').map(str::trim);
    tags.map(|each| each.strip_prefix("W/").unwrap_or(each)).any(|each| tag == each || each == "*")
}

fn json(answer: &mut HttpResponseBuilder, text: ByteString) -> HttpResponse {
    answer.content_type(JSON).body(text.into_bytes())
}

/// The newest update of each member.
pub(crate) async fn snapshot(hub: Shared, id: Group) -> HttpResponse {
    let (seq, updates) = hub.find(*id).map_or((0, Vec::new()), |group| group.snapshot());
    let members: Vec<&str> = updates.iter().map(|update| &*update.said.text).collect();
    let body = format!(r#"{{"group":{},"seq":{seq},"members":[{}]}}"#, id.number(), members.join(","));
    json(HttpResponse::Ok().insert_header(NO_STORE), body.into())
}

/// Publishes the body.
pub(crate) async fn publish(hub: Shared, group: Group, body: Bytes) -> HttpResponse {
    publish_to(&hub, *group, &body)
}

#[derive(Deserialize)]
pub(crate) struct To {
    group: Option<GroupId>,
}

/// Publishes the body to group 0, or to the one that the query names.
pub(crate) async fn publish_to_any(hub: Shared, to: web::Query<To>, body: Bytes) -> HttpResponse {
    let group = to.group.or_else(|| GroupId::new(0)).expect("0 is a group");
    publish_to(&hub, group, &body)
}

fn publish_to(hub: &Shared, group: GroupId, body: &Bytes) -> HttpResponse {
    match read_publish(body, None).and_then(|publish| hub.group(group).publish(publish)) {
        Ok(Some(update)) => json(HttpResponse::Ok().insert_header(NO_STORE), update.said.text.clone()),
        Ok(None) => HttpResponse::NoContent().insert_header(NO_STORE).finish(),
        Err(refusal) => {
            let status = StatusCode::from_u16(refusal.status()).expect("it is one");
            problem(status, &refusal.to_string())
        }
    }
}

#[derive(Deserialize)]
pub(crate) struct Park {
    since: Option<u64>,
    timeout: Option<u64>,
}

/// The next update, or the oldest behind a cursor, as soon as there is one. A client that goes away drops the handler.
pub(crate) async fn long_poll(hub: Shared, group: Group, park: web::Query<Park>) -> HttpResponse {
    let park_ms = park.timeout.unwrap_or(PARK_MS);
    if park_ms > PARK_MS_MAX {
        return problem(StatusCode::BAD_REQUEST, "timeout is not an integer from 0 to 60000");
    }
    let mut subscription = hub.group(*group).subscribe(park.since);
    let next = timeout(Duration::from_millis(park_ms), subscription.next()).await;
    let cursor = ("location-seq", subscription.cursor());
    match next {
        Ok(update) => {
            json(HttpResponse::Ok().insert_header(cursor).insert_header(NO_STORE), update.said.text.clone())
        }
        Err(_) => HttpResponse::NoContent().insert_header(cursor).insert_header(NO_STORE).finish(),
    }
}
