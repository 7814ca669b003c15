//! Ids of subscriptions that are kept in a few bytes where they stand: short words, and UUIDs in binary.
//!
//! Client libraries number their subscriptions or give each a UUID, so that nearly every id is one of these.

/// Longest word that is kept as it is: what a UUID takes in binary.
const WORD_BYTES_MAX: usize = 16;

/// How long a UUID is when it is spelled (RFC 9562, section 4).
pub(super) const UUID_TEXT_BYTES: usize = 36;

/// Where each byte of a UUID stands when it is spelled; a hyphen stands in each gap.
const UUID_PLACES: [usize; 16] = [0, 2, 4, 6, 9, 11, 14, 16, 19, 21, 24, 26, 28, 30, 32, 34];

/// An id, in one way only: two of them are the same id exactly if they are equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ShortId {
    /// As it was given, with zeros behind.
    Word { bytes: [u8; WORD_BYTES_MAX], len: u8 },
    /// A UUID whose letters are all of one case; lower, where it has none.
    Uuid { bytes: [u8; 16], is_upper: bool },
}

impl ShortId {
    /// An id that can be kept so; `None` if it cannot.
    pub(super) fn new(id: &[u8]) -> Option<Self> {
        if id.len() <= WORD_BYTES_MAX {
            let mut bytes = [0; WORD_BYTES_MAX];
            bytes[..id.len()].copy_from_slice(id);
            return Some(Self::Word { bytes, len: id.len() as u8 });
        }
        let id: &[u8; UUID_TEXT_BYTES] = id.try_into().ok()?;
        let is_upper = id.iter().any(u8::is_ascii_uppercase);
        let mut bytes = [0; 16];
        for (byte, place) in bytes.iter_mut().zip(UUID_PLACES) {
            *byte = digit(id[place], is_upper)? << 4 | digit(id[place + 1], is_upper)?;
        }
        let uuid = Self::Uuid { bytes, is_upper };
        // The hyphens are where they should be.
        matches!(uuid.spell(), Spelled::Uuid(spelled) if spelled == *id).then_some(uuid)
    }

    /// The id as it was given.
    pub(super) fn spell(&self) -> Spelled<'_> {
        match self {
            Self::Word { bytes, len } => Spelled::Given(&bytes[..usize::from(*len)]),
            Self::Uuid { bytes, is_upper } => {
                let digits = if *is_upper { b"0123456789ABCDEF" } else { b"0123456789abcdef" };
                let mut text = [b'-'; UUID_TEXT_BYTES];
                for (byte, place) in bytes.iter().zip(UUID_PLACES) {
                    text[place] = digits[usize::from(byte >> 4)];
                    text[place + 1] = digits[usize::from(byte & 15)];
                }
                Spelled::Uuid(text)
            }
        }
    }
}

/// An id as it is written in a header.
#[derive(Clone, Copy, Debug)]
pub(super) enum Spelled<'a> {
    Given(&'a [u8]),
    Uuid([u8; UUID_TEXT_BYTES]),
}

impl Spelled<'_> {
    pub(super) fn bytes(&self) -> &[u8] {
        match self {
            Self::Given(bytes) => bytes,
            Self::Uuid(text) => text,
        }
    }
}

/// The value of a hexadecimal digit whose letters are of this case.
const fn digit(byte: u8, is_upper: bool) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' if !is_upper => Some(byte - b'a' + 10),
        b'A'..=b'F' if is_upper => Some(byte - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const UUID: &str = "0f8fad5b-d9cb-469f-a165-70867728950e";

    /// What becomes of an id: kept short, it reads back as it was.
    #[track_caller]
    fn check(id: &str, is_short: bool) {
        let short = ShortId::new(id.as_bytes());
        assert_eq!(short.is_some(), is_short, "{id}");
        if let Some(short) = short {
            assert_eq!(short.spell().bytes(), id.as_bytes());
        }
    }

    #[test]
    fn words_are_short_up_to_the_length_of_a_uuid_in_binary() {
        check("", true);
        check("sub-0", true);
        check(&"x".repeat(WORD_BYTES_MAX), true);
        check(&"x".repeat(WORD_BYTES_MAX + 1), false);
    }

    #[test]
    fn uuids_are_short_in_either_case_and_not_in_both() {
        check(UUID, true);
        check(&UUID.to_uppercase(), true);
        check(&UUID.replacen('f', "F", 1), false);
        check("00000000-0000-0000-0000-000000000000", true);
    }

    #[test]
    fn what_only_looks_like_a_uuid_is_not_short() {
        check(&UUID.replace('-', "_"), false);
        check(&UUID.replace('-', "0"), false);
        check(&UUID.replacen('0', "g", 1), false);
        check(&UUID.replacen('0', "-", 1), false);
        check(&UUID[1..], false);
        check(&format!("{UUID}0"), false);
    }

    #[test]
    fn ids_that_differ_in_case_are_two() {
        let [lower, upper] = [UUID.to_owned(), UUID.to_uppercase()].map(|id| ShortId::new(id.as_bytes()));
        assert_ne!(lower, upper);
    }

    proptest! {
        #[test]
        fn short_ids_are_equal_exactly_if_what_was_given_is(
            ids in prop::array::uniform2(prop_oneof![
                "[ab]{0,18}",
                "[0-1a-b]{8}-[01]{4}-[0]{4}-[0]{4}-[0]{12}",
                "[0-1A-B]{8}-[01]{4}-[0]{4}-[0]{4}-[0]{12}",
            ]),
        ) {
            let [one, other] = ids.each_ref().map(|id| ShortId::new(id.as_bytes()));
            if let (Some(one), Some(other)) = (one, other) {
                prop_assert_eq!(one == other, ids[0] == ids[1]);
            }
            for (id, short) in ids.iter().zip([one, other]) {
                if let Some(short) = short {
                    prop_assert_eq!(short.spell().bytes().to_vec(), id.as_bytes());
                }
            }
        }
    }
}
