//! The contract as users of actix-web write it: extractors, `Sse` of actix-web-lab, a task a WebSocket with actix-ws, and a
//! broadcast channel of tokio's a group.
//!
//! A worker is a thread with a runtime of its own; beside them a thread accepts and deals connections out, which is
//! actix-web's design and not to be had without. What is not its default: TCP_NODELAY is set, an idle connection is kept
//! for 75 s in place of 5, and a client that shuts its half is taken for gone, so that a parked request of it ends.

mod requests;
mod said;
mod socket;
mod streams;

use std::io;
use std::time::Duration;

use actix_web::error::ErrorBadRequest;
use actix_web::http::StatusCode;
use actix_web::{App, HttpResponse, HttpServer, web};
use peer_contract::{BODY_BYTES_MAX, GroupId, Hub, Options, Presence, Subscription};

use crate::said::Said;

/// What handlers of all workers share.
type Shared = web::Data<Hub<Said>>;

/// The group that a path names; one that is none is answered with 400.
type Group = web::Path<GroupId>;

type Subscribed = Subscription<Said>;
type Present = Option<Presence<Said>>;

#[actix_web::main]
async fn main() -> io::Result<()> {
    let options = Options::from_command_line();
    let hub = Shared::new(Hub::default());
    let server = HttpServer::new(move || App::new().app_data(hub.clone()).configure(routes))
        .workers(options.workers.into())
        .keep_alive(Duration::from_secs(75))
        .client_request_timeout(Duration::from_secs(10))
        .h1_allow_half_closed(false)
        .tcp_nodelay(true)
        .disable_signals()
        .bind(options.listen)?;
    for address in server.addrs() {
        println!("listening on http://{address}");
    }
    server.run().await
}

fn routes(config: &mut web::ServiceConfig) {
    let current = |path: &str| web::resource(path).get(requests::current).post(requests::publish);
    config
        .app_data(web::PayloadConfig::new(BODY_BYTES_MAX))
        .app_data(web::PathConfig::default().error_handler(|error, _| ErrorBadRequest(error)))
        .service(current("/cur/{group}"))
        .service(current("/location/cur/{group}"))
        .route("/location/group/{group}", web::get().to(requests::snapshot))
        .route("/location/long/{group}", web::get().to(requests::long_poll))
        .route("/location/long/{group}/notify", web::post().to(requests::publish))
        .route("/location/share/{group}", web::post().to(requests::publish))
        .route("/location/sse/connect", web::get().to(streams::event_once))
        .route("/location/sse/share", web::post().to(requests::publish_to_any))
        .route("/location/sse/{group}", web::get().to(streams::events))
        .route("/ws", web::get().to(socket::join_any))
        .route("/ws/{group}", web::get().to(socket::join))
        .route("/healthz", web::get().to(|| async { "ok\n" }))
        .default_service(web::to(|| async { problem(StatusCode::NOT_FOUND, "nothing lives at this path") }));
}

/// An answer that says what went wrong.
fn problem(status: StatusCode, detail: &str) -> HttpResponse {
    let title = status.canonical_reason().unwrap_or_default();
    let body = peer_contract::problem(status.as_u16(), title, detail);
    HttpResponse::build(status).content_type("application/problem+json").body(body)
}
