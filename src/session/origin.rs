//! Which web pages may talk to this server: a browser names the page's origin, and only some are let in.
//!
//! On loopback or a LAN being reachable is the credential, so a page of somebody else's must not borrow a visitor's
//! browser to use it. Read RFC 6454 for what an origin is, and the WHATWG Fetch standard for what the answers mean.

/// The origins that `--allow-origin` lists.
#[derive(Clone, Debug, Default)]
pub struct Origins {
    listed: Vec<String>,
    any: bool,
}

/// What the server makes of a request's `Origin`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// No Origin, or the server's own: allowed, and the answer says nothing about it.
    Own,
    /// Listed: allowed, and the answer says so. The number is its place in the list.
    Listed(u16),
    /// Every origin is allowed, and the answer says so.
    Any,
    /// None of these.
    Foreign,
}

impl Origins {
    /// The origins of the list; `*` allows every one.
    #[must_use]
    pub fn new(listed: &[String]) -> Self {
        Self { any: listed.iter().any(|origin| origin == "*"), listed: listed.to_vec() }
    }

    /// Judges a request by its `Origin` and `Host` fields.
    #[must_use]
    pub fn judge(&self, origin: Option<&[u8]>, host: Option<&[u8]>) -> Verdict {
        let Some(origin) = origin else { return Verdict::Own };
        if is_host(origin, host.unwrap_or_default()) {
            return Verdict::Own;
        }
        if self.any {
            return Verdict::Any;
        }
        let place = self.listed.iter().position(|listed| listed.as_bytes().eq_ignore_ascii_case(origin));
        match place.and_then(|place| u16::try_from(place).ok()) {
            Some(place) => Verdict::Listed(place),
            None => Verdict::Foreign,
        }
    }

    /// The value of `Access-Control-Allow-Origin` for a verdict, if the answer carries one.
    #[must_use]
    pub fn allow_value(&self, verdict: Verdict) -> Option<&str> {
        match verdict {
            Verdict::Own | Verdict::Foreign => None,
            Verdict::Any => Some("*"),
            Verdict::Listed(place) => self.listed.get(usize::from(place)).map(String::as_str),
        }
    }

    /// Whether answers depend on the Origin, so that caches must keep them apart.
    #[must_use]
    pub fn vary(&self) -> bool {
        !self.listed.is_empty()
    }
}

/// Whether an origin is the very host that was asked: `http://host:port` or `https://host:port` against `host:port`.
fn is_host(origin: &[u8], host: &[u8]) -> bool {
    let schemes: [&[u8]; 2] = [b"http://", b"https://"];
    schemes.iter().any(|scheme| {
        origin.len() == scheme.len() + host.len()
            && origin[..scheme.len()].eq_ignore_ascii_case(scheme)
            && origin[scheme.len()..].eq_ignore_ascii_case(host)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(listed: &[&str], origin: Option<&str>, expected: Verdict) {
        let listed: Vec<String> = listed.iter().map(|origin| (*origin).to_owned()).collect();
        let verdict = Origins::new(&listed).judge(origin.map(str::as_bytes), Some(b"geo.example:8080"));
        assert_eq!(verdict, expected);
    }

    #[test]
    fn no_origin_and_the_own_origin_are_always_allowed() {
        check(&[], None, Verdict::Own);
        check(&[], Some("http://geo.example:8080"), Verdict::Own);
        check(&["*"], Some("HTTPS://GEO.example:8080"), Verdict::Own);
    }

    #[test]
    fn only_listed_origins_are_let_in() {
        check(&[], Some("https://evil.example"), Verdict::Foreign);
        check(&["https://a.example", "https://b.example"], Some("https://b.example"), Verdict::Listed(1));
        check(&["https://a.example"], Some("https://a.example.evil"), Verdict::Foreign);
        check(&["*"], Some("https://evil.example"), Verdict::Any);
        check(&[], Some("null"), Verdict::Foreign);
        check(&["null"], Some("null"), Verdict::Listed(0));
    }
}
