//! Publish bodies and updates: the same JSON as the server under comparison reads and writes.

use std::fmt;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize, Serializer};

use crate::Said;

/// How far ahead of the server a publisher's clock may be, in milliseconds.
const AHEAD_MS_MAX: u64 = 5000;

/// Longest name of a member.
const MEMBER_BYTES_MAX: usize = 64;

/// The number of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(try_from = "u64")]
pub struct GroupId(u64);

impl GroupId {
    /// The group with that number, if one can have it.
    #[must_use]
    pub fn new(number: u64) -> Option<Self> {
        i64::try_from(number).is_ok().then_some(Self(number))
    }

    /// One of the ten that a client is put into who names none.
    #[must_use]
    pub fn drawn() -> Self {
        Self(fastrand::u64(0..10))
    }

    /// Its number.
    #[must_use]
    pub const fn number(self) -> u64 {
        self.0
    }
}

impl TryFrom<u64> for GroupId {
    type Error = &'static str;

    fn try_from(number: u64) -> Result<Self, Self::Error> {
        Self::new(number).ok_or("the group is not an integer from 0 to 9223372036854775807")
    }
}

/// Who a location belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(try_from = "String")]
pub struct Member(Arc<str>);

impl TryFrom<String> for Member {
    type Error = &'static str;

    fn try_from(name: String) -> Result<Self, Self::Error> {
        if (1..=MEMBER_BYTES_MAX).contains(&name.len()) && !name.chars().any(char::is_control) {
            Ok(Self(name.into()))
        } else {
            Err("member must be a string of 1 to 64 bytes without control characters")
        }
    }
}

/// What is handed to a group.
#[derive(Clone, Debug, PartialEq)]
pub struct Publish {
    /// Whom it is about; `None` for the nameless member.
    pub member: Option<Member>,
    /// Where it is; `None` if it leaves.
    pub location: Option<(f64, f64)>,
    /// When, if the publisher said so.
    pub at: Option<u64>,
}

/// Why a publish was not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The body does not parse.
    Syntax(String),
    /// A key is missing, or its value is none that it may have.
    Value(&'static str),
    /// The member's newest update is of a later time.
    Stale {
        /// What the publisher said.
        at: u64,
        /// What the newest update's publisher said.
        newest: u64,
    },
}

impl Refusal {
    /// The HTTP status that says so.
    #[must_use]
    pub const fn status(&self) -> u16 {
        match self {
            Self::Syntax(_) | Self::Value(_) => 400,
            Self::Stale { .. } => 409,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Syntax(what) => write!(f, "the body does not parse as a json object: {what}"),
            Self::Value(what) => f.write_str(what),
            Self::Stale { at, newest } => write!(f, "at {at} is older than the member's newest, {newest}"),
        }
    }
}

impl std::error::Error for Refusal {}

#[derive(Deserialize)]
struct Body {
    x: Option<f64>,
    y: Option<f64>,
    member: Option<Member>,
    at: Option<u64>,
    left: Option<bool>,
}

/// Reads a publish body; one that says nothing of a location is a location made up, unless the connection speaks for a
/// member.
///
/// # Errors
/// [`Refusal::Syntax`], [`Refusal::Value`].
pub fn read_publish(body: &[u8], speaks_for: Option<&Member>) -> Result<Publish, Refusal> {
    let nothing = || match speaks_for {
        None => Ok(simulate()),
        Some(_) => Err(Refusal::Value("x is missing")),
    };
    if body.trim_ascii_start().first() != Some(&b'{') {
        return nothing();
    }
    let body: Body = serde_json::from_slice(body).map_err(|error| Refusal::Syntax(error.to_string()))?;
    let location = match (body.left, body.x, body.y) {
        (Some(true), _, _) => None,
        (None, None, None) if body.member.is_none() && body.at.is_none() => return nothing(),
        (_, None, _) => return Err(Refusal::Value("x is missing")),
        (_, _, None) => return Err(Refusal::Value("y is missing")),
        (_, Some(x), Some(y)) => Some((x, y)),
    };
    let member = body.member.or_else(|| speaks_for.cloned());
    if location.is_none() && member.is_none() {
        return Err(Refusal::Value("only a named member can leave"));
    }
    let now = now_ms();
    let at = body.at.map(|at| if at > now + AHEAD_MS_MAX { now } else { at });
    Ok(Publish { member, location, at })
}

/// A location made up for who gave none.
#[must_use]
pub fn simulate() -> Publish {
    let location = Some((fastrand::f64() * 100.0, fastrand::f64() * 100.0));
    Publish { member: None, location, at: None }
}

/// What a group numbered: a location or a leave, with the JSON that everyone is given.
#[derive(Clone, Debug)]
pub struct Update<T> {
    /// Its number in its group.
    pub seq: u64,
    /// What is said of it.
    pub said: T,
    pub(crate) publish: Publish,
    at: u64,
}

impl<T: Said> Update<T> {
    /// Numbers a publish. Number 0 is a location that no group holds.
    #[must_use]
    pub fn new(seq: u64, publish: Publish) -> Self {
        let at = publish.at.unwrap_or_else(now_ms);
        Self { seq, said: T::new(seq, render(seq, &publish, at, false)), publish, at }
    }

    /// The same, for who cannot be told of all that came before it.
    pub(crate) fn behind_a_gap(&self) -> Self {
        let said = T::new(self.seq, render(self.seq, &self.publish, self.at, true));
        Self { seq: self.seq, said, publish: self.publish.clone(), at: self.at }
    }
}

#[derive(Serialize)]
struct Json<'a> {
    seq: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    member: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    x: Option<Number>,
    #[serde(skip_serializing_if = "Option::is_none")]
    y: Option<Number>,
    #[serde(skip_serializing_if = "is_false")]
    left: bool,
    at: u64,
    #[serde(skip_serializing_if = "is_false")]
    gap: bool,
}

const fn is_false(value: &bool) -> bool {
    !*value
}

/// A number that is written without `.0` if it is whole.
struct Number(f64);

impl Serialize for Number {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0.fract() == 0.0 && self.0.abs() < 1e15 {
            serializer.serialize_i64(self.0 as i64)
        } else {
            serializer.serialize_f64(self.0)
        }
    }
}

fn render(seq: u64, publish: &Publish, at: u64, gap: bool) -> String {
    let json = Json {
        seq,
        member: publish.member.as_ref().map(|member| &*member.0),
        x: publish.location.map(|(x, _)| Number(x)),
        y: publish.location.map(|(_, y)| Number(y)),
        left: publish.location.is_none(),
        at,
        gap,
    };
    serde_json::to_string(&json).expect("numbers and strings are JSON")
}

/// The body of an answer that says what went wrong (RFC 9457).
#[must_use]
pub fn problem(status: u16, title: &str, detail: &str) -> String {
    serde_json::json!({ "status": status, "title": title, "detail": detail }).to_string()
}

/// What a WebSocket is told whose publish was refused.
#[must_use]
pub fn error_text(refusal: &Refusal) -> String {
    serde_json::json!({ "error": "bad_publish", "detail": refusal.to_string() }).to_string()
}

/// When the client of an event stream that ends is to connect again, in milliseconds: each at another time.
#[must_use]
pub fn retry_ms() -> u64 {
    fastrand::u64(2000..4000)
}

/// Unix milliseconds.
pub(crate) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(body: &str, speaks_for: Option<&str>, expected: &str) {
        let speaks_for = speaks_for.map(|name| Member::try_from(name.to_owned()).unwrap());
        let said = match read_publish(body.as_bytes(), speaks_for.as_ref()) {
            Ok(publish) => Update::<String>::new(7, Publish { at: Some(9), ..publish }).said,
            Err(refusal) => refusal.to_string(),
        };
        assert!(said.starts_with(expected), "{body} came to {said}");
    }

    #[test]
    fn updates_are_written_as_the_server_under_comparison_writes_them() {
        let whole = r#"{"member":"u3","x":123456,"y":17}"#;
        check(whole, None, r#"{"seq":7,"member":"u3","x":123456,"y":17,"at":9}"#);
        check(r#"{"x":-1.50,"y":-0.0}"#, None, r#"{"seq":7,"x":-1.5,"y":0,"at":9}"#);
        check(r#"{"x":1,"y":2}"#, Some("bob"), r#"{"seq":7,"member":"bob","x":1,"y":2,"at":9}"#);
        check(r#"{"left":true}"#, Some("bob"), r#"{"seq":7,"member":"bob","left":true,"at":9}"#);
    }

    #[test]
    fn a_body_that_says_nothing_is_a_location_made_up() {
        for body in ["", "Hello from k6!", "{}", " [1]"] {
            check(body, None, r#"{"seq":7,"x":"#);
            check(body, Some("bob"), "x is missing");
        }
    }

    #[test]
    fn wrong_bodies_are_refused() {
        check(r#"{"x":1"#, None, "the body does not parse");
        check(r#"{"x":1}"#, None, "y is missing");
        check(r#"{"member":"a"}"#, None, "x is missing");
        check(
            r#"{"member":"","x":1,"y":2}"#,
            None,
            "the body does not parse as a json object: member must be",
        );
        check(r#"{"x":"1","y":2}"#, None, "the body does not parse");
        check(r#"{"x":1e999,"y":2}"#, None, "the body does not parse");
        check(r#"{"left":true}"#, None, "only a named member");
    }

    #[test]
    fn a_clock_too_far_ahead_is_set_back() {
        let body = format!(r#"{{"x":1,"y":2,"at":{}}}"#, u64::MAX);
        let publish = read_publish(body.as_bytes(), None).unwrap();
        assert!(publish.at.unwrap() <= now_ms(), "{publish:?}");
    }
}
