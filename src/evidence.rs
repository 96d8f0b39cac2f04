//! The run record: what was asked, answered, judged, changed, on which machines, from which inputs. One JSON document
//! a line, and a manifest of digests. It is made from values; writing it is `store`'s business.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::domain::{Digest, Environment, Identifier, UserName};

/// Version of the record's format.
pub const SCHEMA: u32 = 1;

/// What a run is about.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Header {
    /// [`SCHEMA`].
    pub schema: u32,
    /// The run's id.
    pub run: Identifier,
    /// palisade's version.
    pub tool: String,
    /// `audit`, `plan`, `apply` ...
    pub verb: String,
    /// Which environment.
    pub environment: Environment,
    /// Who ran it.
    pub by: Option<UserName>,
    /// On which machine.
    pub from: String,
    /// When it began.
    pub began: Timestamp,
    /// The files that it went by, with their digests.
    pub inputs: BTreeMap<String, Digest>,
    /// The hosts that were selected.
    pub hosts: Vec<String>,
    /// The hash of the plan file that was applied, if one was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<Digest>,
}

/// How it ended.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Footer {
    /// When.
    pub ended: Timestamp,
    /// palisade's exit code.
    pub exit: u8,
    /// The counts of the summary.
    pub summary: Value,
}

/// One line of a record: `{"entry": name, …}`.
pub fn line(name: &str, value: &impl Serialize) -> String {
    let body = serde_json::to_value(value).unwrap_or_else(|error| json!({"unwritable": error.to_string()}));
    let mut line = serde_json::Map::new();
    line.insert("entry".to_owned(), json!(name));
    match body {
        Value::Object(fields) => line.extend(fields),
        other => {
            line.insert("value".to_owned(), other);
        }
    }
    Value::Object(line).to_string()
}

/// The record's lines.
#[derive(Debug, Clone, Default)]
pub struct Record {
    lines: Vec<String>,
}

impl Record {
    /// A record that begins with `header`.
    pub fn new(header: &Header) -> Self {
        let mut record = Self::default();
        record.push("run", header);
        record
    }

    /// One more line.
    pub fn push(&mut self, name: &str, value: &impl Serialize) {
        self.lines.push(line(name, value));
    }

    /// Ends it.
    #[must_use]
    pub fn finish(mut self, footer: &Footer) -> String {
        self.push("end", footer);
        let mut text = self.lines.join("\n");
        text.push('\n');
        text
    }
}

/// The digests of a run's files, and of the manifest before it: a record that is taken out of the middle, or put there,
/// leaves a gap. Whoever writes all of them anew leaves none; only a copy elsewhere shows that.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// [`SCHEMA`].
    pub schema: u32,
    /// The run's id.
    pub run: Identifier,
    /// File name to SHA-256.
    pub files: BTreeMap<String, Digest>,
    /// The run whose record was the last one when this was written; none where it was the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<Previous>,
}

/// The record before another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Previous {
    /// Its folder's name.
    pub run: String,
    /// The digest of its manifest.
    pub manifest: Digest,
}

impl Manifest {
    /// Of files with these digests, written after `previous`.
    pub fn new(run: Identifier, files: BTreeMap<String, Digest>, previous: Option<Previous>) -> Self {
        Self { schema: SCHEMA, run, files, previous }
    }
}
