//! YAML text → values that know where they stand, under budgets. Every refusal carries file, line, column, field,
//! value, why and fix, and all of them are collected: reading goes on after the first. Reads no file.
//!
//! The parser is serde-saphyr's own, driven by its events instead of serde: serde stops at the first error, and loses
//! whether a word stood in quotes, which is how `no` and `0777` are told from text.

mod guard;
mod reader;
mod refusal;
pub mod shape;
mod yaml;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::Range;

pub use guard::holds_private_key;
use reader::template_syntax;
pub use reader::{Map, Value, duration};
pub use refusal::{Refusal, Refusals};

use self::shape::Shape;
use crate::text::{Snippet, excerpt, visible};

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

/// Where refusals are collected.
#[derive(Debug, Default)]
pub struct Report {
    refusals: RefCell<Vec<Refusal>>,
}

impl Report {
    /// Empty.
    pub fn new() -> Self {
        Self::default()
    }

    /// Refuses a file as a whole: it is missing, unreadable, or not text.
    pub fn whole(&self, path: &str, why: &str, fix: &str) {
        self.line(path, 1, why, fix);
    }

    /// Refuses a line of a file, counted from 1, that is not at hand as text.
    pub fn line(&self, path: &str, line: usize, why: &str, fix: &str) {
        self.add(Refusal {
            file: path.to_owned(),
            line,
            column: 1,
            field: String::new(),
            value: None,
            why: why.to_owned(),
            fix: fix.to_owned(),
            snippet: None,
        });
    }

    /// Adds the refusals of another parser.
    pub fn extend(&self, refusals: Refusals) {
        refusals.into_iter().for_each(|refusal| self.add(refusal));
    }

    /// Whether nothing was refused yet.
    pub fn is_clean(&self) -> bool {
        self.refusals.borrow().is_empty()
    }

    /// `value`, where nothing was refused; else every refusal.
    pub fn finish<T>(self, value: Option<T>) -> Result<T, Refusals> {
        let refusals = self.refusals.into_inner();
        match value {
            Some(value) if refusals.is_empty() => Ok(value),
            _ => Err(Refusals::new(refusals)),
        }
    }

    fn add(&self, mut refusal: Refusal) {
        // Either may name what stands elsewhere in the files.
        refusal.why = visible(&refusal.why);
        refusal.fix = visible(&refusal.fix);
        self.refusals.borrow_mut().push(refusal);
    }

    /// Refuses `part` of `file`; the value is shown.
    fn at(&self, file: &File, part: Range<usize>, field: &str, why: &str, fix: &str) {
        let shown = file.text.get(part.clone()).map(|text| excerpt(text, 80)).filter(|text| !text.is_empty());
        self.add(file.refusal(part, field, shown, why, fix));
    }

    /// Refuses `part` of `file`; neither value nor line is shown.
    fn secret_at(&self, file: &File, part: Range<usize>, field: &str, why: &str, fix: &str) {
        let mut refusal = file.refusal(part, field, Some("(not shown)".to_owned()), why, fix);
        refusal.snippet = None;
        self.add(refusal);
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

#[derive(Debug)]
struct File {
    path: String,
    text: String,
    starts: Vec<usize>,
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

impl File {
    fn new(path: &str, text: String) -> Self {
        let starts = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Self { path: path.to_owned(), text, starts }
    }

    /// Every line without its end, and where it starts.
    fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.starts.iter().map(|start| (*start, self.line_from(*start)))
    }

    fn line_from(&self, start: usize) -> &str {
        let rest = self.text.get(start..).unwrap_or_default();
        rest.split('\n').next().unwrap_or_default().trim_end_matches('\r')
    }

    /// The number of the line that holds byte `at`, from 1.
    fn line_of(&self, at: usize) -> usize {
        self.starts.partition_point(|start| *start <= at).max(1)
    }

    fn refusal(
        &self,
        part: Range<usize>,
        field: &str,
        value: Option<String>,
        why: &str,
        fix: &str,
    ) -> Refusal {
        let mut at = part.start.min(self.text.len());
        if self.text.get(..at).is_some_and(|head| head.ends_with('\n')) && at == self.text.len() && at > 0 {
            at -= 1;
        }
        let line = self.line_of(at);
        let start = self.starts.get(line - 1).copied().unwrap_or(0);
        let text = self.line_from(start);
        let column = text.get(..at.saturating_sub(start)).map_or(1, |head| head.chars().count() + 1);
        let (snippet, value) = if let Some(masked) = guard::masked(text) {
            let indentation = masked.len() - masked.trim_start().len();
            (Snippet::new(&self.path, line, &masked, indentation..masked.len()), None)
        } else {
            let end = part.end.min(start + text.len()).max(at + 1) - start;
            (Snippet::new(&self.path, line, text, at - start..end), value)
        };
        Refusal {
            file: self.path.clone(),
            line,
            column,
            field: field.to_owned(),
            value,
            why: why.to_owned(),
            fix: fix.to_owned(),
            snippet: Some(snippet),
        }
    }
}
