//! Updates as subscribers receive them, read byte for byte: keys in order, no blanks.

use geoloop::load::update::Received;

/// One update, and the very bytes that it came as.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Update {
    /// Its number in its group.
    pub(crate) seq: u64,
    /// Whom it is about; `None` for the nameless member.
    pub(crate) member: Option<String>,
    /// Where; `None` in a leave.
    pub(crate) location: Option<(f64, f64)>,
    /// Unix milliseconds.
    pub(crate) at: u64,
    /// Whether something before it can no longer be had.
    pub(crate) gap: bool,
    /// The bytes.
    pub(crate) text: String,
}

impl Update {
    /// Reads an update and refuses anything that README does not show: other keys, another order, blanks.
    #[track_caller]
    pub(crate) fn parse(text: &str) -> Self {
        match Self::read(text) {
            Some(update) => update,
            None => panic!("not an update as README shows it: {text:?}"),
        }
    }

    /// The coordinates, of an update that is no leave.
    #[track_caller]
    pub(crate) fn point(&self) -> (f64, f64) {
        match self.location {
            Some(point) => point,
            None => panic!("a leave has no location: {}", self.text),
        }
    }

    /// The same update as it reads without `gap`.
    pub(crate) fn text_without_gap(&self) -> String {
        self.text.replace(r#","gap":true}"#, "}")
    }

    /// Whether it tells of this member's leaving.
    pub(crate) fn is_leave_of(&self, member: &str) -> bool {
        self.location.is_none() && self.member.as_deref() == Some(member)
    }

    fn read(text: &str) -> Option<Self> {
        let Received { seq, member, location, at, gap } = Received::parse(text.as_bytes())?;
        let member = member.map(|name| name.as_str().to_owned());
        Some(Self { seq: seq.number(), member, location, at, gap, text: text.to_owned() })
    }
}

/// Checks that seqs only grow.
#[track_caller]
pub(crate) fn check_in_order(updates: &[Update]) {
    for pair in updates.windows(2) {
        assert!(pair[0].seq < pair[1].seq, "out of order: {} before {}", pair[0].text, pair[1].text);
    }
}
