//! The addresses of the OpenAPI document: those of the router, and those of README.

use std::collections::{BTreeMap, BTreeSet};

use geoloop::route::{Endpoint, Method, route};

use crate::document::Document;

/// Paths with their methods, as requests spell both.
type Addresses = BTreeMap<String, BTreeSet<String>>;

/// The group that stands for all.
const GROUP: &str = "3";

/// The longest path has so many segments: `/location/long/{group}/notify`.
const SEGMENTS_MAX: usize = 4;

/// What the document describes.
fn described() -> Addresses {
    let document = Document::openapi();
    let paths = document.members("/paths");
    let methods = |path: &serde_json::Value| {
        let keys = path.as_object().expect("a path is an object").keys();
        keys.filter(|key| *key != "parameters").map(|key| key.to_ascii_uppercase()).collect()
    };
    paths.map(|(path, item)| (path.replace("{group}", GROUP), methods(item))).collect()
}

/// The segments of paths that the router's source holds, and more words of it that are none.
fn words() -> BTreeSet<&'static str> {
    let source = include_str!("../../src/route.rs");
    let product = source.split("#[cfg(test)]").next().expect("split gives one part at least");
    let literals = product.split("b\"").skip(1).filter_map(|rest| rest.split('"').next());
    let segments = literals.flat_map(|literal| literal.split('/'));
    segments.filter(|segment| is_word(segment)).chain([GROUP]).collect()
}

/// Whether it is spelled as segments are: schemes, numbers and methods are not.
fn is_word(segment: &str) -> bool {
    !segment.is_empty() && segment.bytes().all(|byte| byte.is_ascii_lowercase() || b"._".contains(&byte))
}

/// Notes `path` if it leads anywhere, and every one that begins with it and has so many more segments at most.
fn collect(path: &mut String, segments_left: usize, words: &BTreeSet<&str>, found: &mut Addresses) {
    if !path.is_empty()
        && let Ok(Endpoint::Options { allow }) = route(Method::Options, path.as_bytes())
    {
        found.insert(path.clone(), allow.split(", ").map(str::to_owned).collect());
    }
    if segments_left == 0 {
        return;
    }
    let length = path.len();
    for word in words {
        path.push('/');
        path.push_str(word);
        collect(path, segments_left - 1, words, found);
        path.truncate(length);
    }
}

/// What the router leads anywhere: every path that can be made of its words was asked for.
fn routed() -> Addresses {
    let words = words();
    assert!(words.contains("notify") && words.contains("openapi.json"), "{words:?}");
    let mut found = Addresses::new();
    collect(&mut "/".to_owned(), 0, &words, &mut found);
    collect(&mut String::new(), SEGMENTS_MAX, &words, &mut found);
    found
}

#[test]
fn every_address_that_is_described_is_routed_and_every_routed_one_is_described() {
    let routed = routed();
    assert_eq!(described(), routed, "the document (left) and the router (right)");
    for (path, methods) in routed {
        for method in methods.iter().filter(|method| *method != "OPTIONS") {
            let endpoint = route(Method::parse(method.as_bytes()), path.as_bytes());
            assert!(endpoint.is_ok(), "{method} {path}: {endpoint:?}");
        }
    }
}

#[test]
fn readme_and_the_document_tell_of_the_same_addresses() {
    let readme = include_str!("../../README.md");
    let section = readme.split("\n## Addresses\n").nth(1).and_then(|rest| rest.split("\n## ").next());
    let rows = section.expect("README has the section").lines().filter(|line| line.starts_with('|')).skip(2);
    let mut told = BTreeSet::new();
    for row in rows {
        let mut cells = row.trim_start_matches('|').split('|').map(str::trim);
        let (method, targets) = (cells.next().expect("a method"), cells.next().expect("targets"));
        for target in targets.split(", ") {
            told.insert((method.to_owned(), target.trim_matches('`').replace("{group}", GROUP)));
        }
    }
    let main = |method: &String| method == "GET" || method == "POST";
    let described = described().into_iter().flat_map(|(path, methods)| {
        methods.into_iter().filter(main).map(move |method| (method, path.clone())).collect::<Vec<_>>()
    });
    assert_eq!(told, described.collect(), "README (left) and the document (right)");
}

#[test]
fn upgrades_of_both_documents_are_the_same() {
    let (openapi, asyncapi) = (Document::openapi(), Document::asyncapi());
    let paths = openapi.members("/paths").filter(|(_, item)| item["get"]["responses"].get("101").is_some());
    let upgraded: BTreeSet<_> = paths.map(|(path, _)| path.to_owned()).collect();
    let channels = asyncapi.members("/channels").map(|(_, channel)| channel);
    let raw = channels.filter(|channel| channel["servers"][0]["$ref"] == "#/servers/websocket");
    let raw = raw.map(|channel| channel["address"].as_str().expect("a path").to_owned());
    let stomp = asyncapi.at("/servers/stomp/pathname").as_str().expect("a path").to_owned();
    assert_eq!(upgraded, raw.chain([stomp]).collect(), "OpenAPI (left) and AsyncAPI (right)");
}
