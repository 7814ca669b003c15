//! Event streams, as a client reads them.

use crate::fuzz::{cut, ways};
use crate::ids::Seq;
use crate::wire::Parsed;
use crate::wire::sse::{self, Block};

/// A stream: any cut gives the same events, and what the server can write is read back.
pub fn sse_blocks(data: &[u8]) {
    let [whole, others @ ..] = ways(data).map(|sizes| read_blocks(data, &sizes));
    for other in others {
        assert_eq!(other, whole, "cut otherwise");
    }
    for block in whole {
        let data = block.data.unwrap_or_default();
        let seq = block.id.as_deref().and_then(|id| id.parse().ok()).and_then(Seq::new);
        // The data of an event of ours is one line, and its UTF-8 was made good above.
        if data.contains(['\r', '\n']) {
            continue;
        }
        let mut out = Vec::new();
        sse::encode_event(&mut out, seq, data.as_bytes());
        let expected = Block {
            id: seq.map(|seq| seq.to_string().into()),
            event: Some(sse::EVENT.into()),
            data: Some(data),
            ..Block::default()
        };
        assert_eq!(sse::decode(&out), Parsed::Complete { value: expected, used: out.len() });
    }
}

fn read_blocks(data: &[u8], sizes: &[usize]) -> Vec<Block<'static>> {
    let mut blocks = Vec::new();
    let mut held = Vec::new();
    for read in cut(data, sizes) {
        held.extend_from_slice(read);
        while let Parsed::Complete { value, used } = sse::decode(&held) {
            assert!(used > 0 && used <= held.len(), "{used} used");
            blocks.push(own(value));
            held.drain(..used);
        }
    }
    blocks
}

fn own(block: Block<'_>) -> Block<'static> {
    let own = |text: std::borrow::Cow<'_, str>| text.into_owned().into();
    Block {
        id: block.id.map(own),
        event: block.event.map(own),
        data: block.data.map(own),
        retry_ms: block.retry_ms,
        comments: block.comments,
    }
}
