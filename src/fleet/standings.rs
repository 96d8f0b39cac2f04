//! How far hosts are with a release: one connection and one exec each. Nothing is changed.

use std::time::Duration;

use futures::StreamExt as _;

use super::install::hand_of;
use super::{HostState, Job, Run};
use crate::domain::{HostName, ReleaseId};
use crate::journal::Journal;
use crate::release::carry::{self, Standing};

/// A host, as the environment after it sees it.
#[derive(Debug, Clone)]
pub struct Stand {
    /// `debian-12`.
    pub distribution: String,
    /// What is there of the release.
    pub standing: Standing,
    /// Its journal, as it can be read.
    pub journal: Result<Journal, String>,
}

/// Every host that was asked, and what it said; or why that is not known.
pub type Stands = Vec<(HostName, Result<Stand, String>)>;

impl Run {
    /// How far each host is with `release`, in the order of `jobs`; or why that is not known.
    pub async fn stands(&self, jobs: &[Job], release: &ReleaseId) -> Stands {
        let mut all: Vec<(usize, HostName, Result<Stand, String>)> =
            futures::stream::iter(jobs.iter().enumerate())
                .map(|(place, job)| async move {
                    (place, job.desired.host.clone(), self.stand_of(job, release).await)
                })
                .buffer_unordered(self.concurrency.max(1))
                .collect()
                .await;
        all.sort_by_key(|(place, ..)| *place);
        all.into_iter().map(|(_, host, stand)| (host, stand)).collect()
    }

    async fn stand_of(&self, job: &Job, release: &ReleaseId) -> Result<Stand, String> {
        let mut hand = hand_of(self, job, release);
        let asked = hand.ask(&carry::standing_question(release), Duration::ZERO).await;
        let distribution = hand.facts().map(|facts| facts.distribution.clone()).unwrap_or_default();
        hand.end().await;
        let frame = asked.map_err(|stop| match *stop {
            HostState::Unreachable { reason }
            | HostState::Refused { reason, .. }
            | HostState::Incomplete { reason }
            | HostState::Failed { reason, .. } => reason,
            other => other.word().to_owned(),
        })?;
        let standing = carry::standing(&frame).map_err(|unread| unread.to_string())?;
        let journal = Journal::parse(&standing.journal).map_err(|broken| broken.to_string());
        Ok(Stand { distribution, standing, journal })
    }
}
