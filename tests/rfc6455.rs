//! RFC 6455, the WebSocket protocol: what it asks of a server, section by section.

mod harness;

use harness::http::Wire;
use harness::rules::http::{closes, goes_on};
use harness::rules::websocket::{FrameRow, Heard, ends, fails, hears};
use harness::rules::{Bench, LOCATION};
use harness::websocket::{
    BINARY, CLOSE, ENDS, GOES_ON, PING, PONG, TEXT, TEXT_BEGINS, frame, take_frame, unmasked_frame, upgrade,
};

const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const KEY_LINE: &str = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
const VERSION_LINE: &str = "Sec-WebSocket-Version: 13\r\n";

/// A handshake with one more header line, or several.
fn upgrade_with(target: &str, lines: &str) -> String {
    upgrade(target).replace("\r\n\r\n", &format!("\r\n{lines}\r\n\r\n"))
}

fn alice() -> Heard {
    Heard::Update("alice")
}

// The opening handshake.

#[test]
fn section_4_2_1_what_is_no_handshake() {
    let sample = upgrade("/ws/3");
    Bench::start(&[]).check(&[
        goes_on("4.2.1, 1: GET alone: POST", sample.replace("GET", "POST"), 405),
        goes_on("4.2.1, 1: GET alone: HEAD", sample.replace("GET", "HEAD"), 426),
        closes("4.2.1, 1: HTTP/1.1 or higher", sample.replace("HTTP/1.1", "HTTP/1.0"), 426),
        closes("4.2.1, 1: but not HTTP/2", sample.replace("HTTP/1.1", "HTTP/2.0"), 505),
        closes("4.2.1, 2: Host is needed", sample.replace("Host: geoloop\r\n", ""), 400),
        goes_on("4.2.1, 3: Upgrade is needed", sample.replace("Upgrade: websocket\r\n", ""), 426),
        goes_on("4.2.1, 3: with this value", sample.replace("websocket\r\n", "websockets\r\n"), 426),
        goes_on("4.2.1, 4: Connection is needed", sample.replace("Connection: Upgrade\r\n", ""), 426),
        goes_on("4.2.1, 4: with this option", sample.replace(": Upgrade", ": keep-alive"), 426),
        goes_on("4.2.1, 5: a key is needed", sample.replace(KEY_LINE, ""), 400),
        goes_on("11.3.1: the key is given once", sample.replace(KEY_LINE, &KEY_LINE.repeat(2)), 400),
        goes_on("4.2.1, 6: a version is needed", sample.replace(VERSION_LINE, ""), 426),
        goes_on(
            "11.3.5: the version is given once",
            sample.replace(VERSION_LINE, &VERSION_LINE.repeat(2)),
            426,
        ),
        goes_on("4.2.2: /resource name/ that is none", upgrade("/ws/3/4"), 404),
        goes_on("4.2.2: /resource name/ that is no group", upgrade("/ws/x"), 400),
        goes_on("4.2.2: /resource name/ that is switched off", upgrade("/echo"), 404),
        goes_on("4.2.2: /resource name/ with a bad cursor", upgrade("/ws/3?since=x"), 400),
        goes_on("4.2.2: /resource name/ with a bad member", upgrade("/ws/3?member="), 400),
        goes_on(
            "4.2.2, 10.2: /origin/ that is not expected",
            upgrade_with("/ws/3", "Origin: http://evil.example"),
            403,
        ),
        goes_on("4.2.2, 10.2: nor over STOMP", upgrade_with("/location", "Origin: null"), 403),
        goes_on(
            "4.2.2, 10.2: two of them",
            upgrade_with("/ws/3", "Origin: http://geoloop\r\nOrigin: http://geoloop"),
            403,
        ),
    ]);
}

#[test]
fn section_4_2_1_what_is_no_field_of_a_handshake() {
    let sample = upgrade("/ws/3");
    let key = |key: &str| sample.replace(KEY, key);
    let version = |version: &str| sample.replace("Version: 13", &format!("Version: {version}"));
    let mut rows = Vec::new();
    for bad in [
        "",
        "x",
        "c2hvcnQ=",
        "dGhlIHNhbXBsZSBub25j",
        "dGhlIHNhbXBsZSBub25jZQ",
        "dGhlIHNhbXBsZSBub25jZQ=",
        "dGhlIHNhbXBsZSBub25jZWU=",
        "dGhlIHNhbXBsZSBub25jZWVl",
        "dGhlIHNhbXBsZSBub25jZ===",
        "dGhlIHNhbXBsZSBub25jZ-==",
        "dGhlIHNhbXBsZSBub25j ZQ==",
        "dGhlIHNhbXBsZSBub25jZQ==, dGhlIHNhbXBsZSBub25jZQ==",
        "not base64 at all!!!!!!!",
    ] {
        rows.push(goes_on("4.2.1, 5: a key is base64 of 16 bytes", key(bad), 400));
    }
    for bad in
        ["", "8", "7", "0", "14", "013", "13.0", "13, 8", "8, 13", "-13", "x", "255", "99999999999999999999"]
    {
        rows.push(goes_on("4.2.2, 4.4: a version that is not spoken", version(bad), 426).saying(|answer| {
            assert_eq!(answer.header("Sec-WebSocket-Version"), Some("13"), "{answer:?}");
        }));
    }
    for bad in ["a b", "\"a\"", "a;b", "a, b/c", "a=b", "\u{e9}"] {
        let request = upgrade_with("/location", &format!("Sec-WebSocket-Protocol: {bad}"));
        rows.push(goes_on("4.2.1, 8; 4.3: subprotocols are tokens", request, 400));
    }
    for bad in
        ["a b", ";b", "a;", "a;;b", "a=b", "a;b=", "a;b=\"c", "a;b=\"\"", "a;b=\"c d\"", "\"a\"", "a, b c"]
    {
        let request = upgrade_with("/ws/3", &format!("Sec-WebSocket-Extensions: {bad}"));
        rows.push(goes_on("4.2.1, 9; 9.1: malformed extensions fail at once", request, 400));
    }
    Bench::start(&[]).check(&rows);
}

#[test]
fn section_4_2_2_the_answer_to_a_handshake() {
    let sample = upgrade("/ws/3");
    let mut bench = Bench::start(&[]);
    for request in [
        sample.clone(),
        sample.replace("HTTP/1.1", "HTTP/1.2"),
        sample.replace("/ws/3", "http://geoloop/ws/3"),
        sample.replace("Connection: Upgrade", "connection: keep-alive,, UPGRADE"),
        sample.replace("Connection: Upgrade", "Connection: x\r\nConnection: Upgrade"),
        sample.replace("websocket\r\n", "WebSocket\r\n"),
        sample.replace(KEY, &format!("\t{KEY} ")),
        sample.replace(KEY_LINE, "").replace("Host", &format!("{KEY_LINE}Host")),
        upgrade_with("/ws/3", "Origin: http://geoloop"),
        upgrade_with("/ws/3", "X-Unknown: y\r\nCookie: a=b\r\nAuthorization: Basic eDp5"),
        upgrade_with("/ws/3", "Sec-WebSocket-Protocol: chat, superchat"),
        upgrade_with("/ws/3", "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits"),
        upgrade_with("/ws/3", "Sec-WebSocket-Extensions: a\r\nSec-WebSocket-Extensions: b; c=\"d\"; e"),
        upgrade_with("/ws/3", "Content-Length: 5") + "12345",
    ] {
        let mut wire = Wire::connect(&bench.server);
        wire.send([request.as_bytes(), &frame(TEXT, LOCATION.as_bytes())].concat());
        let head = wire.head().expect_status(101);
        assert_eq!(head.header("Sec-WebSocket-Accept"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{head:?}");
        assert_eq!(head.header("Upgrade"), Some("websocket"), "{head:?}");
        assert!(head.lists("Connection", "Upgrade"), "{head:?}");
        for unasked in ["Sec-WebSocket-Extensions", "Sec-WebSocket-Protocol", "Sec-WebSocket-Version"] {
            assert_eq!(head.header(unasked), None, "{request:?}: {head:?}");
        }
        assert_eq!(take_frame(&mut wire).0, TEXT, "{request:?}: what lies behind the handshake is read");
    }
    assert_eq!(bench.publishes(), 14);
}

#[test]
fn section_4_2_2_subprotocol_is_one_that_was_offered() {
    let bench = Bench::start(&[]);
    for (offered, chosen) in [
        ("v12.stomp", Some("v12.stomp")),
        ("v11.stomp", Some("v11.stomp")),
        ("v10.stomp", Some("v10.stomp")),
        ("v10.stomp, v12.stomp,v11.stomp", Some("v12.stomp")),
        ("v10.stomp\r\nSec-WebSocket-Protocol: v11.stomp", Some("v11.stomp")),
        ("chat, ,\tv11.stomp ,", Some("v11.stomp")),
        ("chat", None),
        ("V12.STOMP", None),
        ("v12.stomp2, xv12.stomp, v13.stomp", None),
        ("", None),
    ] {
        let mut wire = Wire::connect(&bench.server);
        wire.send(upgrade_with("/location", &format!("Sec-WebSocket-Protocol: {offered}")));
        let head = wire.head().expect_status(101);
        let named =
            head.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("Sec-WebSocket-Protocol"));
        let named: Vec<_> = named.map(|(_, value)| value.as_str()).collect();
        assert_eq!(named, chosen.into_iter().collect::<Vec<_>>(), "{offered:?}");
    }
}

// Framing.

#[test]
fn section_5_1_frames_of_a_client_are_masked() {
    let mut rows = Vec::new();
    for (first, payload) in [
        (TEXT, LOCATION.as_bytes()),
        (TEXT, b""),
        (TEXT_BEGINS, b"a"),
        (BINARY, b"a"),
        (CLOSE, b"\x03\xe8"),
        (CLOSE, b""),
        (PING, b""),
        (PONG, b""),
    ] {
        rows.push(fails("5.1: no mask", unmasked_frame(first, payload), 1002));
    }
    rows.push(fails(
        "5.1: no mask on a later fragment",
        [frame(TEXT_BEGINS, b"["), unmasked_frame(ENDS, b"]")].concat(),
        1002,
    ));
    rows.push(fails("5.1: HTTP is no frame", "POST /location/share/3 HTTP/1.1\r\n\r\n", 1002));
    for key in [[0; 4], [0xff; 4], [1, 0, 0, 0], [0, 0, 0, 1]] {
        let masked = LOCATION.bytes().zip(key.iter().cycle()).map(|(byte, mask)| byte ^ mask);
        let head = [&[TEXT, 0x80 | LOCATION.len() as u8][..], &key].concat();
        rows.push(hears("5.3: any key", head.into_iter().chain(masked).collect::<Vec<_>>(), vec![alice()]));
    }
    Bench::start(&[]).check_frames(&rows);
}

#[test]
fn section_5_2_first_byte() {
    let mut rows = Vec::new();
    for reserved in [0x40, 0x20, 0x10, 0x70, 0x60] {
        for first in [TEXT, TEXT_BEGINS, BINARY, CLOSE, PING, PONG] {
            rows.push(fails("5.2: reserved bits", frame(first | reserved, b""), 1002));
        }
        let continued = [frame(TEXT_BEGINS, b"["), frame(ENDS | reserved, b"]")].concat();
        rows.push(fails("5.2: reserved bits of a continuation", continued, 1002));
    }
    for opcode in [0x3, 0x4, 0x5, 0x6, 0x7, 0xb, 0xc, 0xd, 0xe, 0xf] {
        for fin in [0, 0x80] {
            rows.push(fails("5.2: reserved opcodes", frame(fin | opcode, b""), 1002));
        }
    }
    Bench::start(&[]).check_frames(&rows);
}

/// A masked frame whose length is written as the test likes, with nothing of its payload.
fn announcing(first: u8, length: &[u8]) -> Vec<u8> {
    [&[first], length, &[1, 2, 3, 4]].concat()
}

#[test]
fn section_5_2_payload_length() {
    let padded =
        |bytes: usize| frame(TEXT, (LOCATION.to_owned() + &" ".repeat(bytes - LOCATION.len())).as_bytes());
    let long = |length: u64| [&[0x80 | 127][..], &length.to_be_bytes()].concat();
    let middle = |length: u16| [&[0x80 | 126][..], &length.to_be_bytes()].concat();
    let mut rows = Vec::new();
    for bytes in [30, 125, 126, 127, 255, 256, 16384] {
        rows.push(hears("5.2: a length as it is to be written", padded(bytes), vec![alice()]));
    }
    for length in [0, 1, 5, 125] {
        rows.push(fails("5.2: 16 bits for what 7 could say", announcing(TEXT, &middle(length)), 1002));
    }
    for length in [0, 5, 125, 126, 16384, 65535] {
        rows.push(fails("5.2: 64 bits for what 16 could say", announcing(TEXT, &long(length)), 1002));
    }
    for length in [1 << 63, u64::MAX] {
        rows.push(fails("5.2: the most significant bit", announcing(TEXT, &long(length)), 1002));
    }
    for first in [CLOSE, PING, PONG] {
        rows.push(fails("5.5: 126 bytes of control", frame(first, &[b'a'; 126]), 1002));
        rows.push(fails("5.5: control of 16 bits", announcing(first, &middle(125)), 1002));
        rows.push(fails("5.5: control of 64 bits", announcing(first, &long(1 << 62)), 1002));
    }
    Bench::start(&[]).check_frames(&rows);
    Bench::start(&["--max-body-bytes", "70000"]).check_frames(&[
        hears("5.2: the most that 16 bits say", padded(65535), vec![alice()]),
        hears("5.2: the least that takes 64", padded(65536), vec![alice()]),
        hears("10.4: at the limit", padded(70000), vec![alice()]),
        fails("10.4: one byte past it", padded(70001), 1009),
    ]);
}

#[test]
fn section_5_4_fragmentation() {
    let (one, two) = LOCATION.as_bytes().split_at(15);
    let (begins, end) = (frame(TEXT_BEGINS, one), frame(ENDS, two));
    let in_bytes = |last: u8| {
        let mut bytes = frame(TEXT_BEGINS, b"");
        LOCATION.bytes().for_each(|byte| bytes.extend(frame(GOES_ON, &[byte])));
        bytes.extend(frame(last, b""));
        bytes
    };
    let many = |fragments: usize| {
        let between = frame(GOES_ON, b"").repeat(fragments - 2);
        [begins.clone(), between, end.clone()].concat()
    };
    let pong = |payload: &[u8]| Heard::Pong(payload.to_vec());
    Bench::start(&[]).check_frames(&[
        hears("5.4: two fragments", [&begins[..], &end].concat(), vec![alice()]),
        hears("5.4: a fragment a byte", in_bytes(ENDS), vec![alice()]),
        hears(
            "5.4: empty fragments",
            [frame(TEXT_BEGINS, b""), frame(GOES_ON, LOCATION.as_bytes()), frame(ENDS, b"")].concat(),
            vec![alice()],
        ),
        hears(
            "5.4: two messages in fragments",
            [&begins[..], &end, &begins, &end].concat(),
            vec![alice(), alice()],
        ),
        hears(
            "5.4: control frames between",
            [
                &begins[..],
                &frame(PING, b"1"),
                &frame(GOES_ON, b""),
                &frame(PONG, b"2"),
                &frame(PING, b""),
                &end,
            ]
            .concat(),
            vec![pong(b"1"), pong(b""), alice()],
        ),
        ends("5.4: a Close between", [&begins[..], &frame(CLOSE, b"\x03\xe8"), &end].concat(), b"\x03\xe8"),
        hears("5.4: as many as may be", many(1024), vec![alice()]),
        fails("10.4: one more", many(1025), 1008),
        fails("5.4: a continuation of nothing", end.clone(), 1002),
        fails("5.4: a middle of nothing", frame(GOES_ON, b""), 1002),
        fails("5.4: a continuation of what has ended", [&begins[..], &end, &end].concat(), 1002).taking(1),
        fails("5.4: a text within another", [&begins[..], &frame(TEXT, LOCATION.as_bytes())].concat(), 1002),
        fails("5.4: a beginning within another", [&begins[..], &begins].concat(), 1002),
        fails("5.4: bytes within a text", [&begins[..], &frame(BINARY, b"a")].concat(), 1002),
        fails(
            "5.4: bytes in fragments are bytes",
            [frame(BINARY & 0x7f, b"{"), frame(ENDS, b"}")].concat(),
            1003,
        ),
        fails("5.5: a Close in fragments", frame(CLOSE & 0x7f, b"\x03\xe8"), 1002),
        fails("5.5: a Ping in fragments", frame(PING & 0x7f, b""), 1002),
        fails("5.5: a Pong in fragments", frame(PONG & 0x7f, b""), 1002),
    ]);
}

#[test]
fn section_5_5_1_close() {
    let mut rows = vec![
        ends("5.5.1: without a code", frame(CLOSE, b""), b""),
        ends("5.5.1: with a reason", frame(CLOSE, b"\x03\xe8bye, J\xc3\xbcrgen"), b"\x03\xe8"),
        ends(
            "5.5.1: with the longest reason",
            frame(CLOSE, &[&b"\x03\xe9"[..], &[b'a'; 123]].concat()),
            b"\x03\xe9",
        ),
        ends("5.5.1: twice", frame(CLOSE, b"\x03\xe8").repeat(2), b"\x03\xe8"),
        ends(
            "5.5.2: no Pong behind a Close",
            [frame(CLOSE, b"\x03\xe8"), frame(PING, b"x")].concat(),
            b"\x03\xe8",
        ),
        ends(
            "5.5.1: then nothing is looked at",
            [frame(CLOSE, b""), unmasked_frame(0xff, b"x")].concat(),
            b"",
        ),
        ends(
            "5.5.1: what came before it is taken",
            [frame(TEXT, LOCATION.as_bytes()), frame(CLOSE, b"\x03\xe8")].concat(),
            b"\x03\xe8",
        )
        .taking(1),
        fails("5.5.1: half a code", frame(CLOSE, b"\x03"), 1002),
        fails("5.5.1: a reason that is no UTF-8", frame(CLOSE, b"\x03\xe8\xff"), 1007),
        fails("5.5.1: a reason cut within a character", frame(CLOSE, b"\x03\xe8\xe2\x82"), 1007),
    ];
    for code in
        [1000u16, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999]
    {
        let payload = code.to_be_bytes();
        rows.push(ends("7.4: a code that may be sent is echoed", frame(CLOSE, &payload), &payload));
    }
    for code in [0u16, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535] {
        rows.push(fails("7.4: a code that may not be sent", frame(CLOSE, &code.to_be_bytes()), 1002));
    }
    Bench::start(&[]).check_frames(&rows);
}

#[test]
fn sections_5_5_2_and_5_5_3_ping_and_pong() {
    let pong = |payload: &[u8]| Heard::Pong(payload.to_vec());
    let full = [0xff; 125];
    let three = [frame(PING, b"1"), frame(PING, b"2"), frame(PING, b"3")].concat();
    Bench::start(&[]).check_frames(&[
        hears("5.5.2: a Ping of nothing", frame(PING, b""), vec![pong(b"")]),
        hears("5.5.2: a Ping of the most there may be", frame(PING, &full), vec![pong(&full)]),
        hears("5.5.2: each of several, in order", three, vec![pong(b"1"), pong(b"2"), pong(b"3")]),
        hears("5.5.3: a Pong that nobody asked for", frame(PONG, b"x").repeat(3), vec![]),
    ]);
}

#[test]
fn sections_5_6_and_6_2_data() {
    Bench::start(&[]).check_frames(&[
        hears(
            "6.2: messages in their order",
            [frame(TEXT, LOCATION.as_bytes()), frame(TEXT, b"x")].concat(),
            vec![alice(), Heard::Update("")],
        ),
        hears("5.6: a text of nothing", frame(TEXT, b""), vec![Heard::Update("")]),
        fails("5.6: bytes are not taken here", frame(BINARY, LOCATION.as_bytes()), 1003),
        fails("5.6: none of them", frame(BINARY, b""), 1003),
        fails(
            "7.1.7: what came before is taken",
            [frame(TEXT, LOCATION.as_bytes()), frame(BINARY, b"")].concat(),
            1003,
        )
        .taking(1),
    ]);
}

#[test]
fn section_8_1_text_is_utf_8() {
    let mut rows = Vec::new();
    for good in
        ["\0", "\u{7f}", "\u{80}", "\u{7ff}", "\u{800}", "\u{d7ff}", "\u{e000}", "\u{fffe}", "\u{10ffff}"]
    {
        rows.push(hears("8.1: a character", frame(TEXT, good.as_bytes()), vec![Heard::Update("")]));
        let mut bytewise = frame(TEXT_BEGINS, b"");
        good.bytes().for_each(|byte| bytewise.extend(frame(GOES_ON, &[byte])));
        bytewise.extend(frame(ENDS, b""));
        rows.push(hears("5.6: a character over fragments", bytewise, vec![Heard::Update("")]));
    }
    let bad: [&[u8]; 20] = [
        b"\x80",
        b"\xbf",
        b"\xc0\x80",
        b"\xc0\xaf",
        b"\xc1\xbf",
        b"\xc3",
        b"\xc3\x28",
        b"\xe0\x80\xaf",
        b"\xe0\x9f\xbf",
        b"\xe2\x82",
        b"\xe2\x28\xa1",
        b"\xed\xa0\x80",
        b"\xed\xbf\xbf",
        b"\xf0\x8f\xbf\xbf",
        b"\xf0\x9f\x92",
        b"\xf4\x90\x80\x80",
        b"\xf5\x80\x80\x80",
        b"\xfe",
        b"\xff",
        b"\xef\xbb\xbf\xff",
    ];
    for bad in bad {
        rows.push(fails("8.1: what is no UTF-8", frame(TEXT, bad), 1007));
        rows.push(fails("8.1: behind what is", frame(TEXT, &[LOCATION.as_bytes(), bad].concat()), 1007));
        let (one, two) = bad.split_at(1);
        let cut = [frame(TEXT_BEGINS, one), frame(ENDS, two)].concat();
        rows.push(fails("8.1: over fragments", cut, 1007));
    }
    for bad in [&b"\xff"[..], b"\xc0", b"ok\x80", b"\xed\xa0"] {
        rows.push(fails("8.1: before the message has ended", frame(TEXT_BEGINS, bad), 1007));
        let mut half = frame(TEXT, &[bad, &[b'a'; 1000]].concat());
        half.truncate(500);
        rows.push(fails("8.1: before the frame has ended", half, 1007));
    }
    Bench::start(&[]).check_frames(&rows);
}

#[test]
fn section_10_4_messages_are_bounded() {
    let announced = |length: u64| announcing(TEXT, &[&[0x80 | 127][..], &length.to_be_bytes()].concat());
    let half = vec![b' '; 8192];
    let fragments =
        |last: &[u8]| [frame(TEXT_BEGINS, &half), frame(GOES_ON, &half), frame(ENDS, last)].concat();
    let rows: [FrameRow; 6] = [
        hears("10.4: fragments at the limit", fragments(b""), vec![Heard::Update("")]),
        fails("10.4: one byte past it", fragments(b"a"), 1009),
        fails(
            "10.4: a length past it, before any of the payload",
            announcing(TEXT, &[0x80 | 126, 0x40, 0x01]),
            1009,
        ),
        fails("10.4: one that no machine could hold", announced(1 << 62), 1009),
        fails("10.4: the largest of all", announced((1 << 63) - 1), 1009),
        fails("10.4: bytes too", announcing(BINARY, &[0x80 | 126, 0x40, 0x01]), 1009),
    ];
    Bench::start(&[]).check_frames(&rows);
}
