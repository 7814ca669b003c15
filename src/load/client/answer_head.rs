//! The head of an answer, from the reads that it comes in.

use crate::limits::HTTP_HEAD_BYTES_MAX;
use crate::wire::Parsed;
use crate::wire::http::client::{self, AnswerError, AnswerHead};

/// Keeps a head that has not come whole.
#[derive(Debug, Default)]
pub(super) struct HeadReader {
    held: Vec<u8>,
}

impl HeadReader {
    /// The next head, interim ones passed over, and how many bytes of `input` it took; `None` if all of `input` was taken
    /// and it is not whole.
    ///
    /// # Errors
    /// [`AnswerError`], final.
    pub(super) fn read(&mut self, input: &[u8]) -> Result<Option<(AnswerHead, usize)>, AnswerError> {
        let mut used = 0;
        loop {
            let (rest, before) = (&input[used..], self.held.len());
            let parsed = if before == 0 {
                client::decode_answer(rest, HTTP_HEAD_BYTES_MAX)?
            } else {
                // What is held was `Partial`, so it is shorter than the limit, and a head ends behind it.
                self.held.extend_from_slice(&rest[..rest.len().min(HTTP_HEAD_BYTES_MAX - before)]);
                client::decode_answer(&self.held, HTTP_HEAD_BYTES_MAX)?
            };
            match parsed {
                Parsed::Partial => {
                    if before == 0 {
                        self.held.extend_from_slice(rest);
                    }
                    return Ok(None);
                }
                Parsed::Complete { value, used: head_bytes } => {
                    used += head_bytes - before;
                    self.held.clear();
                    if value.status == 101 || value.status >= 200 {
                        return Ok(Some((value, used)));
                    }
                }
            }
        }
    }

    /// Whether nothing is half received.
    pub(super) fn is_idle(&self) -> bool {
        self.held.is_empty()
    }
}
