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
    pub fn judge(&self, origin: &[u8], host: Option<&[u8]>) -> Verdict {
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

/// Whether an origin is the very host that was asked: `http://host:port` or `https://host:port` against `host:port`, where
/// the scheme's own port goes without saying (RFC 6454, section 6.2).
fn is_host(origin: &[u8], host: &[u8]) -> bool {
    let schemes: [(&[u8], &[u8]); 2] = [(b"http://", b":80"), (b"https://", b":443")];
    schemes.iter().any(|(scheme, port)| {
        let host = host.strip_suffix(*port).unwrap_or(host);
        origin.len() == scheme.len() + host.len()
            && origin[..scheme.len()].eq_ignore_ascii_case(scheme)
            && origin[scheme.len()..].eq_ignore_ascii_case(host)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(listed: &[&str], origin: &str, expected: Verdict) {
        check_host(listed, origin, "geo.example:8080", expected);
    }

    #[track_caller]
    fn check_host(listed: &[&str], origin: &str, host: &str, expected: Verdict) {
        let listed: Vec<String> = listed.iter().map(|origin| (*origin).to_owned()).collect();
        assert_eq!(Origins::new(&listed).judge(origin.as_bytes(), Some(host.as_bytes())), expected);
    }

    #[test]
    fn port_of_the_scheme_goes_without_saying() {
        check_host(&[], "http://geo.example", "geo.example:80", Verdict::Own);
        check_host(&[], "https://geo.example", "geo.example:443", Verdict::Own);
        check_host(&[], "https://geo.example", "geo.example:80", Verdict::Foreign);
        check_host(&[], "http://geo.example", "geo.example", Verdict::Own);
    }

    #[test]
    fn the_own_origin_is_always_allowed() {
        check(&[], "http://geo.example:8080", Verdict::Own);
        check(&["*"], "HTTPS://GEO.example:8080", Verdict::Own);
    }

    #[test]
    fn only_listed_origins_are_let_in() {
        check(&[], "https://evil.example", Verdict::Foreign);
        check(&["https://a.example", "https://b.example"], "https://b.example", Verdict::Listed(1));
        check(&["https://a.example"], "https://a.example.evil", Verdict::Foreign);
        check(&["*"], "https://evil.example", Verdict::Any);
        check(&[], "null", Verdict::Foreign);
        check(&["null"], "null", Verdict::Listed(0));
    }
}
