//! A plain WebSocket: every text is an update or a complaint.

use crate::load::client::link::{Link, Passed};
use crate::load::client::{ClientError, Heard, UPDATE_START};
use crate::wire::websocket::frame::CloseCode;

/// What a text begins with that says why a publish was refused.
const COMPLAINT_START: &str = "{\"error\":";

/// Reads one WebSocket.
#[derive(Debug)]
pub struct WebSocket(Link);

impl WebSocket {
    pub(super) fn new(key: [u8; 24]) -> Self {
        Self(Link::new(key))
    }

    pub(super) fn handle_received(
        &mut self,
        bytes: &mut [u8],
        mask: [u8; 4],
        unsent: &mut Vec<u8>,
        hear: &mut dyn FnMut(Heard<'_>),
    ) -> Result<(), ClientError> {
        self.0.handle_received(bytes, (mask, unsent), false, |passed| {
            hear(match passed {
                Passed::Opened => Heard::Opened,
                Passed::Refused(status) => Heard::Refused { status },
                Passed::Closing(code) => Heard::Closing { code },
                Passed::Text(text) if text.as_bytes().starts_with(UPDATE_START) => {
                    Heard::Update { body: text.as_bytes(), subscription: None, group: None }
                }
                Passed::Text(text) if text.starts_with(COMPLAINT_START) => Heard::Complaint(text),
                Passed::Text(_) => return Err(ClientError::UnknownText),
                Passed::Binary(_) => return Err(ClientError::Binary),
            });
            Ok(())
        })
    }

    pub(super) fn handle_end(&self) -> Result<(), ClientError> {
        self.0.handle_end()
    }

    pub(super) fn close(&mut self, code: CloseCode, mask: [u8; 4], unsent: &mut Vec<u8>) {
        self.0.close(code, mask, unsent);
    }
}
