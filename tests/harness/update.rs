//! Updates as subscribers receive them, read byte for byte: keys in order, no blanks.

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
        let mut rest = text.strip_prefix(r#"{"seq":"#)?;
        let seq = until(&mut rest, ',')?.parse().ok()?;
        let mut member = None;
        if let Some(named) = rest.strip_prefix(r#""member":"#) {
            let end = end_of_string(named)?;
            member = Some(serde_json::from_str(&named[..end]).ok()?);
            rest = named[end..].strip_prefix(',')?;
        }
        let mut location = None;
        if let Some(left) = rest.strip_prefix(r#""left":true,"#) {
            rest = left;
        } else {
            rest = rest.strip_prefix(r#""x":"#)?;
            let x = number(until(&mut rest, ',')?)?;
            rest = rest.strip_prefix(r#""y":"#)?;
            location = Some((x, number(until(&mut rest, ',')?)?));
        }
        rest = rest.strip_prefix(r#""at":"#)?.strip_suffix('}')?;
        let (at, gap) = match rest.strip_suffix(r#","gap":true"#) {
            Some(at) => (at, true),
            None => (rest, false),
        };
        Some(Self { seq, member, location, at: at.parse().ok()?, gap, text: text.to_owned() })
    }
}

fn until<'a>(rest: &mut &'a str, end: char) -> Option<&'a str> {
    let (token, behind) = rest.split_once(end)?;
    *rest = behind;
    Some(token)
}

/// One past the closing quote of the JSON string that the text begins with.
fn end_of_string(text: &str) -> Option<usize> {
    let mut escaped = false;
    for (place, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return Some(place + 1),
            _ => {}
        }
    }
    None
}

/// A JSON number in its shortest form: no blank, no `.0`, no sign but minus.
fn number(token: &str) -> Option<f64> {
    let plain = token.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'.' | b'-' | b'e' | b'E' | b'+'));
    if !plain || token.ends_with(".0") || token.starts_with('+') { None } else { token.parse().ok() }
}

/// Checks that seqs only grow.
#[track_caller]
pub(crate) fn check_in_order(updates: &[Update]) {
    for pair in updates.windows(2) {
        assert!(pair[0].seq < pair[1].seq, "out of order: {} before {}", pair[0].text, pair[1].text);
    }
}
