//! An event stream (WHATWG HTML, section 9.2), in the answer to one request.

use crate::limits::HEARD_BYTES_MAX;
use crate::load::client::answer_head::HeadReader;
use crate::load::client::{ClientError, Heard, is_update_numbered};
use crate::wire::Parsed;
use crate::wire::http::body::BodyDecoder;
use crate::wire::http::client::{AnswerFraming, AnswerHead};
use crate::wire::http::request::Framing;
use crate::wire::sse::{self, Block};

/// How much of a read is joined to a held piece at first: more than an event usually takes.
const JOINED_BYTES_MIN: usize = 512;

/// Reads one event stream.
#[derive(Debug, Default)]
pub struct EventStream {
    reading: Reading,
    blocks: Blocks,
}

#[derive(Debug)]
enum Reading {
    /// Accepts: the head of the answer. Next: a content, or `Refused`.
    Head(HeadReader),
    /// Accepts: events, until the connection ends.
    ToEnd,
    /// Accepts: this many bytes of events. Next: `Over`.
    Length(u64),
    /// Accepts: events in chunks. Next: `Over`. The content so far goes through the buffer.
    Chunked(Box<BodyDecoder>, Vec<u8>),
    /// Accepts: anything, unread.
    Refused,
    /// Accepts: nothing. The answer was one of a length that it said, or its last chunk has come.
    Over,
}

impl Default for Reading {
    fn default() -> Self {
        Self::Head(HeadReader::default())
    }
}

impl EventStream {
    pub(super) fn handle_received(
        &mut self,
        bytes: &[u8],
        hear: &mut dyn FnMut(Heard<'_>),
    ) -> Result<(), ClientError> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let used = match &mut self.reading {
                Reading::Head(heads) => match heads.read(rest)? {
                    Some((head, used)) => {
                        self.begin(&head, hear)?;
                        used
                    }
                    None => return Ok(()),
                },
                Reading::ToEnd => {
                    self.blocks.handle_content(rest, hear)?;
                    rest.len()
                }
                Reading::Length(left) => {
                    let used = usize::try_from(*left).map_or(rest.len(), |left| left.min(rest.len()));
                    *left -= used as u64;
                    self.blocks.handle_content(&rest[..used], hear)?;
                    if *left == 0 {
                        self.finish()?;
                    }
                    used
                }
                Reading::Chunked(decoder, content) => {
                    // What came before a broken chunk is told all the same, as if it had come by itself.
                    let progress = decoder.decode(rest, content);
                    self.blocks.handle_content(content, hear)?;
                    content.clear();
                    let progress = progress?;
                    if progress.done {
                        self.finish()?;
                    }
                    progress.used
                }
                Reading::Refused => rest.len(),
                Reading::Over => return Err(ClientError::BehindLastAnswer),
            };
            rest = &rest[used..];
        }
        Ok(())
    }

    pub(super) fn handle_end(&self) -> Result<(), ClientError> {
        match &self.reading {
            Reading::Head(heads) if heads.is_idle() => Ok(()),
            Reading::ToEnd if self.blocks.is_idle() => Ok(()),
            Reading::Refused | Reading::Over => Ok(()),
            Reading::Head(_) | Reading::ToEnd | Reading::Length(_) | Reading::Chunked(..) => {
                Err(ClientError::CutShort)
            }
        }
    }

    fn begin(&mut self, head: &AnswerHead, hear: &mut dyn FnMut(Heard<'_>)) -> Result<(), ClientError> {
        if head.status != 200 {
            self.reading = Reading::Refused;
            hear(Heard::Refused { status: head.status });
            return Ok(());
        }
        if !head.event_stream {
            return Err(ClientError::NotEventStream);
        }
        hear(Heard::Opened);
        self.reading = match head.framing {
            AnswerFraming::ToEnd => Reading::ToEnd,
            AnswerFraming::Framed(Framing::None | Framing::Length(0)) => Reading::Over,
            AnswerFraming::Framed(Framing::Length(bytes)) => Reading::Length(bytes),
            // A stream has no length to be bounded; its blocks are.
            AnswerFraming::Framed(Framing::Chunked) => {
                Reading::Chunked(Box::new(BodyDecoder::new(Framing::Chunked, usize::MAX)?), Vec::new())
            }
        };
        Ok(())
    }

    fn finish(&mut self) -> Result<(), ClientError> {
        self.reading = Reading::Over;
        if self.blocks.is_idle() { Ok(()) } else { Err(ClientError::CutShort) }
    }
}

/// Reads blocks of lines, and keeps one that has not come whole.
#[derive(Debug, Default)]
struct Blocks {
    held: Vec<u8>,
}

impl Blocks {
    fn handle_content(&mut self, content: &[u8], hear: &mut dyn FnMut(Heard<'_>)) -> Result<(), ClientError> {
        let mut rest = content;
        if !self.held.is_empty() {
            match self.join(rest, hear)? {
                Some(used) => rest = &rest[used..],
                None => return Ok(()),
            }
        }
        loop {
            // Line ends before a block belong to none, so a stream may end behind them.
            let blank = rest.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
            rest = &rest[blank..];
            match read_block(rest, hear)? {
                Some(used) => rest = &rest[used..],
                None => break,
            }
        }
        self.held.extend_from_slice(rest);
        Ok(())
    }

    /// Reads the block that is held, and how many bytes of `input` end it; `None` if they do not.
    ///
    /// No more of a read is copied than about as much again as is held: the blocks behind are read where they lie.
    fn join(&mut self, input: &[u8], hear: &mut dyn FnMut(Heard<'_>)) -> Result<Option<usize>, ClientError> {
        let before = self.held.len();
        let mut joined = 0;
        while joined < input.len() {
            // What is held is shorter than the limit, or `read_block` had refused it.
            let piece = self.held.len().max(JOINED_BYTES_MIN).min(HEARD_BYTES_MAX - self.held.len());
            let end = input.len().min(joined + piece);
            self.held.extend_from_slice(&input[joined..end]);
            joined = end;
            if let Some(used) = read_block(&self.held, hear)? {
                self.held.clear();
                return Ok(Some(used - before));
            }
        }
        Ok(None)
    }

    fn is_idle(&self) -> bool {
        self.held.is_empty()
    }
}

/// Tells one block, and how many bytes it took; `None` if it is not whole.
///
/// No more than the limit is looked at, so that the answer does not depend on how the block was cut.
fn read_block(input: &[u8], hear: &mut dyn FnMut(Heard<'_>)) -> Result<Option<usize>, ClientError> {
    let window = &input[..input.len().min(HEARD_BYTES_MAX)];
    if let Some((body, used)) = plain_event(window) {
        hear(Heard::Update { body, subscription: None, group: None });
        return Ok(Some(used));
    }
    match sse::decode(window) {
        Parsed::Partial if input.len() >= HEARD_BYTES_MAX => {
            Err(ClientError::EventTooLong { bytes_max: HEARD_BYTES_MAX })
        }
        Parsed::Partial => Ok(None),
        Parsed::Complete { value, used } => {
            tell(&value, hear)?;
            Ok(Some(used))
        }
    }
}

/// What stands between the digits of the id and the data, as [`sse::encode_event`] writes it.
const BETWEEN: &[u8] = b"\nevent: location\ndata: ";

/// The data of a whole event that is written to the letter as [`sse::encode_event`] does and keeps all rules, and how many
/// bytes it took. Nearly every event is; whatever is not, this says nothing of.
///
/// Decoding lines of any kind costs more than twice as much, which shows at some 100,000 events a second.
fn plain_event(input: &[u8]) -> Option<(&[u8], usize)> {
    let rest = input.strip_prefix(b"id: ")?;
    let (id, rest) = rest.split_at(rest.iter().position(|byte| !byte.is_ascii_digit())?);
    let data = rest.strip_prefix(BETWEEN)?;
    let end = data.iter().position(|byte| matches!(byte, b'\r' | b'\n'))?;
    let (body, behind) = data.split_at(end);
    if !behind.starts_with(b"\n\n") || !is_update_numbered(body, id) {
        return None;
    }
    Some((body, input.len() - behind.len() + 2))
}

fn tell(block: &Block<'_>, hear: &mut dyn FnMut(Heard<'_>)) -> Result<(), ClientError> {
    if let Some(wait_ms) = block.retry_ms {
        hear(Heard::Retry { wait_ms });
    }
    let Some(data) = &block.data else { return Ok(()) };
    if block.event.as_deref() != Some(sse::EVENT) {
        return Err(ClientError::EventName);
    }
    let body = data.as_bytes();
    match &block.id {
        Some(id) if is_update_numbered(body, id.as_bytes()) => {
            hear(Heard::Update { body, subscription: None, group: None });
            Ok(())
        }
        Some(_) | None => Err(ClientError::EventId),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ids::Seq;

    /// What lines of any kind, decoded, come to: the data of an event that keeps all rules, and its bytes.
    fn decoded(input: &[u8]) -> Option<(Vec<u8>, usize)> {
        let Parsed::Complete { value, used } = sse::decode(input) else { return None };
        let mut data = None;
        let told = tell(&value, &mut |heard| {
            if let Heard::Update { body, .. } = heard {
                data = Some(body.to_vec());
            }
        });
        told.ok().and(data).map(|data| (data, used))
    }

    fn written(number: u64) -> Vec<u8> {
        let mut out = Vec::new();
        let update = format!("{{\"seq\":{number},\"x\":1}}");
        sse::encode_event(&mut out, Seq::new(number), update.as_bytes());
        out
    }

    #[test]
    fn what_the_server_writes_is_a_plain_event() {
        for number in [1, 17, Seq::END - 1] {
            let event = written(number);
            let (body, used) = plain_event(&event).expect("it is plain");
            assert_eq!((Some((body.to_vec(), used)), used), (decoded(&event), event.len()));
        }
    }

    proptest! {
        #[test]
        fn plain_event_is_what_its_lines_come_to(
            number in 0..Seq::END,
            changes in prop::collection::vec((0usize..80, prop::sample::select(&b"\r\n :,0x{idatev"[..]), 0..3), 0..3),
        ) {
            let mut input = [written(number), written(number)].concat();
            for (at, byte, kind) in changes {
                let at = at % input.len();
                match kind {
                    0 => input[at] = byte,
                    1 => input.insert(at, byte),
                    _ => drop(input.remove(at)),
                }
            }
            if let Some((body, used)) = plain_event(&input) {
                prop_assert_eq!(Some((body.to_vec(), used)), decoded(&input));
            }
        }
    }
}
