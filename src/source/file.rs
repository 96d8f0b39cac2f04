//! A file as it was read, and where refusals of it are collected.

use std::cell::RefCell;
use std::ops::Range;

use super::refusal::{Refusal, Refusals};
use super::secrets::masked;
use crate::text::{Snippet, excerpt, visible};

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

    /// How much was refused so far.
    pub(super) fn count(&self) -> usize {
        self.refusals.borrow().len()
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

    pub(super) fn add(&self, mut refusal: Refusal) {
        // Either may name what stands elsewhere in the files.
        refusal.why = visible(&refusal.why);
        refusal.fix = visible(&refusal.fix);
        self.refusals.borrow_mut().push(refusal);
    }

    /// Refuses `part` of `file`; the value is shown.
    pub(super) fn at(&self, file: &File, part: Range<usize>, field: &str, why: &str, fix: &str) {
        let shown = file.text.get(part.clone()).map(|text| excerpt(text, 80)).filter(|text| !text.is_empty());
        self.add(file.refusal(part, field, shown, why, fix));
    }

    /// Refuses `part` of `file`; neither value nor line is shown.
    pub(super) fn secret_at(&self, file: &File, part: Range<usize>, field: &str, why: &str, fix: &str) {
        let mut refusal = file.refusal(part, field, Some("(not shown)".to_owned()), why, fix);
        refusal.snippet = None;
        self.add(refusal);
    }
}

#[derive(Debug)]
pub(super) struct File {
    pub(super) path: String,
    pub(super) text: String,
    pub(super) starts: Vec<usize>,
}

impl File {
    pub(super) fn new(path: &str, text: String) -> Self {
        let starts = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Self { path: path.to_owned(), text, starts }
    }

    /// Every line without its end, and where it starts.
    pub(super) fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.starts.iter().map(|start| (*start, self.line_from(*start)))
    }

    pub(super) fn line_from(&self, start: usize) -> &str {
        let rest = self.text.get(start..).unwrap_or_default();
        rest.split('\n').next().unwrap_or_default().trim_end_matches('\r')
    }

    /// The number of the line that holds byte `at`, from 1.
    pub(super) fn line_of(&self, at: usize) -> usize {
        self.starts.partition_point(|start| *start <= at).max(1)
    }

    pub(super) fn refusal(
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
        let (snippet, value) = if let Some(masked) = masked(text) {
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
