//! Plain requests: one answer each, in their order (RFC 9112, section 9.3).

use std::mem;

use crate::limits::{ANSWER_BYTES_MAX, HEARD_BYTES_MAX};
use crate::load::client::answer_head::HeadReader;
use crate::load::client::{Answer, ClientError, Heard};
use crate::wire::http::body::BodyDecoder;
use crate::wire::http::client::{AnswerFraming, AnswerHead};
use crate::wire::http::request::Framing;

/// Reads the answers on one connection.
#[derive(Debug, Default)]
pub struct Requests {
    reading: Reading,
    heads: HeadReader,
    /// What there is of a body that has not come whole.
    body: Vec<u8>,
}

#[derive(Debug, Default)]
enum Reading {
    /// Accepts: the head of an answer. Next: one of the bodies, or `Head` if there is none.
    #[default]
    Head,
    /// Accepts: a body of so many bytes. Next: `Head`, or `Over`.
    Length { head: AnswerHead, bytes: usize },
    /// Accepts: a body in chunks. Next: `Head`, or `Over`.
    Chunked { head: AnswerHead, decoder: BodyDecoder },
    /// Accepts: a body that the end of the connection ends. Next: `Over`.
    ToEnd(AnswerHead),
    /// Accepts: nothing. The last answer said that it is the last.
    Over,
}

impl Requests {
    pub(super) fn handle_received(
        &mut self,
        bytes: &[u8],
        hear: &mut dyn FnMut(Heard<'_>),
    ) -> Result<(), ClientError> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let used = match &mut self.reading {
                Reading::Head => match self.heads.read(rest)? {
                    Some((head, used)) => {
                        self.begin(head, hear)?;
                        used
                    }
                    None => return Ok(()),
                },
                Reading::Length { head, bytes } => {
                    let (head, missing) = (*head, *bytes - self.body.len());
                    self.take_content(head, missing, rest, hear)
                }
                Reading::Chunked { head, decoder } => {
                    let head = *head;
                    let progress = decoder.decode(rest, &mut self.body)?;
                    if progress.done {
                        self.finish_held(head, hear);
                    }
                    progress.used
                }
                Reading::ToEnd(_) => {
                    if self.body.len() + rest.len() > ANSWER_BYTES_MAX {
                        return Err(ClientError::AnswerTooLong { bytes_max: ANSWER_BYTES_MAX });
                    }
                    self.body.extend_from_slice(rest);
                    rest.len()
                }
                Reading::Over => return Err(ClientError::BehindLastAnswer),
            };
            rest = &rest[used..];
        }
        Ok(())
    }

    pub(super) fn handle_end(&mut self, hear: &mut dyn FnMut(Heard<'_>)) -> Result<(), ClientError> {
        match &self.reading {
            Reading::Head if self.heads.is_idle() => Ok(()),
            Reading::ToEnd(head) => {
                let head = *head;
                self.finish_held(head, hear);
                Ok(())
            }
            Reading::Over => Ok(()),
            Reading::Head | Reading::Length { .. } | Reading::Chunked { .. } => Err(ClientError::CutShort),
        }
    }

    /// A head is whole: tells an answer without a body, and says how the body of another is read.
    fn begin(&mut self, head: AnswerHead, hear: &mut dyn FnMut(Heard<'_>)) -> Result<(), ClientError> {
        if head.status == 101 {
            return Err(ClientError::UnwantedUpgrade);
        }
        let too_long = ClientError::AnswerTooLong { bytes_max: ANSWER_BYTES_MAX };
        self.reading = match head.framing {
            AnswerFraming::Framed(Framing::None | Framing::Length(0)) => {
                self.finish(head, &[], hear);
                return Ok(());
            }
            AnswerFraming::Framed(Framing::Length(bytes)) => match usize::try_from(bytes) {
                Ok(bytes) if bytes <= ANSWER_BYTES_MAX => Reading::Length { head, bytes },
                Ok(_) | Err(_) => return Err(too_long),
            },
            AnswerFraming::Framed(Framing::Chunked) => {
                Reading::Chunked { head, decoder: BodyDecoder::new(Framing::Chunked, ANSWER_BYTES_MAX)? }
            }
            AnswerFraming::ToEnd => Reading::ToEnd(head),
        };
        Ok(())
    }

    /// Takes content of a body with a length: a body that is here whole is told from where it lies.
    fn take_content(
        &mut self,
        head: AnswerHead,
        missing: usize,
        input: &[u8],
        hear: &mut dyn FnMut(Heard<'_>),
    ) -> usize {
        let content = &input[..missing.min(input.len())];
        if content.len() == missing && self.body.is_empty() {
            self.finish(head, content, hear);
        } else {
            self.body.extend_from_slice(content);
            if content.len() == missing {
                self.finish_held(head, hear);
            }
        }
        content.len()
    }

    fn finish_held(&mut self, head: AnswerHead, hear: &mut dyn FnMut(Heard<'_>)) {
        let mut body = mem::take(&mut self.body);
        self.finish(head, &body, hear);
        if body.capacity() <= HEARD_BYTES_MAX {
            // The next one that is cut finds room; a snapshot's is not kept for it.
            body.clear();
            self.body = body;
        }
    }

    fn finish(&mut self, head: AnswerHead, body: &[u8], hear: &mut dyn FnMut(Heard<'_>)) {
        let AnswerHead { status, location_seq, etag, keep_alive, .. } = head;
        hear(Heard::Answer(Answer { status, body, location_seq, etag, keep_alive }));
        self.reading = if keep_alive { Reading::Head } else { Reading::Over };
    }
}
