//! Why the lab could not do something, in words that name the host or program and the fix.

use std::path::PathBuf;

use crate::domain::HostName;

/// What went wrong in the lab.
#[derive(Debug, thiserror::Error)]
pub enum LabError {
    /// This machine cannot run a lab.
    #[error("no lab on this machine: {why}; {fix}")]
    Unsupported {
        /// What is missing.
        why: String,
        /// What would help.
        fix: &'static str,
    },
    /// A program that the lab runs failed.
    #[error("`{program}` failed ({ended}): {said}")]
    Program {
        /// Which, with its arguments.
        program: String,
        /// Its exit status, or that it could not be started.
        ended: String,
        /// The end of what it said.
        said: String,
    },
    /// A file or folder of the lab.
    #[error("could not {doing} {}: {source}", path.display())]
    File {
        /// Such as `write`.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A record of the lab that this version cannot read.
    #[error("{} is not a record of a lab: {why}; take the lab down with the version that made it, or remove its folder", path.display())]
    Record {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A specification that cannot be brought up.
    #[error("the lab cannot be brought up: {why}")]
    Spec {
        /// What is wrong with it, and what to write instead.
        why: String,
    },
    /// There is no lab at all.
    #[error("no lab is up; `palisade lab up` brings one up")]
    NoLab,
    /// No lab of this name, or several where one was meant.
    #[error("{}: {}", asked.as_ref().map_or_else(|| "several labs are up; name one with --lab NAME".to_owned(), |name| format!("there is no lab {name}, only")), there.join(", "))]
    WhichLab {
        /// The name asked for, if any.
        asked: Option<String>,
        /// The names that there are.
        there: Vec<String>,
    },
    /// No host of this name in the lab.
    #[error("no host {host} in lab {lab}")]
    NoSuchHost {
        /// The name asked for.
        host: String,
        /// The lab.
        lab: String,
    },
    /// A host is not running where it has to.
    #[error("{host} is not running")]
    NotRunning {
        /// The host.
        host: HostName,
    },
    /// A host runs where it must not.
    #[error("{host} is running")]
    Running {
        /// The host.
        host: HostName,
    },
    /// A host did not get as far as it should have.
    #[error("{host} did not {what} within {seconds} s; the end of its console:\n{console}")]
    TooSlow {
        /// The host.
        host: HostName,
        /// Such as `answer SSH`.
        what: &'static str,
        /// The bound.
        seconds: u64,
        /// The last lines that it wrote on its console.
        console: String,
    },
}

impl LabError {
    /// `doing` something with `path` failed.
    pub(super) fn file(doing: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { doing, path, source }
    }
}

/// The kernel gave no random bytes.
pub(super) fn no_randomness(why: getrandom::Error) -> LabError {
    LabError::Unsupported { why: format!("it has no randomness: {why}"), fix: "try again" }
}
