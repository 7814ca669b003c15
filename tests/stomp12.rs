//! STOMP 1.2, and where 1.0 and 1.1 differ: what the specification asks of a server, heading by heading.

mod harness;

use harness::rules::stomp::{StompRow, fails, goes_on, leaves};
use harness::rules::{Bench, LOCATION};

const VERSIONS: [&str; 3] = ["1.0", "1.1", "1.2"];

/// A SEND with these header lines more, and this body.
fn send(headers: &str, body: &str) -> String {
    format!("SEND\ndestination:/pub/share/3\n{headers}\n{body}\0")
}

/// A SUBSCRIBE to a group that no row publishes to, with these header lines.
fn subscribe(headers: &str) -> String {
    format!("SUBSCRIBE\ndestination:/sub/location/4\n{headers}\n\0")
}

fn connect(headers: &str) -> String {
    format!("CONNECT\n{headers}\n\0")
}

/// Nothing is connected before the row.
fn first(row: StompRow) -> StompRow {
    row.version(None)
}

#[test]
fn frames() {
    let begin = "BEGIN\ntransaction:t\n\n\0";
    let mut rows = vec![
        goes_on("STOMP Frames: LF", begin),
        goes_on("STOMP Frames: CR LF", begin.replace('\n', "\r\n")),
        goes_on("STOMP Frames: EOLs behind the NUL", begin.to_owned() + "\n\r\n\n"),
        goes_on("STOMP Frames: EOLs alone", "\n\r\n\n\n"),
        fails("STOMP Frames: CR alone is no EOL", "BEGIN\rtransaction:t\r\r\0", &["not a command"]),
        fails("STOMP Frames: CR alone between frames", "\r", &["not a command"]),
        fails("STOMP Frames: NUL between frames", "\0", &["not a command"]),
        fails("STOMP Frames: no blank line", "BEGIN\ntransaction:t\n\0", &["NUL before the blank line"]),
        fails("STOMP Frames: no line at all", "BEGIN\0", &["not a command"]),
        fails(
            "STOMP Frames: a frame within a header",
            "BEGIN\ntransaction:t\0\n\n\0",
            &["NUL before the blank line"],
        ),
        fails("STOMP Frames: no colon", "BEGIN\ntransaction\n\n\0", &["header line 1 has no colon"]),
        fails(
            "Augmented BNF: no header name",
            "BEGIN\ntransaction:t\n:x\n\n\0",
            &["header line 2 has no name"],
        ),
        goes_on("Augmented BNF: no header value", "BEGIN\ntransaction:t\nx:\n\n\0"),
        goes_on("Augmented BNF: colons in a value, as many send them", "BEGIN\ntransaction:a:b\n\n\0"),
        fails(
            "STOMP Frames: header names are case sensitive",
            "BEGIN\nTransaction:t\n\n\0",
            &["needs the header transaction"],
        ),
    ];
    for command in [
        "send",
        "Send",
        "SEND ",
        " SEND",
        "SENDX",
        "XSEND",
        "SEN",
        "HELLO",
        "",
        "UNSUBSCRIBED",
        "POST / HTTP/1.1",
    ] {
        // An empty command is an EOL between frames, behind which the headers are none.
        let frame = format!("{command}\ndestination:/pub/share/3\n\n{LOCATION}\0");
        rows.push(fails("Client Frames: what is no command", frame, &["not a command"]));
    }
    for command in ["CONNECTED", "MESSAGE", "RECEIPT", "ERROR"] {
        let frame = format!("{command}\ndestination:/pub/share/3\nversion:1.2\n\n\0");
        rows.push(fails("Client Frames: a server's frame", frame, &["is a server's frame"]));
    }
    rows.push(fails("Client Frames: a command that never ends", "S".repeat(1000), &["not a command"]));
    Bench::start(&[]).check_stomp(&rows);
}

#[test]
fn value_encoding() {
    let receipt = |value: &str| format!("BEGIN\ntransaction:t\nreceipt:{value}\n\n\0");
    let told = |value: &str| format!("RECEIPT\nreceipt-id:{value}\n\n\0");
    let mut rows = Vec::new();
    for (version, sent, read) in [
        ("1.2", r"a\cb\\c\nd\re", r"a\cb\\c\nd\re"),
        ("1.2", r"\\n\\\\", r"\\n\\\\"),
        ("1.2", "a:b", r"a\cb"),
        ("1.2", " a ", " a "),
        ("1.2", "J\u{fc}rgen", "J\u{fc}rgen"),
        ("1.1", r"a\cb\\c\nd", r"a\cb\\c\nd"),
        ("1.1", " a\t", " a\t"),
        ("1.1", "a:b", r"a\cb"),
        ("1.1", "a\rb", "a\rb"),
        ("1.0", r"a\cb\\c\nd\re\t", r"a\cb\\c\nd\re\t"),
        ("1.0", "a:b", "a:b"),
        ("1.0", " \ta ", "a"),
        ("1.0", "a\rb", "a\rb"),
        ("1.2", "", ""),
    ] {
        let row = goes_on("Value Encoding: a value comes back as it was", receipt(sent));
        rows.push(row.version(Some(version)).told(&[&told(read)]));
    }
    for version in ["1.1", "1.2"] {
        for bad in [r"\t", r"\0", r"\x", r"\C", r"\:", r"\ ", r"\", r"a\", r"\\\", r"\c\d"] {
            let row =
                fails("Value Encoding: an undefined escape is fatal", receipt(bad), &["an escape that"]);
            rows.push(row.version(Some(version)));
            let in_name = format!("BEGIN\ntransaction:t\nx{bad}y:z\n\n\0");
            let row = fails("Value Encoding: in a name too", in_name, &["header line 2"]);
            rows.push(row.version(Some(version)));
        }
    }
    let cr =
        fails("Value Encoding: \\r is no escape of 1.1", receipt(r"a\rb"), &["an escape that STOMP 1.1"]);
    rows.push(cr.version(Some("1.1")));
    rows.push(fails("Augmented BNF: CR in a value of 1.2", receipt("a\rb"), &["a carriage return"]));
    rows.push(fails(
        "Augmented BNF: CR in a name of 1.2",
        "BEGIN\ntransaction:t\nx\ry:z\n\n\0",
        &["a carriage return"],
    ));
    for version in VERSIONS {
        let latin = b"BEGIN\ntransaction:t\nx:J\xfcrgen\n\n\0";
        rows.push(fails("Value Encoding: headers are UTF-8", latin, &["not UTF-8"]).version(Some(version)));
    }
    for version in ["1.1", "1.2"] {
        for padded in ["destination: /pub/share/3", "destination:/pub/share/3 ", "destination:\t/pub/share/3"]
        {
            let frame = format!("SEND\n{padded}\n\n{LOCATION}\0");
            rows.push(
                fails("Value Encoding: padding is part of a value", frame, &["destination"])
                    .version(Some(version)),
            );
        }
        let frame = format!("SEND\ndestination :/pub/share/3\n\n{LOCATION}\0");
        rows.push(
            fails("Value Encoding: and of a name", frame, &["needs the header destination"])
                .version(Some(version)),
        );
    }
    let padded = format!("SEND\n destination : /pub/share/3 \n\n{LOCATION}\0");
    rows.push(goes_on("Value Encoding: 1.0 trims it", padded).version(Some("1.0")).publishing(1));
    let raw = connect("accept-version:1.2\nhost:a\nlogin:a\\tb\\\n");
    rows.push(
        first(goes_on("Value Encoding: CONNECT knows no escapes", raw)).told(&["CONNECTED\nversion:1.2\n"]),
    );
    Bench::start(&[]).check_stomp(&rows);
}

#[test]
fn body() {
    let mut rows = Vec::new();
    let commands = [
        "SUBSCRIBE\nid:s\ndestination:/sub/location/4",
        "BEGIN\ntransaction:t",
        "DISCONNECT",
        "UNSUBSCRIBE\nid:s",
        "COMMIT\ntransaction:t",
        "ABORT\ntransaction:t",
        "ACK\nid:0-1",
        "NACK\nid:0-1",
    ];
    for version in ["1.1", "1.2"] {
        for command in commands {
            let frame = format!("{command}\n\nbody\0");
            rows.push(fails("Body: a frame that has none", frame, &["has no body"]).version(Some(version)));
            let frame = format!("{command}\ncontent-length:4\n\nbody\0");
            rows.push(fails("Body: whatever its length", frame, &["has no body"]).version(Some(version)));
        }
    }
    for command in &commands[..2] {
        rows.push(
            goes_on("Body: 1.0 says nothing of that", format!("{command}\n\n\n\0")).version(Some("1.0")),
        );
        rows.push(goes_on(
            "content-length: all frames may have it",
            format!("{command}\ncontent-length:0\n\n\0"),
        ));
    }
    let length = |length: &str, body: &str| send(&format!("content-length:{length}\n"), body);
    rows.extend([
        goes_on("content-length: it is heeded", length("30", LOCATION)).publishing(1),
        goes_on("content-length: with zeros in front", length("0030", LOCATION)).publishing(1),
        goes_on("content-length: NULs in the body", length("5", "a\0b\0c")).publishing(1),
        goes_on("content-length: a frame in the body", length("15", "BEGIN\n\n\0SEND\n\n\0")).publishing(1),
        goes_on("content-length: the first counts", length("2\ncontent-length:99", "[]")).publishing(1),
        goes_on("Body: the first NUL ends it otherwise", send("", LOCATION)).publishing(1),
        fails("Body: what is behind the first NUL is a frame", send("", "a\0b"), &["not a command"])
            .publishing(1),
        fails("content-length: no NUL behind it", length("2", "[]]"), &["no NUL after the 2 bytes"]),
        fails("content-length: 0 for something", length("0", "x"), &["no NUL after the 0 bytes"]),
        fails("content-length: into the next frame", length("40", LOCATION), &["no NUL after the 40 bytes"]),
        fails("content-length: past every limit", length("16384", ""), &["at least", "16384 are allowed"]),
        fails("content-length: past every number", length("99999999999999999999999", ""), &["at least"]),
    ]);
    for bad in ["", "-1", "+2", "0x2", "2a", "2.0", "2,2", " 2", "2 ", "\u{ff12}"] {
        rows.push(fails("content-length: what is none", length(bad, "[]"), &["content-length is not"]));
    }
    Bench::start(&[]).check_stomp(&rows);
}

#[test]
fn repeated_header_entries() {
    Bench::start(&[]).check_stomp(&[
        goes_on(
            "Repeated Header Entries: the first counts",
            "BEGIN\ntransaction:t\nreceipt:a\nreceipt:b\n\n\0",
        )
        .told(&["RECEIPT\nreceipt-id:a\n\n\0"]),
        goes_on("Repeated Header Entries: for SEND", send("destination:/nowhere\n", LOCATION)).publishing(1),
        fails(
            "Repeated Header Entries: not the last",
            "SEND\ndestination:x\ndestination:/pub/share/3\n\n\0",
            &["destination"],
        ),
    ]);
}

#[test]
fn size_limits() {
    let headers = |count: usize| send(&"x:y\n".repeat(count - 1), LOCATION);
    let long = |bytes: usize| {
        let rest = send("x:\n", "").len();
        send(&format!("x:{}\n", "a".repeat(bytes - rest)), "")
    };
    let bodied = |bytes: usize| {
        let rest = send("", "").len();
        send("", &" ".repeat(bytes - rest))
    };
    Bench::start(&[]).check_stomp(&[
        goes_on("Size Limits: 64 headers", headers(64)).publishing(1),
        fails("Size Limits: one more", headers(65), &["more than the 64 header lines"]),
        goes_on("Size Limits: a header to the end of 16384 bytes", long(16384)).publishing(1),
        fails("Size Limits: one byte more", long(16385), &["16384 are allowed"]),
        goes_on("Size Limits: a body to the end of 16384 bytes", bodied(16384)).publishing(1),
        fails("Size Limits: one byte more", bodied(16385), &["16384 are allowed"]),
        fails(
            "Size Limits: a header that never ends",
            format!("SEND\nx:{}", "a".repeat(16384)),
            &["16384 are allowed"],
        ),
    ]);
}

#[test]
fn connecting() {
    let agreed = |listed: &str, version: &str| {
        let row = goes_on("Protocol Negotiation", connect(&format!("accept-version:{listed}\nhost:a\n")));
        first(row).told(&[&format!("CONNECTED\nversion:{version}\nserver:geoloop/")])
    };
    let none = |listed: &str| {
        let frame = connect(&format!("accept-version:{listed}\nhost:a\n"));
        first(fails("Protocol Negotiation: nothing in common", frame, &["\nversion:1.0,1.1,1.2\n"]))
    };
    let beat = |value: &str| connect(&format!("accept-version:1.2\nhost:a\nheart-beat:{value}\n"));
    let mut rows = vec![
        agreed("1.2", "1.2"),
        agreed("1.1", "1.1"),
        agreed("1.0", "1.0"),
        agreed("1.0,1.1,1.2", "1.2"),
        agreed("1.2,1.0", "1.2"),
        agreed("1.0,1.1,2.0", "1.1"),
        agreed("2.0,1.3,1.1", "1.1"),
        none("2.0"),
        none("1.3,2.0"),
        none("1"),
        none("1.20"),
        none(""),
        first(goes_on("Protocol Negotiation: none is 1.0", connect(""))).told(&["CONNECTED\nversion:1.0\n"]),
        first(goes_on("CONNECT or STOMP Frame", "STOMP\naccept-version:1.2\nhost:a\n\n\0"))
            .told(&["CONNECTED\nversion:1.2\n"]),
        first(goes_on("CONNECT or STOMP Frame: no host, as the seed", connect("accept-version:1.2\n")))
            .told(&["CONNECTED\n"]),
        first(goes_on("CONNECT or STOMP Frame: login", connect("login:a\npasscode:b\n")))
            .told(&["CONNECTED\n"]),
        first(goes_on("CONNECT or STOMP Frame: EOLs before it", "\r\n\n".to_owned() + &connect("")))
            .told(&["CONNECTED\n"]),
        first(fails("CONNECT or STOMP Frame: a bad member", connect("member:\n"), &["member is not"])),
        fails("CONNECT or STOMP Frame: twice", connect("accept-version:1.2\n"), &["connected already"]),
        fails("CONNECT or STOMP Frame: STOMP behind it", "STOMP\n\n\0", &["connected already"]),
    ];
    for command in
        ["SEND", "SUBSCRIBE", "UNSUBSCRIBE", "ACK", "NACK", "BEGIN", "COMMIT", "ABORT", "DISCONNECT", "ERROR"]
    {
        let frame = format!("{command}\nid:s\ntransaction:t\ndestination:/sub/location/3\n\n\0");
        rows.push(first(fails("Connecting: first of all", frame, &["neither CONNECT nor STOMP"])));
    }
    rows.push(first(fails("Connecting: first of all", "", &["neither CONNECT nor STOMP"])));
    for good in ["0,0", "10000,10000", "0,99999999999999", "00,01"] {
        rows.push(first(goes_on("Heart-beating", beat(good))).told(&["CONNECTED\n"]));
    }
    for bad in ["", "0", "0,", ",0", "0,0,0", "-1,0", "+1,0", "0,x", "1.5,0", "0;0", "0x1,0"] {
        rows.push(first(fails("Heart-beating: two numbers", beat(bad), &["heart-beat is not"])));
    }
    Bench::start(&[]).check_stomp(&rows);
}

#[test]
fn send_frames() {
    let to = |destination: &str| format!("SEND\ndestination:{destination}\n\n{LOCATION}\0");
    let mut rows = vec![
        goes_on("SEND: a destination to share", to("/pub/share/3")).publishing(1),
        goes_on("SEND: a destination to subscribe to", to("/sub/location/3")).publishing(1),
        goes_on("SEND: headers that nobody knows", send("x:y\ncontent-type:application/json\n", LOCATION))
            .publishing(1),
        goes_on("SEND: a receipt", send("receipt:r\n", LOCATION))
            .publishing(1)
            .told(&["RECEIPT\nreceipt-id:r\n"]),
        fails("SEND: no destination", format!("SEND\n\n{LOCATION}\0"), &["needs the header destination"]),
        fails("SEND: no transaction of that name", send("transaction:t\n", LOCATION), &["no transaction"]),
        fails(
            "SEND: what is refused names its receipt",
            send("receipt:a\\cb\n", "{"),
            &["\nreceipt-id:a\\cb\n"],
        ),
    ];
    for bad in [
        "",
        "/",
        "3",
        "/pub/share",
        "/pub/share/",
        "/pub/share/x",
        "/pub/share/-1",
        "/pub/share/+1",
        "/pub/share/3/",
        "/pub/share/9223372036854775808",
        "/PUB/share/3",
        "/pub/other/3",
        "/queue/a",
        "/sub/location/",
    ] {
        rows.push(fails("SEND: no destination of ours", to(bad), &["destination"]));
    }
    for bad in ["{", r#"{"x":1}"#, r#"{"x":1,"y":2,"member":""}"#, r#"{"x":1,"y":"2"}"#, r#"{"x":1,"y":2}}"#]
    {
        rows.push(fails("SEND: what cannot be processed", send("", bad), &["message:"]));
    }
    Bench::start(&[]).check_stomp(&rows);
}

#[test]
fn subscriptions() {
    let unsubscribe = "UNSUBSCRIBE\nid:s\n\n\0";
    let subscribed = subscribe("id:s\nreceipt:r\n");
    let receipt = "RECEIPT\nreceipt-id:r\n\n\0";
    let no_id = "UNSUBSCRIBE\ndestination:/sub/location/4\nreceipt:r\n\n\0";
    let mut rows = vec![
        goes_on("SUBSCRIBE", subscribed.clone()).told(&[receipt]),
        goes_on("SUBSCRIBE id Header: different ids", subscribe("id:s\n") + &subscribe("id:t\n")),
        goes_on("UNSUBSCRIBE: the id is free again", subscribed.clone() + unsubscribe + &subscribed)
            .told(&[receipt, receipt]),
        fails(
            "SUBSCRIBE id Header: the same id twice",
            subscribe("id:s\n").repeat(2),
            &["id exists already"],
        ),
        fails("SUBSCRIBE: no destination", "SUBSCRIBE\nid:s\n\n\0", &["needs the header destination"]),
        fails(
            "SUBSCRIBE: what takes publishes alone",
            "SUBSCRIBE\nid:s\ndestination:/pub/share/4\n\n\0",
            &["destination"],
        ),
        fails(
            "SUBSCRIBE: no destination of ours",
            "SUBSCRIBE\nid:s\ndestination:/queue/a\n\n\0",
            &["destination"],
        ),
        fails("SUBSCRIBE: no group", "SUBSCRIBE\nid:s\ndestination:/sub/location/x\n\n\0", &["destination"]),
        fails("SUBSCRIBE: a cursor that is none", subscribe("id:s\nsince:x\n"), &["since is not"]),
        fails(
            "SUBSCRIBE: a window that is none",
            subscribe("id:s\nprefetch-count:0\n"),
            &["prefetch-count is not"],
        ),
        fails(
            "SUBSCRIBE: what is refused names its receipt",
            subscribe("id:s\nack:x\nreceipt:r\n"),
            &["\nreceipt-id:r\n"],
        ),
        fails("UNSUBSCRIBE: what was never subscribed", unsubscribe, &["no subscription with this id"]),
        fails(
            "UNSUBSCRIBE: twice",
            subscribe("id:s\n") + &unsubscribe.repeat(2),
            &["no subscription with this id"],
        ),
        goes_on("SUBSCRIBE: 1.0 needs no id", subscribe("receipt:r\n")).version(Some("1.0")).told(&[receipt]),
        goes_on("UNSUBSCRIBE: 1.0 by destination", subscribe("") + no_id)
            .version(Some("1.0"))
            .told(&[receipt]),
    ];
    for version in ["1.1", "1.2"] {
        let row = fails("SUBSCRIBE id Header: it is needed", subscribe(""), &["needs the header id"]);
        rows.push(row.version(Some(version)));
        let row =
            fails("UNSUBSCRIBE: its id is needed", subscribe("id:s\n") + no_id, &["needs the header id"]);
        rows.push(row.version(Some(version)));
    }
    for mode in ["auto", "client", "client-individual"] {
        rows.push(goes_on("SUBSCRIBE ack Header", subscribe(&format!("id:s\nack:{mode}\n"))));
    }
    for mode in ["", "Auto", "none", "individual", "client,auto"] {
        rows.push(fails(
            "SUBSCRIBE ack Header: no mode",
            subscribe(&format!("id:s\nack:{mode}\n")),
            &["ack is none of"],
        ));
    }
    Bench::start(&[]).check_stomp(&rows);
}

#[test]
fn acknowledgements() {
    let subscribed = subscribe("id:s\nack:client\n");
    let mut rows = Vec::new();
    for command in ["ACK", "NACK"] {
        let ack = |headers: &str| format!("{subscribed}{command}\n{headers}\n\0");
        rows.extend([
            goes_on("ACK: late, or not sent after all", ack("id:0-1\nreceipt:r\n"))
                .told(&["RECEIPT\nreceipt-id:r\n"]),
            fails("ACK: no id", ack(""), &["needs the header id"]),
            fails(
                "ACK: what 1.1 called it",
                ack("message-id:0-1\nsubscription:s\n"),
                &["needs the header id"],
            ),
            fails("ACK: what was never an id", ack("id:x\n"), &["never given"]),
            fails("ACK: nor this", ack("id:0-\n"), &["never given"]),
            fails(
                "ACK: of no subscription there ever was",
                ack("id:1-1\nreceipt:r\n"),
                &["\nreceipt-id:r\n", "was sent"],
            ),
            fails("ACK: in no transaction", ack("id:0-1\ntransaction:t\n"), &["no transaction"]),
        ]);
        for version in ["1.0", "1.1"] {
            let by_message = ack("message-id:0-1\nsubscription:s\n");
            rows.push(goes_on("ACK: before 1.2 by message", by_message).version(Some(version)));
            let by_id = fails("ACK: before 1.2 not by id", ack("id:0-1\n"), &["needs the header message-id"]);
            rows.push(by_id.version(Some(version)));
        }
    }
    Bench::start(&[]).check_stomp(&rows);
}

#[test]
fn transactions() {
    let (begin, commit, abort) =
        ("BEGIN\ntransaction:t\n\n\0", "COMMIT\ntransaction:t\n\n\0", "ABORT\ntransaction:t\n\n\0");
    let in_t = send("transaction:t\n", LOCATION);
    let held = begin.to_owned() + &in_t + &in_t;
    let goodbye = "DISCONNECT\nreceipt:r\n\n\0";
    Bench::start(&[]).check_stomp(&[
        goes_on("COMMIT: then it is processed", held.clone() + commit).publishing(2),
        goes_on("ABORT: then it is not", held.clone() + abort),
        goes_on("BEGIN: until then neither", held.clone()),
        goes_on("BEGIN: the id is free again", (held.clone() + abort).repeat(3)),
        goes_on("BEGIN: different ids", begin.to_owned() + &begin.replace(":t", ":u")),
        goes_on(
            "SEND: its receipt comes before the COMMIT",
            begin.to_owned() + &send("transaction:t\nreceipt:r\n", LOCATION),
        )
        .told(&["RECEIPT\nreceipt-id:r\n"]),
        leaves("BEGIN: aborted by DISCONNECT", held.clone() + goodbye).told(&["RECEIPT\nreceipt-id:r\n"]),
        fails("BEGIN: aborted by an ERROR", held.clone() + "x\n", &["not a command"]),
        fails("BEGIN: the same id twice", begin.repeat(2), &["open already"]),
        fails("BEGIN: no id", "BEGIN\n\n\0", &["needs the header transaction"]),
        fails("COMMIT: no id", held.clone() + "COMMIT\n\n\0", &["needs the header transaction"]),
        fails("ABORT: no id", held.clone() + "ABORT\n\n\0", &["needs the header transaction"]),
        fails("COMMIT: never begun", commit, &["no transaction"]),
        fails("ABORT: never begun", abort, &["no transaction"]),
        fails("COMMIT: another one", held.clone() + "COMMIT\ntransaction:T\n\n\0", &["no transaction"]),
        fails("COMMIT: twice", held.clone() + &commit.repeat(2), &["no transaction"]).publishing(2),
        fails("SEND: behind the COMMIT", held + commit + &in_t, &["no transaction"]).publishing(2),
        fails(
            "COMMIT: all of it or nothing",
            format!("{begin}{in_t}ACK\nid:9-1\ntransaction:t\n\n\0{commit}"),
            &["was sent"],
        ),
    ]);
}

#[test]
fn disconnect() {
    Bench::start(&[]).check_stomp(&[
        leaves("DISCONNECT: nothing behind it is looked at", "DISCONNECT\n\n\0"),
        leaves("DISCONNECT: its receipt comes first", "DISCONNECT\nreceipt:77\n\n\0")
            .told(&["RECEIPT\nreceipt-id:77\n\n\0"]),
        leaves("DISCONNECT: what came before is done", send("", LOCATION) + "DISCONNECT\nreceipt:r\n\n\0")
            .publishing(1)
            .told(&["RECEIPT\nreceipt-id:r\n\n\0"]),
    ]);
}

// "Repeated Header Entries" and "RECEIPT": nothing that a client says can end a header of an answer early.
#[test]
fn answers_cannot_be_split() {
    let mut rows = Vec::new();
    for (version, receipt, told) in [
        ("1.2", r"a\n\nMESSAGE", r"a\n\nMESSAGE"),
        ("1.2", r"a\r\n\r\nx\cy", r"a\r\n\r\nx\cy"),
        ("1.1", r"a\nreceipt-id\cb", r"a\nreceipt-id\cb"),
        ("1.0", r"a\n\nb", r"a\n\nb"),
    ] {
        let frame = |body: &str| format!("SEND\ndestination:/pub/share/3\nreceipt:{receipt}\n\n{body}\0");
        let row = goes_on("RECEIPT", frame(LOCATION)).version(Some(version)).publishing(1);
        rows.push(row.told(&[&format!("RECEIPT\nreceipt-id:{told}\n\n\0")]));
    }
    let escaped = "SEND\ndestination:/pub/share/3\nreceipt:a\\n\\nb\n\n{\0";
    rows.push(fails("ERROR", escaped, &["\nreceipt-id:a\\n\\nb\ncontent-type"]));
    Bench::start(&[]).check_stomp(&rows);
}
