//! What the demo is asked for, what it tells while it runs, and why it may end early.

use std::io;
use std::path::PathBuf;

use crate::lab::{LabError, LabEvent, Suites};

/// What the demo is to do.
#[derive(Debug, Clone)]
pub struct Options {
    /// The folder that holds labs, and the bases that they stand on.
    pub place: PathBuf,
    /// Which distributions the hosts run.
    pub suites: Suites,
    /// Whether the lab stays.
    pub keep: bool,
    /// The program whose verbs are run.
    pub palisade: PathBuf,
    /// Where the verbs' own output goes.
    pub shown: Shown,
}

/// Something to tell the person who watches.
#[derive(Debug)]
pub enum Moment<'a> {
    /// A part of the story begins.
    Chapter {
        /// Its number, from 1.
        number: usize,
        /// Its title.
        title: &'static str,
        /// What happens in it.
        says: &'a str,
    },
    /// A command line that is run now, as it may be typed.
    Command(&'a str),
    /// The lab works.
    Lab(&'a LabEvent),
    /// Lines as they are.
    Text(&'a str),
    /// Something happens while a verb runs and draws on the same terminal.
    Meanwhile(&'a str),
    /// Something was seen.
    Seen(&'a str),
}

/// Where moments go.
pub type Tell<'a> = &'a (dyn Fn(Moment<'_>) + Sync);

/// Why the demo ended early.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// The lab could not do something.
    #[error(transparent)]
    Lab(#[from] LabError),
    /// Something that the demo promises was not seen.
    #[error("not seen: {wanted}; instead: {found}")]
    NotSeen {
        /// What was to be seen.
        wanted: String,
        /// What there was.
        found: String,
    },
    /// A file or a process.
    #[error("could not {doing}: {why}")]
    Failed {
        /// Such as `start palisade`.
        doing: String,
        /// What the system said.
        why: String,
    },
    /// The person who watches wants no more of it.
    #[error("interrupted")]
    Interrupted,
}

impl DemoError {
    pub(super) fn failed(doing: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let doing = doing.into();
        move |why| Self::Failed { doing, why: why.to_string() }
    }
}

/// Where the verbs' own standard output goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shown {
    /// To standard output, with all else that is told.
    Aloud,
    /// To standard error: standard output is for one document.
    Aside,
    /// Nowhere.
    Silent,
}
