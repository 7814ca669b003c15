//! RFC 9112, HTTP/1.1: what it asks of a server about messages, sections 2 to 7.
//!
//! Where it leaves a choice a row says what was chosen: whatever two readers could read differently is refused.

mod harness;

use harness::http::{Wire, post};
use harness::rules::http::{chunked, closes, getting, goes_on, line, posting};
use harness::rules::{Bench, LOCATION};

#[test]
fn section_2_message_parsing() {
    let request = getting("");
    let lf = request.replace("\r\n", "\n");
    Bench::start(&[]).check(&[
        closes("2.2: bare CR in a request line", "GET /heal\rthz HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        closes("2.2: bare CR ends no request line", "GET /healthz HTTP/1.1\rHost: a\r\n\r\n", 400),
        closes("2.2: bare CR before the request line", format!("\r{request}"), 400),
        closes("2.2: bare CR in a field name", getting("X\rY: z\r\n"), 400),
        closes("2.2: bare CR in a field value", posting("X: a\rContent-Length: 5\r\n", ""), 400),
        closes("2.2: bare CR at the end of a field value", getting("X: a\r\r\n"), 400),
        closes("2.2: bare CR for the empty line", getting("\rX: y\r\n"), 400),
        goes_on("2.2: an empty line before the request line", format!("\r\n{request}"), 200),
        goes_on("2.2: several of them", format!("\r\n\n\r\n{request}"), 200),
        goes_on("2.2: LF alone ends lines", lf, 200),
        goes_on("2.2: LF and CR LF mixed", "GET /healthz HTTP/1.1\nHost: a\r\nX: y\n\r\n", 200),
        closes("2.2: blank before the first field", "GET /healthz HTTP/1.1\r\n Host: a\r\n\r\n", 400),
        closes("2.2: tab before the first field", "GET /healthz HTTP/1.1\r\n\tX: y\r\nHost: a\r\n\r\n", 400),
        closes(
            "2.2: line of blanks alone before the first field",
            "GET / HTTP/1.1\r\n \r\nHost: a\r\n\r\n",
            400,
        ),
        closes("2.2: bytes that are no HTTP: TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
        closes("2.2: bytes that are no HTTP: NUL", b"\0\r\n\r\n", 400),
        closes("2.2: bytes that are no HTTP: JSON", "{\"x\":1,\"y\":2}\r\n\r\n", 400),
        closes("2.2: bytes that are no HTTP: an answer", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 400),
        goes_on("2.3: a later minor version is read as 1.1", line("GET /healthz HTTP/1.2"), 200),
        goes_on("2.3: the last minor version", line("GET /healthz HTTP/1.9"), 200),
        closes("2.3: HTTP/2", line("GET /healthz HTTP/2.0"), 505),
        closes("2.3: the preface of HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
        closes("2.3: HTTP/3", line("GET /healthz HTTP/3.0"), 505),
        closes("2.3: HTTP/0.9, which says no version", "GET /healthz\r\n", 400),
        closes("2.3: HTTP/0.9 by name", line("GET /healthz HTTP/0.9"), 505),
        closes("2.3: the name is upper-case", line("GET /healthz http/1.1"), 400),
        closes("2.3: one digit each: 1.10", line("GET /healthz HTTP/1.10"), 400),
        closes("2.3: one digit each: 11.1", line("GET /healthz HTTP/11.1"), 400),
        closes("2.3: one digit each: 1", line("GET /healthz HTTP/1"), 400),
        closes("2.3: no comma", line("GET /healthz HTTP/1,1"), 400),
        closes("2.3: no blank", line("GET /healthz HTTP/ 1.1"), 400),
        closes("2.3: another protocol", line("GET /healthz ICAP/1.1"), 400),
    ]);
}

#[test]
fn section_3_request_line() {
    let target = |bytes: usize| format!("/healthz?{}", "a".repeat(bytes - "/healthz?".len()));
    Bench::start(&[]).check(&[
        goes_on("3.1: a method's case counts", line("get /healthz HTTP/1.1"), 405),
        goes_on("3.1: a method that nobody knows", line("BREW /healthz HTTP/1.1"), 405),
        goes_on("3.1: a long one", line(&format!("{} /healthz HTTP/1.1", "M".repeat(100))), 405),
        goes_on("3.1: every character of a token", line("!#$%&'*+-.^_`|~09 /healthz HTTP/1.1"), 405),
        closes("3.1: one that never ends", "M".repeat(9000), 431),
        closes("3.1: a character of no token", line("G@T /healthz HTTP/1.1"), 400),
        closes("3.1: NUL in a method", line("G\0T /healthz HTTP/1.1"), 400),
        closes("3.1: no method", line("/healthz HTTP/1.1"), 400),
        closes("3: blank before the method", line(" GET /healthz HTTP/1.1"), 400),
        closes("3: two blanks before the target", line("GET  /healthz HTTP/1.1"), 400),
        closes("3: two blanks before the version", line("GET /healthz  HTTP/1.1"), 400),
        closes("3: blank behind the version", line("GET /healthz HTTP/1.1 "), 400),
        closes("3: tab for a blank", line("GET\t/healthz HTTP/1.1"), 400),
        closes("3: tab before the version", line("GET /healthz\tHTTP/1.1"), 400),
        closes("3: vertical tab for a blank", line("GET /healthz\x0bHTTP/1.1"), 400),
        closes("3: no target", line("GET HTTP/1.1"), 400),
        closes("3: blank in the target", line("GET /health z HTTP/1.1"), 400),
        closes("3.2: NUL in the target", line("GET /healthz\0 HTTP/1.1"), 400),
        closes("3.2: control in the target", line("GET /healthz\x01 HTTP/1.1"), 400),
        closes("3.2: DEL in the target", line("GET /healthz\x7f HTTP/1.1"), 400),
        closes("3.2: no UTF-8 in the target", b"GET /healthz?\xff HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        goes_on("3.2: UTF-8 that a client should have escaped", line("GET /healthz?\u{e9} HTTP/1.1"), 200),
        goes_on("3: the longest target", line(&format!("GET {} HTTP/1.1", target(4096))), 200),
        closes("3: a target one byte longer", line(&format!("GET {} HTTP/1.1", target(4097))), 414),
    ]);
}

#[test]
fn section_3_2_request_target() {
    Bench::start(&[]).check(&[
        goes_on("3.2.1: origin-form", line("GET /healthz HTTP/1.1"), 200),
        goes_on("3.2.1: origin-form with a query", line("GET /healthz?a=/%2e?& HTTP/1.1"), 200),
        goes_on("3.2.1: a path that looks like an authority", line("GET //healthz HTTP/1.1"), 404),
        closes("3.2.1: a path without its slash", line("GET healthz HTTP/1.1"), 400),
        closes("3.2.1: a fragment is no part of a target", line("GET /healthz#x HTTP/1.1"), 400),
        goes_on("3.2.2: absolute-form", line("GET http://geoloop/healthz HTTP/1.1"), 200),
        goes_on("3.2.2: absolute-form, https", line("GET HTTPS://geoloop:1/healthz HTTP/1.1"), 200),
        goes_on("3.2.2: absolute-form without a path", line("GET http://geoloop HTTP/1.1"), 200),
        goes_on("3.2.2: absolute-form, an IPv6 address", line("GET http://[::1]:80/healthz HTTP/1.1"), 200),
        closes("3.2.2: absolute-form needs Host too", "GET http://geoloop/healthz HTTP/1.1\r\n\r\n", 400),
        closes("3.2.2: absolute-form without a host", line("GET http:///healthz HTTP/1.1"), 400),
        closes("3.2.2: absolute-form with a port alone", line("GET http://:80/healthz HTTP/1.1"), 400),
        closes("3.2.2: user information in a target", line("GET http://u@geoloop/healthz HTTP/1.1"), 400),
        closes("3.2.2: a port that is none", line("GET http://geoloop:8o/healthz HTTP/1.1"), 400),
        closes("3.2.2: another scheme", line("GET ftp://geoloop/healthz HTTP/1.1"), 400),
        closes("3.2.3: authority-form is CONNECT's", line("GET geoloop:80 HTTP/1.1"), 400),
        goes_on("3.2.3: authority-form, but no tunnels here", line("CONNECT geoloop:80 HTTP/1.1"), 404),
        closes("3.2.3: CONNECT needs authority-form", line("CONNECT /healthz HTTP/1.1"), 400),
        goes_on("3.2.4: asterisk-form", line("OPTIONS * HTTP/1.1"), 204),
        goes_on("3.2.4: what a proxy would turn into it", line("OPTIONS http://geoloop HTTP/1.1"), 204),
        closes("3.2.4: asterisk-form is OPTIONS'", line("GET * HTTP/1.1"), 400),
        closes("3.2.4: the asterisk alone", line("OPTIONS *x HTTP/1.1"), 400),
    ]);
}

#[test]
fn section_3_2_host() {
    let host = |value: &str| format!("GET /healthz HTTP/1.1\r\nHost: {value}\r\n\r\n");
    let mut rows = vec![
        closes("3.2: no Host", "GET /healthz HTTP/1.1\r\n\r\n", 400),
        closes("3.2: no Host in 1.2 either", "GET /healthz HTTP/1.2\r\n\r\n", 400),
        closes("3.2: Host twice", "GET /healthz HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        closes(
            "3.2: the same Host twice",
            "GET /healthz HTTP/1.1\r\nHost: a\r\nX: y\r\nhost: a\r\n\r\n",
            400,
        ),
        closes("3.2: Host twice in 1.0", "GET /healthz HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n", 400),
        closes("3.2: no Host in 1.0, which knows none", "GET /healthz HTTP/1.0\r\n\r\n", 200),
    ];
    for good in ["", "a", "a:", "a:80", "a.example:8080", "127.0.0.1:80", "[::1]", "[::1]:80", "a%2Db", "_a~"]
    {
        rows.push(goes_on("3.2: a Host", host(good), 200));
    }
    for bad in [
        "a b", "a/b", "a\\b", "u@a", "\"a\"", "a?b", "a#b", "a:b", "a:80:80", "a:-1", "a:8 0", ":80", "[::1",
        "::1", "[::1]x", "[::1]80", "[g::]", "[]", "a]", "a[", "a%", "a%2", "a%zz", "\u{e9}", "a, b", "<a>",
    ] {
        rows.push(closes("3.2: what is no Host", host(bad), 400));
    }
    Bench::start(&[]).check(&rows);
}

// Section 3.2.2: an origin server "MUST ignore the received Host header field" and take the target's.
#[test]
fn section_3_2_2_authority_of_the_target_goes_over_host() {
    let from = |target: &str, host: &str| {
        format!(
            "POST {target}/location/share/3 HTTP/1.1\r\nHost: {host}\r\nOrigin: http://page.example\r\n\
             Content-Length: 0\r\n\r\n"
        )
    };
    Bench::start(&[]).check(&[
        goes_on("3.2.2: Host is the page's own", from("", "page.example"), 200),
        goes_on("3.2.2: Host is not", from("", "geoloop"), 403),
        goes_on("3.2.2: the target is, whatever Host says", from("http://page.example", "geoloop"), 200),
        goes_on("3.2.2: the target is not, whatever Host says", from("http://geoloop", "page.example"), 403),
    ]);
}

#[test]
fn section_5_field_syntax() {
    let opaque = b"GET /healthz HTTP/1.1\r\nHost: a\r\nX: \xff\xc3\x28\r\n\r\n";
    let mut rows = vec![
        closes("5.1: blank before the colon", getting("X : y\r\n"), 400),
        closes("5.1: tab before the colon", getting("X\t: y\r\n"), 400),
        closes("5.1: blank before the colon of a length", posting("Content-Length : 5\r\n", "12345"), 400),
        closes(
            "5.1: blank before the colon of a coding",
            posting("Transfer-Encoding : chunked\r\n", ""),
            400,
        ),
        closes("5: no colon", getting("X\r\n"), 400),
        closes("5: no name", getting(": y\r\n"), 400),
        goes_on("5: no value", getting("X:\r\n"), 200),
        goes_on("5: blanks around a value", getting("X: \t y \t\r\n"), 200),
        goes_on("5: a tab in a value", getting("X: y\tz\r\n"), 200),
        goes_on("5: colons in a value", getting("X::y:z:\r\n"), 200),
        goes_on("5: case of a name", "GET /healthz HTTP/1.1\r\nhOsT: a\r\nCONNECTION: x\r\n\r\n", 200),
        closes("5.2: obs-fold with a blank", getting("X: a\r\n b\r\n"), 400),
        closes("5.2: obs-fold with a tab", getting("X: a\r\n\tb\r\n"), 400),
        closes("5.2: obs-fold behind LF alone", getting("X: a\n b\r\n"), 400),
        closes("5.2: obs-fold of nothing", getting("X: a\r\n \r\n"), 400),
        closes("5.2: obs-fold that hides a coding", posting("Transfer-Encoding:\r\n chunked\r\n", ""), 400),
        closes("5.2: obs-fold of the last line", getting("X: a\r\n "), 400),
        goes_on("5: bytes above 0x7f in a value are opaque", opaque, 200),
        closes("5: bytes above 0x7f in a name", getting("X\u{e9}: y\r\n"), 400),
    ];
    for bad in ["X(Y): z", "X Y: z", "X\0: z", "X\x7f: z", "\"X\": z", "X/Y: z", "X@: z", "{X}: z", "X;: z"] {
        rows.push(closes("5.1: a name is a token", getting(&format!("{bad}\r\n")), 400));
    }
    for bad in ["\0", "a\0b", "\x01", "a\x08b", "\x0b", "\x0c", "\x1b[0m", "a\x7fb"] {
        rows.push(closes("5: a control in a value", getting(&format!("X: {bad}\r\n")), 400));
    }
    Bench::start(&[]).check(&rows);
}

#[test]
fn section_6_1_transfer_encoding() {
    let body = "0\r\n\r\n";
    let coding = |value: &str| posting(&format!("Transfer-Encoding: {value}\r\n"), body);
    let old = |fields: &str| {
        format!("POST /location/share/3 HTTP/1.0\r\nConnection: keep-alive\r\n{fields}\r\n{body}")
    };
    let mut rows = vec![
        goes_on("6.1: chunked", coding("chunked"), 200),
        goes_on("7: its case does not count", coding("ChUnKeD"), 200),
        goes_on("6.1: blanks around it", posting("Transfer-Encoding:\t chunked \t\r\n", body), 200),
        goes_on("6.1: chunked in a later 1.x", coding("chunked").replace("HTTP/1.1", "HTTP/1.5"), 200),
        closes("6.1: a coding below chunked that nobody knows", coding("gzip, chunked"), 501),
        closes("6.1: the same on two lines", coding("gzip\r\nTransfer-Encoding: chunked"), 501),
        closes("6.1: in HTTP/1.0 framing is faulty", old("Transfer-Encoding: chunked\r\n"), 400),
        closes("6.1: even with a length", old("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n"), 400),
    ];
    for bad in [
        "chunked, chunked",
        "chunked\r\nTransfer-Encoding: chunked",
        "chunked, gzip",
        "chunked\r\nTransfer-Encoding: gzip",
        "chunked, identity",
        "identity",
        "gzip",
        "xchunked",
        "chunkedx",
        "x-chunked",
        "chunked;q=1",
        "\"chunked\"",
        "'chunked'",
        "chunk ed",
        "chunked gzip",
        "",
        ",",
        ",chunked",
        "chunked,",
        "chunked\u{a0}",
        "\u{2003}chunked",
    ] {
        rows.push(closes("6.3: chunked is not the last coding, once", coding(bad), 400));
    }
    Bench::start(&[]).check(&rows);
}

#[test]
fn section_6_3_message_body_length() {
    let length = |value: &str| posting(&format!("Content-Length: {value}\r\n"), "12345");
    let both = |fields: &str| posting(fields, "0\r\n\r\n");
    let smuggled = post("/location/share/3", LOCATION);
    let carrying = |line: &str| {
        format!("{line} HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{smuggled}", smuggled.len())
    };
    let mut rows = vec![
        closes("6.3, 3: length and coding", both("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"), 400),
        closes("6.3, 3: coding and length", both("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n"), 400),
        closes("6.3, 3: length 0 too", both("Content-Length: 0\r\nTransfer-Encoding: chunked\r\n"), 400),
        closes("6.3, 3: whatever the coding", both("Content-Length: 5\r\nTransfer-Encoding: x\r\n"), 400),
        closes("6.3, 3: no coding named", both("Content-Length: 5\r\nTransfer-Encoding:\r\n"), 400),
        closes("6.3, 5: two lengths", length("5\r\nContent-Length: 6"), 400),
        closes("6.3, 5: the same length twice", length("5\r\nContent-Length: 5"), 400),
        closes("6.3, 5: far apart", length("5\r\nX: y\r\ncontent-length: 0"), 400),
        goes_on("6.3, 6: a length", posting("Content-Length: 30\r\n", LOCATION), 200),
        goes_on(
            "6.3, 6: with zeros in front",
            posting("Content-Length: 0000000000000000000000030\r\n", LOCATION),
            200,
        ),
        goes_on("6.3, 6: length 0", posting("Content-Length: 0\r\n", ""), 200),
        goes_on("6.3, 7: neither is no body", posting("", ""), 200),
        goes_on("6.3, 6: the body of a GET is read", carrying("GET /healthz"), 200),
        goes_on("6.3, 6: the body of a HEAD is read", carrying("HEAD /healthz"), 200),
        goes_on("6.3, 6: the body of an OPTIONS is read", carrying("OPTIONS *"), 204),
        goes_on("6.3, 6: the body of a wrong method is read", carrying("DELETE /healthz"), 405),
        goes_on("6.3, 6: the body to nowhere is read", carrying("GET /nowhere"), 404),
        goes_on("6.3, 6: the body of a refused publish is read", carrying("POST /location/share/x"), 400),
        goes_on("6.3, 6: the body of a handshake that is none is read", carrying("GET /ws/3"), 426),
        goes_on("6.3, 6: the body of a CONNECT is read", carrying("CONNECT geoloop:80"), 404),
        closes("6.2: a length of 2^64-1 is too large", length("18446744073709551615"), 413),
    ];
    for bad in [
        "",
        "+5",
        "-5",
        "-0",
        "0x5",
        "5a",
        "a5",
        "5 5",
        "5, 5",
        "5,5",
        "5,6",
        "5,",
        ",5",
        "5;",
        "5.0",
        "5e0",
        "1_0",
        "\"5\"",
        "\u{ff15}",
        "5\u{a0}",
        "18446744073709551616",
        "99999999999999999999999999",
        "NaN",
    ] {
        rows.push(closes("6.3, 5: what is no length", length(bad), 400));
    }
    Bench::start(&[]).check(&rows);
}

#[test]
fn section_7_1_chunks_that_are_taken() {
    let mut rows = Vec::new();
    for body in [
        "0\r\n\r\n",
        "1e\r\n{\"member\":\"alice\",\"x\":1,\"y\":2}\r\n0\r\n\r\n",
        "1E\r\n{\"member\":\"alice\",\"x\":1,\"y\":2}\r\n000\r\n\r\n",
        "000000000000001e\r\n{\"member\":\"alice\",\"x\":1,\"y\":2}\r\n0\r\n\r\n",
        "5\r\n{\"x\":\r\n8\r\n1,\"y\":2}\r\n0\r\n\r\n",
        "2\r\n\r\n\r\n0\r\n\r\n",
    ] {
        rows.push(goes_on("7.1: chunks", chunked(body), 200));
    }
    for extension in
        [";a", ";a=b", " ; a = b", "\t;a", ";a=\"b\"", ";a=\"; \\\" 0\"", ";a=\"\u{e9}\"", ";a;b=c"]
    {
        let body = format!("1{extension}\r\n[\r\n0{extension}\r\n\r\n");
        rows.push(goes_on("7.1.1: extensions are ignored", chunked(&body), 200));
    }
    for trailer in [
        "X: y\r\n",
        "X:\r\nY: z\r\n",
        "Content-Length: 5\r\n",
        "Transfer-Encoding: chunked\r\n",
        "Host: b\r\n",
        "Connection: close\r\n",
        "Expect: x\r\n",
    ] {
        rows.push(goes_on("7.1.2: trailers are no header", chunked(&format!("0\r\n{trailer}\r\n")), 200));
    }
    Bench::start(&[]).check(&rows);
}

#[test]
fn section_7_1_chunks_that_are_refused() {
    let mut rows = Vec::new();
    for body in [
        "\r\n0\r\n\r\n",
        "g\r\n",
        "-1\r\n",
        "+1\r\n[\r\n",
        " 1\r\n[\r\n",
        "1 \r\n[\r\n",
        "\t1\r\n[\r\n",
        "0x1\r\n[\r\n",
        "1_0\r\n",
        "1.0\r\n",
        "1,1\r\n",
        "\u{ff11}\r\n",
        ";a\r\n",
        "00000000000000001\r\n[\r\n",
    ] {
        rows.push(closes("7.1: a size is hexadecimal digits", chunked(body), 400));
    }
    for size in ["4001", "10000", "7fffffff", "80000000", "100000001", "7fffffffffffffff", "ffffffffffffffff"]
    {
        rows.push(closes("7.1: a size past the limit", chunked(&format!("{size}\r\n[")), 413));
    }
    rows.push(closes("7.1: a size past 64 bits", chunked("10000000000000001\r\n[\r\n0\r\n\r\n"), 413));
    for body in [
        "1\n[\r\n0\r\n\r\n",
        "1\r\n[\n0\r\n\r\n",
        "1\r\n[\r\n0\n\r\n",
        "1\r\n[\r\n0\r\n\n",
        "1\r[\r\n0\r\n\r\n",
        "1\r\n[\r0\r\n\r\n",
        "1\r\r\n[\r\n0\r\n\r\n",
        "1\r\n[0\r\n\r\n",
        "1\r\n[]\r\n0\r\n\r\n",
        "2\r\n[\r\n0\r\n\r\n",
        "1\r\n[\r\n0\r\n",
        "1\r\n[\r\n\r\n0\r\n\r\n",
    ] {
        rows.push(closes("7.1: lines of chunks end in CR LF", chunked(body), 400));
    }
    for extension in [";a\n", ";a\0", ";a\r", ";a=\"\r\n\"", ";a=\"\\\r\n\"", ";a=\"b", "a", " a", "=a"] {
        let body = format!("1{extension}\r\n[\r\n0\r\n\r\n");
        rows.push(closes("7.1.1: what is no extension", chunked(&body), 400));
    }
    for trailer in
        [" X: y", "\tX: y", ": y", "X : y", "X", "X: y\n", "X: a\rb", "X: a\0", "X: y\r\n z", "X Y: z"]
    {
        let body = format!("0\r\n{trailer}\r\n\r\n");
        rows.push(closes("7.1.2: what is no trailer", chunked(&body), 400));
    }
    Bench::start(&[]).check(&rows);
}

#[test]
fn section_7_1_1_chunk_framing_is_bounded() {
    let long = |length: usize| "a".repeat(length);
    Bench::start(&["--max-body-bytes", "64"]).check(&[
        goes_on("7.1.1: an extension", chunked(&format!("1;{}\r\n[\r\n0\r\n\r\n", long(300))), 200),
        closes("7.1.1: an overlong one", chunked(&format!("1;{}\r\n[\r\n0\r\n\r\n", long(400))), 413),
        closes("7.1.1: one that never ends", chunked(&format!("1;a=\"{}", long(400))), 413),
        closes("7.1.1: many", chunked(&"1;aaaaaaaa\r\n[\r\n".repeat(40)), 413),
        closes("7.1.2: overlong trailers", chunked(&format!("0\r\n{}\r\n", "X: y\r\n".repeat(80))), 413),
        closes("7.1: chunks past the limit together", chunked(&"8\r\n[[[[[[[[\r\n".repeat(9)), 413),
        closes("6.2: a length past the limit", posting("Content-Length: 65\r\n", &long(65)), 413),
    ]);
}

#[test]
fn section_7_1_chunked_body_is_put_together() {
    let bench = Bench::start(&[]);
    let mut wire = Wire::connect(&bench.server);
    wire.send(chunked(
        "5;name=\"value\"\r\n{\"x\":\r\n1\r\n1\r\n006\r\n,\"y\":2\r\n1\r\n}\r\n0\r\nX-Trailer: a\r\n\r\n",
    ));
    assert_eq!(wire.answer().expect_status(200).update().point(), (1.0, 2.0));
    wire.expect_alive();
}
