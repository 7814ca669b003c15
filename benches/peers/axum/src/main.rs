//! The contract as users of axum write it: extractors, `Sse`, `WebSocketUpgrade`, a task a WebSocket, and a broadcast
//! channel a group.
//!
//! With one worker the runtime is tokio's current-thread one, so that no more than one thread is at work; with more it is
//! the multi-threaded one. What is not axum's default: TCP_NODELAY is set, and a WebSocket's read buffer is 4 KiB in
//! place of tungstenite's 128 KiB, which is allocated at once for each connection.

mod requests;
mod said;
mod socket;
mod streams;

use std::io;
use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Path};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::serve::ListenerExt;
use peer_contract::{BODY_BYTES_MAX, GroupId, Hub, Options, Presence, Subscription};
use tokio::net::TcpListener;
use tokio::runtime;

use crate::said::Said;

/// What handlers share.
type App = Arc<Hub<Said>>;

type Subscribed = Subscription<Said>;
type Present = Option<Presence<Said>>;

fn main() -> io::Result<()> {
    let options = Options::from_command_line();
    let runtime = match options.workers {
        1 => runtime::Builder::new_current_thread().enable_all().build()?,
        workers => {
            runtime::Builder::new_multi_thread().worker_threads(workers.into()).enable_all().build()?
        }
    };
    runtime.block_on(serve(options))
}

async fn serve(options: Options) -> io::Result<()> {
    let listener = TcpListener::bind(options.listen).await?;
    println!("listening on http://{}", listener.local_addr()?);
    let listener = listener.tap_io(|stream| {
        // A connection without it is served all the same.
        let _ = stream.set_nodelay(true);
    });
    axum::serve(listener, router()).await
}

fn router() -> Router {
    let current = || get(requests::current).post(requests::publish);
    Router::new()
        .route("/cur/{group}", current())
        .route("/location/cur/{group}", current())
        .route("/location/group/{group}", get(requests::snapshot))
        .route("/location/long/{group}", get(requests::long_poll))
        .route("/location/long/{group}/notify", post(requests::publish))
        .route("/location/share/{group}", post(requests::publish))
        .route("/location/sse/connect", get(streams::event_once))
        .route("/location/sse/share", post(requests::publish_to_any))
        .route("/location/sse/{group}", get(streams::events))
        .route("/ws", get(socket::join_any))
        .route("/ws/{group}", get(socket::join))
        .route("/healthz", get(|| async { "ok\n" }))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(App::default())
        .fallback(|| async { problem(StatusCode::NOT_FOUND, "nothing lives at this path") })
}

/// An answer that says what went wrong.
fn problem(status: StatusCode, detail: &str) -> Response {
    let title = status.canonical_reason().unwrap_or_default();
    let body = peer_contract::problem(status.as_u16(), title, detail);
    (status, [("content-type", "application/problem+json")], body).into_response()
}

/// The group that a path names; one that is none is answered with 400.
type Group = Path<GroupId>;
