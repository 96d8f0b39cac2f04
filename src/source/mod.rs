//! YAML text → values that know where they stand, under budgets. Every refusal carries file, line, column, field,
//! value, why and fix, and all of them are collected: reading goes on after the first. Reads no file.
//!
//! The parser is serde-saphyr's own, driven by its events instead of serde: serde stops at the first error, and loses
//! whether a word stood in quotes, which is how `no` and `0777` are told from text.

mod file;
mod guard;
mod reader;
mod refusal;
mod secrets;
pub mod shape;
mod yaml;

use std::collections::BTreeMap;
use std::ops::Range;

use file::File;
pub use file::Report;
pub use reader::{Map, Value, duration};
pub use refusal::{Refusal, Refusals};
pub use secrets::holds_private_key;

use self::shape::Shape;

/// Files as they were read, by their path within the project. Nothing is believed about them yet.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    files: BTreeMap<String, Vec<u8>>,
}

impl Sources {
    /// None.
    pub fn new() -> Self {
        Self::default()
    }

    /// With one more file.
    #[must_use]
    pub fn with(mut self, path: &str, bytes: impl Into<Vec<u8>>) -> Self {
        self.insert(path, bytes);
        self
    }

    /// Adds a file, or replaces it.
    pub fn insert(&mut self, path: &str, bytes: impl Into<Vec<u8>>) {
        self.files.insert(path.to_owned(), bytes.into());
    }

    /// The bytes of one file.
    pub fn get(&self, path: &str) -> Option<&[u8]> {
        self.files.get(path).map(Vec::as_slice)
    }

    /// All files, by path.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.files.iter().map(|(path, bytes)| (path.as_str(), bytes.as_slice()))
    }

    /// The files directly in `directory`, by their name there.
    pub fn in_directory<'a>(&'a self, directory: &'a str) -> impl Iterator<Item = (&'a str, &'a [u8])> {
        self.iter().filter_map(move |(path, bytes)| {
            let name = path.strip_prefix(directory)?.strip_prefix('/')?;
            (!name.contains('/')).then_some((name, bytes))
        })
    }
}

/// One YAML file.
#[derive(Debug)]
pub struct Document {
    file: File,
    root: Option<yaml::Node>,
}

/// A file that is not YAML, such as a template.
#[derive(Debug)]
pub struct TextFile(File);

impl TextFile {
    /// Reads `bytes` as text. What no file may hold is refused in `report`.
    pub fn read(path: &str, bytes: &[u8], report: &Report) -> Option<Self> {
        let file = File::new(path, guard::text(path, bytes, report)?);
        guard::private_keys(&file, None, report);
        guard::characters(&file, report).then_some(Self(file))
    }

    /// What it holds.
    pub fn text(&self) -> &str {
        &self.0.text
    }

    /// Refuses a part of it.
    pub fn refuse(&self, part: Range<usize>, why: &str, fix: &str, report: &Report) {
        report.at(&self.0, part, "", why, fix);
    }
}

impl Document {
    /// Reads `bytes` as the YAML of `path`. What no file may hold is refused in `report`; a document that cannot be
    /// parsed has no root.
    pub fn read(path: &str, bytes: &[u8], report: &Report) -> Option<Self> {
        let text = guard::text(path, bytes, report)?;
        let file = File::new(path, text);
        let sound = guard::lines(&file, report);
        let root = if sound { yaml::tree(&file, report) } else { None };
        guard::private_keys(&file, root.as_ref(), report);
        let document = Self { file, root };
        if let Some(root) = document.root(report) {
            guard::values(&root, report);
        }
        Some(document)
    }

    /// The value that the file holds.
    pub fn root<'d>(&'d self, report: &'d Report) -> Option<Value<'d>> {
        self.root.as_ref().map(|node| Value {
            file: &self.file,
            node,
            key: None,
            path: String::new(),
            report,
            shape: None,
        })
    }

    /// The value that the file holds, as what it should be.
    pub fn shaped<'d>(&'d self, shape: &'static Shape, report: &'d Report) -> Option<Value<'d>> {
        Some(Value { shape: Some(shape), ..self.root(report)? })
    }
}
