//! A description as JSON, and values held against its schemas: as much of JSON Schema as the two documents use.

use serde_json::Value;

/// One of the two documents.
pub(crate) struct Document(Value);

impl Document {
    /// What is asked for over HTTP.
    pub(crate) fn openapi() -> Self {
        Self::parse(include_str!("../../src/specs/openapi.json"))
    }

    /// What is said over WebSocket and STOMP.
    pub(crate) fn asyncapi() -> Self {
        Self::parse(include_str!("../../src/specs/asyncapi.json"))
    }

    fn parse(text: &str) -> Self {
        Self(serde_json::from_str(text).expect("a description is JSON"))
    }

    /// All of it.
    pub(crate) fn root(&self) -> &Value {
        &self.0
    }

    /// What lies at a JSON pointer.
    #[track_caller]
    pub(crate) fn at(&self, pointer: &str) -> &Value {
        self.0.pointer(pointer).unwrap_or_else(|| panic!("nothing is at {pointer}"))
    }

    /// The members of the object at a JSON pointer.
    #[track_caller]
    pub(crate) fn members<'a>(
        &'a self,
        pointer: &str,
    ) -> impl Iterator<Item = (&'a str, &'a Value)> + use<'a> {
        let object = self.at(pointer).as_object().unwrap_or_else(|| panic!("no object is at {pointer}"));
        object.iter().map(|(name, value)| (name.as_str(), value))
    }

    /// What a reference leads to; the value itself if it is none.
    #[track_caller]
    pub(crate) fn follow<'a>(&'a self, value: &'a Value) -> &'a Value {
        let Some(reference) = value.get("$ref").and_then(Value::as_str) else { return value };
        self.at(reference.strip_prefix('#').expect("references stay within the document"))
    }

    /// Every reference in it.
    pub(crate) fn references(&self) -> Vec<&str> {
        let mut found = Vec::new();
        collect_references(&self.0, &mut found);
        found
    }

    /// Checks that a value is what a schema says.
    #[track_caller]
    pub(crate) fn check(&self, schema: &Value, value: &Value) {
        assert!(self.holds(schema, value), "{value} is not {}", self.follow(schema));
    }

    fn holds(&self, schema: &Value, value: &Value) -> bool {
        let schema = self.follow(schema);
        let rules = schema.as_object().expect("a schema is an object");
        rules.iter().all(|(rule, wanted)| self.keeps(rule, wanted, schema, value))
    }

    /// Whether a value keeps one rule of a schema; rules about other kinds of values are kept by all.
    fn keeps(&self, rule: &str, wanted: &Value, schema: &Value, value: &Value) -> bool {
        let each = || wanted.as_array().expect("the rule is a list").iter();
        match rule {
            "type" => is_of_type(value, wanted.as_str().expect("one type")),
            "const" => value == wanted,
            "enum" => each().any(|one| one == value),
            "minimum" => value.as_f64().is_none_or(|number| Some(number) >= wanted.as_f64()),
            "maximum" => value.as_f64().is_none_or(|number| Some(number) <= wanted.as_f64()),
            "minLength" => value.as_str().is_none_or(|text| text.chars().count() as u64 >= count(wanted)),
            "maxLength" => value.as_str().is_none_or(|text| text.chars().count() as u64 <= count(wanted)),
            "required" => each().all(|name| value.get(name.as_str().expect("a name")).is_some()),
            "properties" => {
                let properties = wanted.as_object().expect("properties have names");
                let mut given =
                    properties.iter().filter_map(|(name, schema)| Some((schema, value.get(name)?)));
                given.all(|(schema, value)| self.holds(schema, value))
            }
            "additionalProperties" => {
                assert_eq!(wanted, &Value::Bool(false), "the one use of the rule");
                has_no_name_outside(value, &schema["properties"])
            }
            "items" => value.as_array().is_none_or(|items| items.iter().all(|item| self.holds(wanted, item))),
            "oneOf" => each().filter(|one| self.holds(one, value)).count() == 1,
            "anyOf" => each().any(|one| self.holds(one, value)),
            "contentSchema" => value.as_str().is_none_or(|text| {
                serde_json::from_str(text).is_ok_and(|content| self.holds(wanted, &content))
            }),
            // Says nothing of what a value may be, or needs a reader of regular expressions, which is not here.
            "description" | "format" | "default" | "pattern" | "contentMediaType" => true,
            other => panic!("{other} is a rule that nobody reads here"),
        }
    }
}

/// Whether an object has no other names than those of `properties`.
pub(crate) fn has_no_name_outside(object: &Value, properties: &Value) -> bool {
    object.as_object().is_none_or(|object| object.keys().all(|name| properties.get(name).is_some()))
}

fn count(number: &Value) -> u64 {
    number.as_u64().expect("a length is a number")
}

fn is_of_type(value: &Value, wanted: &str) -> bool {
    match wanted {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "number" => value.is_number(),
        "integer" => value.is_u64() || value.is_i64(),
        other => panic!("{other} is a type that nobody reads here"),
    }
}

fn collect_references<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
    match value {
        Value::Object(object) => {
            found.extend(object.get("$ref").and_then(Value::as_str));
            object.values().for_each(|inner| collect_references(inner, found));
        }
        Value::Array(list) => list.iter().for_each(|inner| collect_references(inner, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Values that a schema is to refuse: a reader that takes everything would pass everything else here.
mod the_reader_itself {
    use serde_json::json;

    use super::Document;

    #[track_caller]
    fn check(schema: serde_json::Value, value: serde_json::Value, holds: bool) {
        assert_eq!(Document::openapi().holds(&schema, &value), holds, "{value} and {schema}");
    }

    #[test]
    fn values_are_refused_that_are_not_what_a_schema_says() {
        let update = json!({ "$ref": "#/components/schemas/Update" });
        check(update.clone(), json!({ "seq": 1, "x": 1, "y": 2.5, "at": 3 }), true);
        check(update.clone(), json!({ "seq": 1, "member": "a", "left": true, "at": 3, "gap": true }), true);
        for bad in [
            json!({ "seq": 1, "x": 1, "at": 3 }),
            json!({ "seq": 1, "x": 1, "y": 2, "at": 3, "left": true }),
            json!({ "seq": 1, "x": 1, "y": 2, "at": 3, "more": 1 }),
            json!({ "seq": 1, "x": 1, "y": 2, "at": 3, "gap": false }),
            json!({ "seq": -1, "x": 1, "y": 2, "at": 3 }),
            json!({ "seq": 1.5, "x": 1, "y": 2, "at": 3 }),
            json!({ "seq": 1u64 << 54, "x": 1, "y": 2, "at": 3 }),
            json!({ "seq": 1, "member": "", "x": 1, "y": 2, "at": 3 }),
            json!({ "seq": 1, "member": "a".repeat(65), "x": 1, "y": 2, "at": 3 }),
            json!({ "seq": 1, "x": "1", "y": 2, "at": 3 }),
            json!([]),
        ] {
            check(update.clone(), bad, false);
        }
        let event = json!({ "$ref": "#/components/schemas/Event" });
        let data = |data: &str| json!({ "id": "1", "event": "location", "data": data });
        check(event.clone(), data(r#"{"seq":1,"x":1,"y":2,"at":3}"#), true);
        check(event.clone(), data(r#"{"seq":1,"x":1,"y":2}"#), false);
        check(event, data("hello"), false);
        check(json!({ "enum": ["a", "b"] }), json!("c"), false);
        check(json!({ "type": "array", "items": { "const": 1 } }), json!([1, 2]), false);
        check(json!({ "anyOf": [{ "const": 1 }, { "const": 2 }] }), json!(3), false);
    }
}
