//! What is said of an update, made once and cloned for each who is told.

use std::sync::OnceLock;

use axum::extract::ws::Utf8Bytes;
use axum::http::HeaderValue;
use axum::response::sse::Event;

/// An update's JSON, and what a transport makes of it for the first client that it tells.
#[derive(Debug)]
pub(crate) struct Said {
    seq: u64,
    pub(crate) text: Utf8Bytes,
    tag: OnceLock<HeaderValue>,
    event: OnceLock<Event>,
}

impl peer_contract::Said for Said {
    fn new(seq: u64, json: String) -> Self {
        Self { seq, text: json.into(), tag: OnceLock::new(), event: OnceLock::new() }
    }
}

impl Said {
    /// Its entity tag.
    pub(crate) fn tag(&self) -> &HeaderValue {
        self.tag.get_or_init(|| {
            HeaderValue::try_from(format!("\"{}\"", self.seq)).expect("digits between quotes are a value")
        })
    }

    /// It as an event.
    pub(crate) fn event(&self) -> &Event {
        self.event
            .get_or_init(|| Event::default().id(self.seq.to_string()).event("location").data(&*self.text))
    }
}
