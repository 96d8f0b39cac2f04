//! Which releases hosts have, and what is pending there: one connection and one exec each, read-only. What it means is for
//! [`crate::resource::releases`] and [`crate::release::gates`] to say.

use crate::domain::{HostName, PackageName, PackageVersion, ReleaseId};
use crate::fleet::look::Answer;
use crate::fleet::{Job, Run};
use crate::kinds::releases::{self, History};
use crate::kinds::updates::{self, Updates};
use crate::release::installed_before;
use crate::resource::{Kind as _, Unread};

/// What a host says of its releases, and of what is pending.
#[derive(Debug, Clone)]
pub struct Kept {
    /// The journals.
    pub history: History,
    /// What its apt would install, and whether a reboot is due; or why that is not known.
    pub updates: Result<updates::Answer, Unread>,
}

/// What the environment after a host's asks of it.
#[derive(Debug, Clone)]
pub struct Before {
    /// `debian-12`.
    pub distribution: String,
    /// The journals.
    pub history: History,
    /// What it has installed of the release.
    pub installed: Vec<(PackageName, PackageVersion)>,
}

/// Every host that was asked, and what it said; or why that is not known.
pub type Answers<T> = Vec<(HostName, Result<T, String>)>;

impl Run {
    /// What each host keeps of releases and what is pending there, in the order of `jobs`.
    pub async fn releases(&self, jobs: &[Job]) -> Answers<Kept> {
        let questions = [releases::question(), Updates::question(&[])];
        let [journals, pending] = &questions;
        let read = |answer: &Answer<'_>| {
            let history = releases::read(&answer.to(journals)?).map_err(|unread| unread.to_string())?;
            let updates = answer.to(pending).map_err(Unread).and_then(|frame| {
                let reading = Updates::read(&[&Updates {}], &frame).into_iter().next();
                reading.unwrap_or_else(|| Err(Unread("the host gave no reading".to_owned())))
            });
            Ok(Kept { history, updates })
        };
        self.ask_each(jobs, &questions, read, |kept| newest(&kept.history)).await
    }

    /// What each host has of `release`, in the order of `jobs`, for the gates of the environment after theirs.
    pub async fn before(&self, jobs: &[Job], release: &ReleaseId) -> Answers<Before> {
        let questions = [releases::question(), installed_before::question(release)];
        let [journals, installed] = &questions;
        let read = |answer: &Answer<'_>| {
            let history = releases::read(&answer.to(journals)?).map_err(|unread| unread.to_string())?;
            let installed =
                installed_before::read(&answer.to(installed)?).map_err(|unread| unread.to_string())?;
            Ok(Before { distribution: answer.facts.distribution.clone(), history, installed })
        };
        self.ask_each(jobs, &questions, read, |before| newest(&before.history)).await
    }
}

fn newest(history: &History) -> String {
    let newest = history
        .iter()
        .rev()
        .find(|(_, journal)| journal.as_ref().is_ok_and(|journal| journal.completion().is_some()));
    match newest {
        Some((release, _)) => format!("has release {release}"),
        None => "has no release".to_owned(),
    }
}
