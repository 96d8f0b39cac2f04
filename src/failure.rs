//! What went wrong, in the one shape that becomes an exit code. Says each thing once: what, why, and what to do.

use std::fmt;

use anstyle::AnsiColor;

use crate::report::{Failed, Page};
use crate::source::Refusals;
use crate::text::visible_block;
use crate::ui::{Format, Printer, marked};

/// Why a verb ended without doing its work. The numbers are the documented exit codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// An operation failed.
    Failed = 1,
    /// Bad usage, or a file or selection was refused. Nothing was contacted.
    Refused = 2,
    /// A host was unreachable, or something was unknown.
    Incomplete = 4,
    /// A gate refused: a lock, an approval, a host that does not match, an unsupported one.
    Gate = 6,
    /// A signal came before anything was changed: 128 and the number of Ctrl-C's, as shells say it.
    Interrupted = 130,
}

/// A failure, with what to do about it.
#[derive(Debug)]
pub struct Failure {
    /// Which exit code it becomes.
    pub kind: Kind,
    /// What went wrong.
    pub error: anyhow::Error,
    /// What to do, each on a line of its own.
    pub hints: Vec<String>,
}

impl Failure {
    /// A failure of this kind.
    pub fn new(kind: Kind, error: impl Into<anyhow::Error>) -> Self {
        Self { kind, error: error.into(), hints: Vec::new() }
    }

    /// Bad usage, in a sentence.
    pub fn refused(why: impl fmt::Display) -> Self {
        Self::new(Kind::Refused, anyhow::anyhow!("{why}"))
    }

    /// With one more hint.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// The process's exit code.
    pub fn exit(&self) -> u8 {
        self.kind as u8
    }

    /// Everything wrong with the files, where that is what went wrong.
    pub fn refusals(&self) -> Option<&Refusals> {
        self.error.downcast_ref()
    }

    /// Shows it on standard error, and what to do. Where JSON was asked for, it is the one document too.
    pub fn show(&self, printer: &Printer) {
        if printer.format() == Format::Json {
            let error = self.summary();
            let refusals = self.refusals();
            let failed = Failed { error: &error, exit: self.exit(), hints: &self.hints, refusals };
            // Whoever no longer reads is told below.
            let _ = printer.show(&Page::Failed(&failed));
            if self.refusals().is_some() {
                return;
            }
        }
        if let Some(refusals) = self.refusals() {
            printer.insist(&format!("{}\n", refusals.annotated(printer.is_coloured())));
            printer.insist(&format!("{}; nothing was contacted", self.summary()));
        } else {
            let error = marked("error", AnsiColor::Red);
            printer.insist(&format!("{error}: {}", visible_block(&self.message())));
        }
        for hint in &self.hints {
            printer.insist(&format!("{}: {}", marked("hint", AnsiColor::Cyan), visible_block(hint)));
        }
    }

    /// The message, or how many things were refused, where each is said on its own.
    fn summary(&self) -> String {
        match self.refusals().map(Refusals::count) {
            Some(1) => "1 thing was refused".to_owned(),
            Some(count) => format!("{count} things were refused"),
            None => self.message(),
        }
    }

    /// The error and its causes on one line; a cause that the error above it already says is left out.
    pub fn message(&self) -> String {
        let mut message = String::new();
        for cause in self.error.chain() {
            let cause = cause.to_string();
            if !message.ends_with(&cause) {
                if !message.is_empty() {
                    message.push_str(": ");
                }
                message.push_str(&cause);
            }
        }
        message
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self { kind: Kind::Failed, error, hints: Vec::new() }
    }
}

impl From<Refusals> for Failure {
    fn from(refusals: Refusals) -> Self {
        Self::new(Kind::Refused, refusals)
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::new(Kind::Failed, error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_said_twice() {
        let inner = anyhow::anyhow!("no space left");
        let outer = inner.context("writing runs/x: no space left").context("keeping the run");
        assert_eq!(Failure::from(outer).message(), "keeping the run: writing runs/x: no space left");
    }
}
