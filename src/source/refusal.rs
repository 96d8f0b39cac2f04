//! What is wrong with a file, for people and for machines.

use std::fmt;

use serde::Serialize;

use crate::text::{Snippet, annotated};

/// One thing that is wrong. Its texts are safe to show and hold no secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Refusal {
    /// The file, by its path within the project.
    pub file: String,
    /// Number of the line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// The field, such as `hosts.web-1.addresses.public[0]`; empty for the file as a whole.
    pub field: String,
    /// Excerpt of the value.
    pub value: Option<String>,
    /// The reason, as a lower-case fragment.
    pub why: String,
    /// Advice on what to write instead.
    pub fix: String,
    /// The line.
    #[serde(skip)]
    pub snippet: Option<Snippet>,
}

impl Refusal {
    /// With the line that it is about, underlined.
    pub fn annotated(&self, coloured: bool) -> String {
        let title = match (&self.snippet, self.field.is_empty()) {
            (Some(_), true) => self.why.clone(),
            (Some(_), false) => format!("{}: {}", self.field, self.why),
            // Where the file as a whole is refused, its first line is no place.
            (None, true) if self.line == 1 => format!("{}: {}", self.file, self.why),
            (None, true) => format!("{}:{}:{}: {}", self.file, self.line, self.column, self.why),
            (None, false) => {
                format!("{}:{}:{}: {}: {}", self.file, self.line, self.column, self.field, self.why)
            }
        };
        annotated(&title, self.snippet.as_ref(), "", &[("help", &self.fix)], coloured)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: ", self.file, self.line, self.column)?;
        if !self.field.is_empty() {
            write!(f, "{}: ", self.field)?;
        }
        write!(f, "{}", self.why)?;
        if let Some(value) = &self.value {
            write!(f, " (`{value}`)")?;
        }
        write!(f, "; {}", self.fix)
    }
}

/// Everything that is wrong, in the order of files and lines. Never empty.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[serde(transparent)]
pub struct Refusals(Vec<Refusal>);

impl Refusals {
    /// In order, each once.
    pub fn new(mut refusals: Vec<Refusal>) -> Self {
        refusals
            .sort_by(|a, b| (&a.file, a.line, a.column, &a.why).cmp(&(&b.file, b.line, b.column, &b.why)));
        refusals.dedup();
        Self(refusals)
    }

    /// How many.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// Each in turn.
    pub fn iter(&self) -> impl Iterator<Item = &Refusal> {
        self.0.iter()
    }

    /// All of them, each with its line.
    pub fn annotated(&self, coloured: bool) -> String {
        self.0.iter().map(|refusal| refusal.annotated(coloured)).collect::<Vec<_>>().join("\n\n")
    }
}

impl IntoIterator for Refusals {
    type Item = Refusal;
    type IntoIter = std::vec::IntoIter<Refusal>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl fmt::Display for Refusals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, refusal) in self.0.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            write!(f, "{refusal}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Refusals {}
