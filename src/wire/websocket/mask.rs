//! The masking of client payloads (RFC 6455, section 5.3): XOR with a key of four bytes, over and over.
//!
//! Masking and unmasking are the same thing. Knows nothing of frames.

/// XORs `bytes` with `key`, where `bytes` begins `offset` bytes into the payload that the key belongs to.
///
/// Eight bytes at a time: the compiler turns the loop over words into vector instructions, which it does not do
/// for a loop over bytes that looks up `key[i % 4]`.
pub fn apply(key: [u8; 4], offset: usize, bytes: &mut [u8]) {
    let mut rotated = key;
    rotated.rotate_left(offset % 4);
    let [a, b, c, d] = rotated;
    // The word is read and written in the machine's own order, so its bytes stay where they lie in memory.
    let word = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (words, tail) = bytes.as_chunks_mut::<8>();
    for bytes in words {
        *bytes = (u64::from_ne_bytes(*bytes) ^ word).to_ne_bytes();
    }
    for (byte, key) in tail.iter_mut().zip(rotated.into_iter().cycle()) {
        *byte ^= key;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Section 5.3 word for word: octet i of the data is XORed with octet i MOD 4 of the key.
    fn apply_slowly(key: [u8; 4], offset: usize, bytes: &mut [u8]) {
        for (i, byte) in bytes.iter_mut().enumerate() {
            *byte ^= key[(offset + i) % 4];
        }
    }

    #[test]
    fn masked_hello_of_the_rfc_is_unmasked() {
        let mut bytes = [0x7f, 0x9f, 0x4d, 0x51, 0x58];
        apply([0x37, 0xfa, 0x21, 0x3d], 0, &mut bytes);
        assert_eq!(&bytes, b"Hello");
    }

    #[test]
    fn every_short_length_and_offset_equals_the_byte_loop() {
        for len in 0..40 {
            for offset in 0..9 {
                let mut fast: Vec<u8> = (0..len).collect();
                let mut slow = fast.clone();
                apply([1, 20, 30, 140], offset, &mut fast);
                apply_slowly([1, 20, 30, 140], offset, &mut slow);
                assert_eq!(fast, slow, "{len} bytes at {offset}");
            }
        }
    }

    proptest! {
        #[test]
        fn pieces_masked_one_by_one_equal_the_whole(
            key: [u8; 4], offset in 0usize..100, bytes: Vec<u8>, cut in 0usize..200
        ) {
            let mut whole = bytes.clone();
            apply_slowly(key, offset, &mut whole);
            let mut pieces = bytes;
            let cut = cut.min(pieces.len());
            let (front, back) = pieces.split_at_mut(cut);
            apply(key, offset, front);
            apply(key, offset + cut, back);
            prop_assert_eq!(pieces, whole);
        }
    }
}
