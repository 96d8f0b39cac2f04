//! JSON Schemas of what palisade writes, made from the types that are written. Every object is closed: what the schema does
//! not name does not stand in a document.

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

/// Parts of a schema that may evaluate properties beside `properties`.
const COMPOSED: [&str; 3] = ["oneOf", "anyOf", "allOf"];

/// The schema of documents of type `T`.
pub fn schema_of<T: JsonSchema>(title: &str, description: &str) -> Value {
    let generator = SchemaSettings::draft2020_12().for_serialize().into_generator();
    let mut body = generator.into_root_schema_for::<T>().to_value();
    let definitions = body.get("$defs").cloned().unwrap_or_default();
    close(&mut body, &definitions, true);
    let mut document = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": title,
        "description": description,
        "$comment": "Written by `palisade schema`.",
    });
    if let (Some(head), Value::Object(body)) = (document.as_object_mut(), body) {
        head.extend(
            body.into_iter()
                .filter(|(name, _)| !matches!(name.as_str(), "$schema" | "title" | "description")),
        );
    }
    used(&mut document);
    document
}

/// Closes every object of `schema`. One whose properties stand in several of its parts is closed as a whole, and its parts
/// are not: `is_whole` is false for those.
fn close(schema: &mut Value, definitions: &Value, is_whole: bool) {
    let Value::Object(fields) = schema else { return };
    if fields.contains_key("properties") {
        inline(fields, definitions);
    }
    let has_properties = fields.contains_key("properties");
    let is_composed = has_properties && COMPOSED.iter().any(|name| fields.contains_key(*name));
    for (name, value) in fields.iter_mut() {
        match (name.as_str(), value) {
            ("properties" | "$defs", Value::Object(parts)) => {
                for part in parts.values_mut() {
                    close(part, definitions, true);
                }
            }
            ("items" | "additionalProperties", part) => close(part, definitions, true),
            ("prefixItems", Value::Array(parts)) => {
                for part in parts {
                    close(part, definitions, true);
                }
            }
            (name, Value::Array(parts)) if COMPOSED.contains(&name) => {
                for part in parts {
                    close(part, definitions, is_whole && !is_composed);
                }
            }
            _ => {}
        }
    }
    if is_whole && is_composed {
        fields.insert("unevaluatedProperties".to_owned(), json!(false));
    } else if is_whole && has_properties && !fields.contains_key("additionalProperties") {
        fields.insert("additionalProperties".to_owned(), json!(false));
    }
}

/// Puts what a `$ref` beside properties leads to in its place: a closed definition would refuse the properties beside it.
fn inline(fields: &mut Map<String, Value>, definitions: &Value) {
    let Some(name) = fields.get("$ref").and_then(Value::as_str).and_then(definition) else { return };
    let Some(Value::Object(found)) = definitions.get(name).cloned() else { return };
    fields.remove("$ref");
    for (name, theirs) in found {
        match (fields.get_mut(&name), theirs) {
            (Some(Value::Object(mine)), Value::Object(theirs)) => mine.extend(theirs),
            (Some(Value::Array(mine)), Value::Array(theirs)) => mine.extend(theirs),
            (Some(_), _) => {}
            (None, theirs) => {
                fields.insert(name, theirs);
            }
        }
    }
}

/// The name of the definition that a reference leads to.
fn definition(reference: &str) -> Option<&str> {
    reference.strip_prefix("#/$defs/")
}

/// Leaves out the definitions that nothing refers to any more.
fn used(document: &mut Value) {
    loop {
        let mut names = Vec::new();
        references(document, &mut names);
        let Some(Value::Object(definitions)) = document.get_mut("$defs") else { return };
        let before = definitions.len();
        definitions.retain(|name, _| names.iter().any(|used| used == name));
        if definitions.len() == before {
            return;
        }
    }
}

fn references(schema: &Value, names: &mut Vec<String>) {
    match schema {
        Value::Object(fields) => {
            let reference = fields.get("$ref").and_then(Value::as_str).and_then(definition);
            names.extend(reference.map(str::to_owned));
            fields.values().for_each(|value| references(value, names));
        }
        Value::Array(items) => items.iter().for_each(|item| references(item, names)),
        _ => {}
    }
}
