//! The house rules that no compiler holds: who may name whom, each package's home, sizes, names, and that README's
//! tables say what the program says. Reads the source as text; every violation is told as `file:line: rule`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Files directly in src that everybody may name, and that name only each other.
const LEAVES: &str = "ids clock limits location page random report route timer_wheel";

/// Each other room of src, and the rooms that it may name besides the leaves. A new room needs a line here.
const ROOMS: [(&str, &str); 13] = [
    ("wire", "wire"),
    ("session", "wire session"),
    ("hub", "hub"),
    ("shard", "wire session hub shard"),
    ("reactor", "shard reactor metrics"),
    ("load", "load wire"),
    ("study", "load study wire"),
    ("metrics", "metrics"),
    ("config", "config load study"),
    ("fuzz", "config fuzz load shard wire"),
    ("logger", "logger"),
    ("server", "config metrics reactor server"),
    ("main", "config load logger server study"),
];

/// Rooms below the reactor: time, sockets and threads reach them as arguments or not at all.
const BELOW_REACTOR: &str = "wire session hub shard";

/// Every package that the library depends on, and where it may be named.
const HOMES: [(&str, &str); 26] = [
    ("base64", "src/wire/websocket/handshake.rs"),
    ("clap", "src/config/"),
    ("clap_complete", "src/config/manual.rs"),
    ("clap_mangen", "src/config/manual.rs"),
    ("crossbeam-channel", "src/reactor/mailbox.rs"),
    ("fastrand", "src/random.rs"),
    ("foldhash", "src/hub/mod.rs"),
    ("hdrhistogram", "src/load/figures.rs"),
    ("httparse", "src/wire/http/request.rs src/wire/http/fields.rs src/wire/http/client.rs"),
    ("humantime", "src/config/ src/logger.rs src/study/page/mod.rs"),
    ("indicatif", "src/load/ src/study/"),
    ("itoa", "src/wire/decimal.rs"),
    ("listenfd", "src/server/service_manager.rs"),
    ("log", "src/reactor/ src/load/ src/server.rs src/server/ src/config/ src/logger.rs src/main.rs"),
    ("mio", "src/reactor/ src/load/"),
    ("plotters", "src/study/page/plots.rs"),
    ("prometheus", "src/metrics.rs"),
    ("rlimit", "src/server.rs src/load/"),
    ("rustix", "src/load/ src/reactor/listener.rs src/study/"),
    ("serde", "src/config/ src/load/ src/study/ src/wire/json.rs"),
    ("serde_json", "src/load/ src/study/ src/wire/json.rs"),
    ("sha1", "src/wire/websocket/handshake.rs"),
    ("signal-hook", "src/server.rs src/load/"),
    ("slab", "src/timer_wheel.rs src/hub/ src/shard/conns.rs src/load/driver.rs"),
    ("socket2", "src/reactor/"),
    ("toml", "src/config/"),
];

/// Names that say nothing about what is inside.
const EMPTY_NAMES: &str = "utils util common helpers helper misc types prelude";

/// What may lie at the top of the repository besides dot-files.
const TOP: &str = "README.md README.ko.md CHANGELOG.md LICENSE LICENSE-MIT LICENSE-APACHE Cargo.toml Cargo.lock \
                   clippy.toml rustfmt.toml src tests benches scripts target";

/// Longest file, tests not counted.
const FILE_LINES_MAX: usize = 600;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn listed(list: &str, word: &str) -> bool {
    list.split_ascii_whitespace().any(|each| each == word)
}

/// The source with comments and the insides of literals blanked, line for line as long as before.
fn code_of(source: &str) -> String {
    let mut code = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(next) = rest.chars().next() {
        let before = code.chars().next_back();
        let length = match next {
            '/' if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
            '/' if rest.starts_with("/*") => rest.find("*/").map_or(rest.len(), |end| end + 2),
            '"' => quoted_length(rest),
            'r' if !before.is_some_and(is_name) => raw_length(rest),
            '\'' => char_length(rest),
            _ => 0,
        };
        if length == 0 {
            code.push(next);
            rest = &rest[next.len_utf8()..];
        } else {
            code.extend(rest[..length].chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
            rest = &rest[length..];
        }
    }
    code
}

fn is_name(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// The length of the string literal that `text` begins with.
fn quoted_length(text: &str) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            '"' if !escaped => return at + 1,
            _ => escaped = c == '\\' && !escaped,
        }
    }
    text.len()
}

/// The length of the raw string literal that `text` begins with; 0 when it is an `r` and no more.
fn raw_length(text: &str) -> usize {
    let hashes = text[1..].bytes().take_while(|byte| *byte == b'#').count();
    if text.as_bytes().get(1 + hashes) != Some(&b'"') {
        return 0;
    }
    let end = format!("\"{}", "#".repeat(hashes));
    let begin = 2 + hashes;
    text[begin..].find(&end).map_or(text.len(), |at| begin + at + end.len())
}

/// The length of the character literal that `text` begins with; 0 when it is a lifetime.
fn char_length(text: &str) -> usize {
    let mut inside = text[1..].char_indices();
    let Some((_, first)) = inside.next() else { return 0 };
    if first == '\\' {
        return text[3..].find('\'').map_or(0, |end| 3 + end + 1);
    }
    match inside.next() {
        Some((at, '\'')) => 1 + at + 1,
        _ => 0,
    }
}

/// Where in `code` the path segment `word` stands as a whole, with what comes before and after it.
fn places<'a>(code: &'a str, word: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
    code.match_indices(word).map(move |(at, _)| (&code[..at], &code[at + word.len()..])).filter(
        |(before, after)| !before.ends_with(is_name) && !after.starts_with(is_name) && !before.ends_with('$'),
    )
}

fn line_of(before: &str) -> usize {
    before.matches('\n').count() + 1
}

/// The code before the first `#[cfg(test)]` that stands on a module; all of it when there is none.
fn before_tests(code: &str) -> &str {
    let marks = code.match_indices("#[cfg(test)]");
    let at = marks.map(|(at, mark)| (at, &code[at + mark.len()..]));
    let is_module = |behind: &str| behind.trim_start().starts_with("mod ");
    at.into_iter().find(|(_, behind)| is_module(behind)).map_or(code, |(at, _)| &code[..at])
}

/// Collects what a file does wrong.
struct Checker<'a> {
    path: &'a str,
    violations: Vec<String>,
}

impl Checker<'_> {
    fn say(&mut self, line: usize, rule: &str) {
        self.violations.push(format!("{}:{line}: {rule}", self.path));
    }

    /// Everything that one file can get wrong, read as text.
    fn check(&mut self, source: &str) {
        let code = code_of(source);
        let tests_alone = self.path.ends_with("/tests.rs") || !self.path.starts_with("src/");
        let product = if tests_alone { "" } else { before_tests(&code) };
        if !source.starts_with("//!") {
            self.say(1, "a file begins with its module doc, //!");
        }
        let lines = product.lines().count();
        if lines > FILE_LINES_MAX {
            self.say(lines, &format!("{lines} lines without tests; the limit is {FILE_LINES_MAX}"));
        }
        self.check_names(&code);
        self.check_leftovers(&code);
        if let Some(in_src) = self.path.strip_prefix("src/") {
            let room = in_src.split(['/', '.']).next().expect("split gives one part at least");
            self.check_rooms(room, &code, product);
            self.check_packages(product);
            self.check_senses(room, product);
        }
    }

    fn check_names(&mut self, code: &str) {
        let path = self.path;
        for part in path.split('/').filter(|part| listed(EMPTY_NAMES, part.trim_end_matches(".rs"))) {
            self.say(1, &format!("the name {part} says nothing about what is inside"));
        }
        for (before, after) in places(code, "mod") {
            let name: String = after.trim_start().chars().take_while(|c| is_name(*c)).collect();
            if listed(EMPTY_NAMES, &name) {
                self.say(line_of(before), &format!("the name {name} says nothing about what is inside"));
            }
        }
    }

    fn check_leftovers(&mut self, code: &str) {
        for left in ["todo", "unimplemented", "dbg"] {
            for (before, _) in places(code, left).filter(|(_, after)| after.starts_with('!')) {
                self.say(line_of(before), &format!("{left}! is no code to keep"));
            }
        }
        for (at, _) in code.match_indices("#[ignore") {
            self.say(line_of(&code[..at]), "a test that is ignored is no test");
        }
        for (at, _) in code.match_indices("thread::sleep") {
            self.say(line_of(&code[..at]), "nothing sleeps: wait for what is to happen");
        }
    }

    /// Who may name whom, and the two ways of naming that would hide it.
    fn check_rooms(&mut self, room: &str, code: &str, product: &str) {
        let may_name = match ROOMS.iter().find(|(name, _)| *name == room) {
            Some((_, others)) => *others,
            None if listed(LEAVES, room) || room == "lib" => "",
            None => {
                return self.say(1, &format!("the room {room} has no line in the table of tests/tidy.rs"));
            }
        };
        for (at, form) in code.match_indices("crate::{").chain(code.match_indices("super::super")) {
            let rule = format!("{form} hides which room is named: write one crate::room path a line");
            self.say(line_of(&code[..at]), &rule);
        }
        let in_src = self.path.strip_prefix("src/").unwrap_or_default();
        let at_root = !in_src.contains('/') || in_src == format!("{room}/mod.rs");
        let root_names = places(product, "super").filter(|(_, after)| at_root && after.starts_with("::"));
        for (before, _) in root_names.filter(|(before, _)| is_outside_blocks(before)) {
            self.say(line_of(before), "super:: is the root of the crate here: write crate::");
        }
        let prefix = if room == "main" { "geoloop" } else { "crate" };
        for (before, after) in places(code, prefix) {
            let Some(path) = after.strip_prefix("::") else { continue };
            let named: String = path.chars().take_while(|c| is_name(*c)).collect();
            if !named.is_empty() && !listed(LEAVES, &named) && !listed(may_name, &named) {
                self.say(line_of(before), &format!("{room} may not name {named}"));
            }
        }
    }

    /// Each package has its homes and is named nowhere else; tests may name what they like.
    fn check_packages(&mut self, product: &str) {
        for (package, homes) in HOMES {
            let path = self.path;
            if homes.split_ascii_whitespace().any(|home| path.starts_with(home)) {
                continue;
            }
            let name = package.replace('-', "_");
            let named = places(product, &name).filter(|(before, after)| {
                let used = before.ends_with("use ") && after.starts_with([';', ' ']);
                !before.ends_with("::") && (after.starts_with("::") || used)
            });
            for line in named.map(|(before, _)| line_of(before)).collect::<Vec<_>>() {
                self.say(line, &format!("the package {package} is at home in {homes} only"));
            }
        }
    }

    /// Below the reactor nothing reaches for sockets, threads or the clock.
    fn check_senses(&mut self, room: &str, product: &str) {
        if !listed(BELOW_REACTOR, room) && !listed(LEAVES, room) {
            return;
        }
        for sense in ["std::net", "std::thread", "Instant"] {
            if room == "clock" && sense == "Instant" {
                continue;
            }
            for (before, _) in places(product, sense) {
                self.say(line_of(before), &format!("{sense} is not to be named below the reactor"));
            }
        }
    }
}

/// Whether no brace is open: inside an inner module `super` is something else than at the top of the file.
fn is_outside_blocks(before: &str) -> bool {
    before.matches('{').count() == before.matches('}').count()
}

fn violations(path: &str, source: &str) -> Vec<String> {
    let mut checker = Checker { path, violations: Vec::new() };
    checker.check(source);
    checker.violations
}

/// Every Rust file under `folder`, as a path from the top of the repository.
fn rust_files(folder: &Path, found: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries {
        let path = entry.expect("a folder that opened can be read").path();
        if path.is_dir() && !path.ends_with("target") && !path.ends_with("peers") {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

#[track_caller]
fn assert_none(violations: &[String]) {
    assert!(violations.is_empty(), "{} violations:\n{}", violations.len(), violations.join("\n"));
}

#[test]
fn every_file_keeps_the_rules() {
    let mut files = Vec::new();
    for folder in ["src", "tests", "benches"] {
        rust_files(&root().join(folder), &mut files);
    }
    files.sort();
    assert!(files.len() > 10, "found only {files:?}");
    let told = files.iter().flat_map(|file| {
        let source = fs::read_to_string(file).expect("a file that was listed can be read");
        let path = file.strip_prefix(root()).expect("it was found under the root");
        violations(&path.to_string_lossy().replace('\\', "/"), &source)
    });
    assert_none(&told.collect::<Vec<_>>());
}

#[test]
fn nothing_else_lies_at_the_top() {
    let entries = fs::read_dir(root()).expect("the repository can be read");
    let names =
        entries.map(|entry| entry.expect("it can be listed").file_name().to_string_lossy().into_owned());
    let strangers = names.filter(|name| !name.starts_with('.') && !listed(TOP, name));
    let told = strangers.map(|name| format!("{name}:1: nothing but the listed files lies at the top"));
    assert_none(&told.collect::<Vec<_>>());
}

#[test]
fn every_dependency_has_a_home() {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).expect("there is a manifest");
    let sections = manifest.split("\n[");
    let section = sections.into_iter().find_map(|section| section.strip_prefix("dependencies]"));
    let lines = section.expect("there are dependencies").lines();
    let names = lines.filter_map(|line| line.split_once('=').filter(|_| !line.starts_with(['#', ' '])));
    let depended: BTreeSet<_> = names.map(|(name, _)| name.trim()).collect();
    let housed: BTreeSet<_> = HOMES.into_iter().map(|(package, _)| package).collect();
    assert_eq!(depended, housed, "Cargo.toml's dependencies and the table of homes");
}

/// The cells of the table under a heading of README, a row each, without the two rows of the head.
fn readme_table(heading: &str) -> Vec<Vec<String>> {
    let readme = fs::read_to_string(root().join("README.md")).expect("there is a README");
    let mark = format!("\n## {heading}\n");
    let (_, section) = readme.split_once(&mark).unwrap_or_else(|| panic!("README has no section {heading}"));
    let section = section.split("\n## ").next().expect("split gives one part at least");
    let rows = section.lines().filter(|line| line.starts_with('|')).skip(2);
    let cell = |cell: &str| cell.trim().trim_matches('`').to_owned();
    rows.map(|row| row.trim_matches('|').split(" | ").map(cell).collect()).collect()
}

#[test]
fn readme_lists_the_flags_that_there_are_with_their_defaults() {
    let documented: BTreeMap<_, _> = readme_table("Flags")
        .into_iter()
        .map(|row| {
            let name = row[0].trim_start_matches("--").split([' ', '`', ',']).next();
            (name.expect("split gives one part at least").to_owned(), row[1].clone())
        })
        .collect();
    let mut flags: BTreeMap<_, _> = geoloop::config::flags()
        .into_iter()
        .map(|(name, default)| (name, default.unwrap_or_else(|| "none".to_owned())))
        .collect();
    // These two depend on the machine.
    flags.insert("workers".to_owned(), "number of CPUs".to_owned());
    flags.insert("max-connections".to_owned(), "what descriptors allow".to_owned());
    assert_eq!(documented, flags, "README's table (left) and the command line (right)");
}

#[test]
fn readme_lists_the_flags_of_load_and_study_with_their_defaults() {
    let documented: BTreeMap<_, _> = readme_table("Load tool and study")
        .into_iter()
        .map(|row| {
            let words: Vec<_> = row[0].split(' ').take(2).collect();
            (words.join(" ").trim_end_matches('`').to_owned(), row[1].clone())
        })
        .collect();
    let of = |verb: &'static str, flags: Vec<(String, Option<String>)>| {
        let named = move |(name, default): (String, Option<String>)| {
            (format!("{verb} --{name}"), default.unwrap_or_else(|| "none".to_owned()))
        };
        flags.into_iter().map(named)
    };
    let load = of("load", geoloop::config::load_flags());
    let flags = load.chain(of("study", geoloop::config::study_flags())).collect();
    assert_eq!(documented, flags, "README's table (left) and the command line (right)");
}

#[test]
#[cfg(target_os = "linux")]
fn readme_lists_the_series_that_a_scrape_holds() {
    let documented: BTreeSet<_> = readme_table("Metrics").into_iter().collect();
    let mut scrape = Vec::new();
    geoloop::metrics::render(&[geoloop::report::Report::default()], &mut scrape);
    let scrape = String::from_utf8(scrape).expect("the scrape is text");
    let mut scraped = BTreeSet::new();
    for block in scrape.split("# HELP ").skip(1) {
        let mut lines = block.lines();
        let (name, help) = lines.next().and_then(|line| line.split_once(' ')).expect("a name and a text");
        let kind = lines.next().and_then(|line| line.rsplit(' ').next()).expect("a type");
        let sample = lines.next_back().expect("a family has samples");
        let labels = sample.split_once('{').map_or("", |(_, labels)| labels);
        let labels = labels.split(',').filter_map(|pair| pair.split_once('=')).map(|(label, _)| label);
        let labels = labels.collect::<Vec<_>>().join(", ");
        let labels = if labels.is_empty() { "none".to_owned() } else { labels };
        scraped.insert([name, kind, &labels, help].map(str::to_owned).to_vec());
    }
    assert_eq!(documented, scraped, "README's table (left) and the scrape (right)");
}

mod the_checker_itself {
    //! Small planted violations: a checker that finds nothing would pass everything else here.
    use super::{code_of, violations};

    #[track_caller]
    fn check(path: &str, body: &str, expected: &[&str]) {
        let found = violations(path, &format!("//! Doc.\n{body}"));
        assert_eq!(found.len(), expected.len(), "{found:#?}");
        for (found, expected) in found.iter().zip(expected) {
            assert!(found.starts_with(expected), "{found:?} does not begin with {expected:?}");
        }
    }

    #[test]
    fn rooms_are_kept_apart() {
        check("src/hub/group.rs", "use crate::ids::GroupId;\nuse crate::hub::history::Ring;\n", &[]);
        check(
            "src/hub/group.rs",
            "\nuse crate::wire::json;\n",
            &["src/hub/group.rs:3: hub may not name wire"],
        );
        check(
            "src/hub/group.rs",
            "fn f() { crate::shard::f(); }\n",
            &["src/hub/group.rs:2: hub may not name shard"],
        );
        check("src/ids.rs", "use crate::hub::Hub;\n", &["src/ids.rs:2: ids may not name hub"]);
        check("src/main.rs", "use geoloop::hub::Hub;\n", &["src/main.rs:2: main may not name hub"]);
        check("src/main.rs", "use geoloop::server;\n", &[]);
        check("src/attic/mod.rs", "", &["src/attic/mod.rs:1: the room attic has no line"]);
    }

    #[test]
    fn names_that_hide_a_room_are_refused() {
        check("src/hub/mod.rs", "use crate::{ids, hub};\n", &["src/hub/mod.rs:2: crate::{ hides"]);
        check("src/hub/group.rs", "use super::super::wire;\n", &["src/hub/group.rs:2: super::super hides"]);
        check("src/hub/mod.rs", "use super::wire;\n", &["src/hub/mod.rs:2: super:: is the root"]);
        check("src/ids.rs", "use super::wire;\n", &["src/ids.rs:2: super:: is the root"]);
        check("src/hub/group.rs", "use super::history::Ring;\n", &[]);
        check(
            "src/ids.rs",
            "mod inner { use super::GroupId; }\n#[cfg(test)]\nmod tests { use super::*; }\n",
            &[],
        );
    }

    #[test]
    fn packages_stay_at_home() {
        check("src/wire/http/request.rs", "use httparse::Request;\n", &[]);
        check("src/wire/sse.rs", "use httparse::Request;\n", &["src/wire/sse.rs:2: the package httparse"]);
        check("src/wire/sse.rs", "use httparse;\n", &["src/wire/sse.rs:2: the package httparse"]);
        check("src/hub/mod.rs", "fn f() { log::info!(\"\"); }\n", &["src/hub/mod.rs:2: the package log"]);
        check("src/wire/sse.rs", "fn f() { self::slab::f(); catalog::f(); }\n", &[]);
        check("src/wire/sse.rs", "fn f() {}\n#[cfg(test)]\nmod tests { use slab::Slab; }\n", &[]);
    }

    #[test]
    fn senses_stay_above() {
        check("src/shard/mod.rs", "use std::net::TcpStream;\n", &["src/shard/mod.rs:2: std::net"]);
        check("src/wire/sse.rs", "use std::time::Instant;\n", &["src/wire/sse.rs:2: Instant"]);
        check("src/limits.rs", "fn f() { std::thread::yield_now(); }\n", &["src/limits.rs:2: std::thread"]);
        check("src/clock.rs", "use std::time::Instant;\n", &[]);
        check("src/reactor/mod.rs", "use std::net::TcpStream;\n", &[]);
        check("src/wire/sse.rs", "struct InstantCoffee;\n", &[]);
    }

    #[test]
    fn leftovers_are_found() {
        check("src/ids.rs", "fn f() {\n    todo!()\n}\n", &["src/ids.rs:3: todo!"]);
        check(
            "tests/x.rs",
            "fn f() { dbg!(1); unimplemented!() }\n",
            &["tests/x.rs:2: unimpl", "tests/x.rs:2: dbg!"],
        );
        check("tests/x.rs", "#[test]\n#[ignore]\nfn f() {}\n", &["tests/x.rs:3: a test that is ignored"]);
        check("tests/x.rs", "fn f() { std::thread::sleep(d) }\n", &["tests/x.rs:2: nothing sleeps"]);
    }

    #[test]
    fn shape_is_checked() {
        let long = "fn f() {}\n".repeat(600);
        check("src/ids.rs", &long, &["src/ids.rs:601: 601 lines without tests"]);
        check("src/ids.rs", &long[10..], &[]);
        check("src/ids.rs", &format!("#[cfg(test)]\nmod tests {{\n{long}}}\n"), &[]);
        check("src/ids.rs", &format!("#[cfg(test)]\nfn one() {{}}\n{long}"), &["src/ids.rs:603: 603 lines"]);
        check("src/hub/utils.rs", "", &["src/hub/utils.rs:1: the name utils.rs"]);
        check("src/hub/mod.rs", "pub(crate) mod helpers;\n", &["src/hub/mod.rs:2: the name helpers"]);
        assert_eq!(
            violations("src/ids.rs", "use std::fmt;\n"),
            ["src/ids.rs:1: a file begins with its module doc, //!"]
        );
    }

    #[test]
    fn comments_and_literals_are_not_code() {
        check("src/ids.rs", "/// See [`crate::hub`].\n// todo!()\n/* dbg!() */\nfn f() {}\n", &[]);
        check("src/ids.rs", "const A: &str = \"crate::hub \\\" todo!()\";\n", &[]);
        check("src/ids.rs", "const A: &str = r#\"crate::hub \" todo!()\"#;\n", &[]);
        check(
            "src/ids.rs",
            "const A: [char; 3] = ['\"', '\\'', '\\u{22}'];\nuse crate::hub;\n",
            &["src/ids.rs:3:"],
        );
        check("src/ids.rs", "fn f<'a>(x: &'a str) { g('x') }\nuse crate::hub;\n", &["src/ids.rs:3:"]);
        let source = "a // b\n\"c\nd\" e /* f\n */ g";
        assert_eq!(code_of(source), "a     \n  \n   e     \n    g");
    }
}
