//! Documents against the schemas that palisade prints of them: a document is one, and would not be with a field that no
//! schema knows or without one that it needs.

use std::fs;
use std::path::Path;

use jsonschema::Validator;
use palisade::report::json::Output;
use palisade::schema;
use serde_json::{Map, Value, json};

/// Objects whose names are data: of files, hosts, packages and roles, and what another palisade wrote.
const OPEN: [&str; 9] =
    ["inputs", "jump_connections", "packages", "lease", "header", "end", "roles", "identities", "accounts"];

/// Fields that stand in a document only where there is something to say.
const OPTIONAL: [&str; 9] = [
    "ended",
    "plan",
    "fingerprint",
    "machine_id",
    "distribution",
    "rollback_milliseconds",
    "interrupted",
    "controls",
    "jump_connections",
];

/// The schema of a sort of documents.
pub struct Schema(Validator);

impl Schema {
    /// Of what a verb prints with `--format json`.
    pub fn of(output: Output) -> Self {
        Self(jsonschema::draft202012::new(&output.document()).expect("a schema"))
    }

    /// Of a line of a record.
    pub fn of_record() -> Self {
        Self(jsonschema::draft202012::new(&schema::record()).expect("a schema"))
    }

    /// The document is one of these.
    pub fn holds(&self, document: &Value) {
        if let Some(error) = self.0.iter_errors(document).next() {
            panic!("{}: {error}\n{document:#}", error.instance_path());
        }
    }

    /// The document is one of these, and none with a field more in any of its objects.
    pub fn holds_alone(&self, document: &Value) {
        self.holds(document);
        let mut places = Vec::new();
        objects(document, &mut String::new(), &mut places);
        assert!(!places.is_empty(), "{document:#}");
        for place in places {
            let mut more = document.clone();
            fields(&mut more, &place).insert("surprise".to_owned(), json!(1));
            assert!(!self.0.is_valid(&more), "a surprise at `{place}` is taken: {document:#}");
        }
    }

    /// The object at `place` needs each of its fields, but for those that are optional.
    pub fn needs_all(&self, document: &Value, place: &str) {
        let names: Vec<String> = fields(&mut document.clone(), place).keys().cloned().collect();
        for name in names.iter().filter(|name| !OPTIONAL.contains(&name.as_str())) {
            let mut less = document.clone();
            fields(&mut less, place).remove(name);
            assert!(!self.0.is_valid(&less), "`{place}` is taken without `{name}`: {document:#}");
        }
    }
}

/// Every line of the record in `folder` is a line of a record.
pub fn record_holds(folder: &Path) {
    let text = fs::read_to_string(folder.join(palisade::store::RECORD)).expect("a record");
    let schema = Schema::of_record();
    for line in text.lines() {
        schema.holds(&serde_json::from_str(line).expect("JSON"));
    }
}

fn fields<'d>(document: &'d mut Value, place: &str) -> &'d mut Map<String, Value> {
    let found = document.pointer_mut(place).and_then(Value::as_object_mut);
    found.unwrap_or_else(|| panic!("no object at {place}"))
}

/// The places of all objects whose names are a schema's.
fn objects(value: &Value, place: &mut String, places: &mut Vec<String>) {
    let mut go = |name: &str, value: &Value| {
        let length = place.len();
        place.push('/');
        place.push_str(name);
        objects(value, place, places);
        place.truncate(length);
    };
    match value {
        Value::Object(fields) => {
            for (name, value) in fields.iter().filter(|(name, _)| !OPEN.contains(&name.as_str())) {
                go(name, value);
            }
            places.push(place.clone());
        }
        Value::Array(items) => {
            for (number, item) in items.iter().enumerate() {
                go(&number.to_string(), item);
            }
        }
        _ => {}
    }
}
