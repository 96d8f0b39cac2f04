//! The schemas of what palisade writes: that they are schemas, and say of every field what it is. Documents stand against them
//! where tests make documents.

use palisade::report::json::Output;
use palisade::schema;
use serde_json::Value;
use support::Needs;

support::tests! {
    Needs::NOTHING => [
        every_schema_of_what_is_written_is_one,
        every_field_of_what_is_written_says_what_it_is,
    ],
}

/// Words that begin a question, or a clause that hangs in the air.
const NO_NOUNS: [&str; 17] = [
    "What", "Which", "Who", "Whose", "Where", "When", "Why", "How", "Whether", "Of", "In", "It", "From",
    "For", "With", "By", "So",
];

fn all() -> Vec<(String, Value)> {
    let outputs = Output::ALL.map(|output| (format!("output {}", output.as_str()), output.document()));
    [("record".to_owned(), schema::record())].into_iter().chain(outputs).collect()
}

fn every_schema_of_what_is_written_is_one() {
    for (name, schema) in all() {
        assert!(jsonschema::draft202012::meta::is_valid(&schema), "{name}");
        let text = schema.to_string();
        assert!(!text.contains("[`"), "{name}: a link of the code's own documentation");
    }
}

fn every_field_of_what_is_written_says_what_it_is() {
    let mut wrong = Vec::new();
    for (name, schema) in all() {
        check(&schema, &name, &mut wrong);
    }
    wrong.sort();
    wrong.dedup();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn check(schema: &Value, place: &str, wrong: &mut Vec<String>) {
    let properties = schema["properties"].as_object();
    // A variant's name around its content is the variant, which says what it is.
    let is_variant = schema["description"].is_string() && properties.is_some_and(|fields| fields.len() == 1);
    for (name, field) in properties.into_iter().flatten() {
        let about = field["description"].as_str().unwrap_or_default();
        let first = about.split_whitespace().next().unwrap_or_default();
        let is_tag = field.get("const").is_some() || is_variant && field["description"].is_null();
        if !is_tag && (!about.ends_with('.') || NO_NOUNS.contains(&first)) {
            wrong.push(format!("{name}: `{about}` ({place})"));
        }
    }
    match schema {
        Value::Object(fields) => {
            for (name, value) in fields {
                let below = if name == "$defs" { place.to_owned() } else { format!("{place}.{name}") };
                check(value, &below, wrong);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| check(item, place, wrong)),
        _ => {}
    }
}
