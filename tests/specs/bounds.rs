//! What the documents say in numbers and names, against the code; and that they hang together.

use std::collections::BTreeSet;

use geoloop::ids::{GroupId, MemberId, Seq};
use geoloop::limits::{LONG_POLL_TIMEOUT, LONG_POLL_TIMEOUT_MAX};
use geoloop::wire::http::response::Status;
use serde_json::json;

use crate::document::Document;

#[test]
fn bounds_are_those_of_the_code() {
    for document in [Document::openapi(), Document::asyncapi()] {
        let schema = |name: &str| document.at(&format!("/components/schemas/{name}"));
        assert_eq!(schema("Seq")["maximum"], Seq::END - 1);
        assert_eq!(schema("MemberName")["maxLength"], MemberId::BYTES_MAX);
        assert_eq!(document.at("/info/version"), env!("CARGO_PKG_VERSION"));
    }
    let document = Document::openapi();
    assert_eq!(document.at("/components/schemas/GroupId/maximum"), GroupId::MAX);
    let timeout = document.at("/components/parameters/Timeout/schema");
    let ms = |duration: std::time::Duration| json!(duration.as_millis() as u64);
    assert_eq!(
        (&timeout["maximum"], &timeout["default"]),
        (&ms(LONG_POLL_TIMEOUT_MAX), &ms(LONG_POLL_TIMEOUT))
    );
    let metrics = document.at("/components/responses/Metrics/content").as_object().expect("media types");
    assert_eq!(metrics.keys().collect::<Vec<_>>(), [geoloop::metrics::CONTENT_TYPE]);
}

#[test]
fn updates_are_the_same_in_both_documents() {
    let (openapi, asyncapi) = (Document::openapi(), Document::asyncapi());
    for name in ["Seq", "MemberName", "Update", "Location", "Leave", "Publish"] {
        let pointer = format!("/components/schemas/{name}");
        assert_eq!(openapi.at(&pointer), asyncapi.at(&pointer), "{name}");
    }
}

#[test]
fn every_reference_leads_somewhere_and_every_component_is_referred_to() {
    for document in [Document::openapi(), Document::asyncapi()] {
        let referred: BTreeSet<_> = document.references().into_iter().collect();
        for reference in &referred {
            document.at(reference.strip_prefix('#').expect("references stay within the document"));
        }
        for (kind, _) in document.members("/components") {
            for (name, _) in document.members(&format!("/components/{kind}")) {
                let reference = format!("#/components/{kind}/{name}");
                assert!(referred.contains(reference.as_str()), "nobody refers to {reference}");
            }
        }
    }
}

#[test]
fn operations_have_names_of_their_own() {
    let document = Document::openapi();
    let mut names = BTreeSet::new();
    for (path, item) in document.members("/paths") {
        let operations = item.as_object().expect("a path is an object").iter();
        for (method, operation) in operations.filter(|(key, _)| *key != "parameters") {
            let name = operation["operationId"].as_str().expect("an operation has a name");
            assert!(names.insert(name), "{method} {path}: {name} is taken");
            assert!(operation["summary"].is_string(), "{method} {path}");
        }
    }
}

#[test]
fn every_status_that_the_server_answers_with_is_told_of() {
    let document = Document::openapi();
    let words = ["RefusedByHttp", "UnableByHttp"].map(|name| {
        let text = document.at(&format!("/components/responses/{name}/description")).as_str();
        text.expect("a description is text").to_owned()
    });
    let mut told: BTreeSet<_> =
        words.iter().flat_map(|text| text.split(|c: char| !c.is_ascii_digit())).map(str::to_owned).collect();
    for (_, item) in document.members("/paths") {
        let operations = item.as_object().expect("a path is an object").values();
        let answers = operations.filter_map(|operation| operation.get("responses")?.as_object());
        told.extend(answers.flat_map(|answers| answers.keys().cloned()));
    }
    // The first is not the answer, and the other is one that a server without faults never gives.
    let never = [Status::Continue, Status::InternalServerError];
    for status in Status::ALL.iter().filter(|status| !never.contains(status)) {
        assert!(told.contains(&status.code().to_string()), "{} is not told of", status.code());
    }
}

#[test]
fn examples_are_what_their_schemas_say() {
    let document = Document::openapi();
    for kind in ["responses", "requestBodies"] {
        for (_, component) in document.members(&format!("/components/{kind}")) {
            let contents = component.get("content").and_then(serde_json::Value::as_object);
            for media in contents.into_iter().flat_map(|contents| contents.values()) {
                let several = media.get("examples").and_then(serde_json::Value::as_object);
                let several = several.into_iter().flat_map(|examples| examples.values());
                for example in several.map(|example| &example["value"]).chain(media.get("example")) {
                    document.check(&media["schema"], example);
                }
            }
        }
    }
    let document = Document::asyncapi();
    for (_, message) in document.members("/components/messages") {
        for example in message.get("examples").and_then(serde_json::Value::as_array).into_iter().flatten() {
            document.check(&message["payload"], &example["payload"]);
            if let Some(headers) = example.get("headers") {
                document.check(&message["headers"], headers);
            }
        }
    }
}
