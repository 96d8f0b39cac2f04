//! Which releases hosts have, and what is pending there: one connection and one exec each, read-only. What it means is for
//! [`crate::resource::releases`] and [`crate::release::gates`] to say.

use std::time::Duration;

use futures::StreamExt as _;

use super::look::identity;
use super::{Job, Run, nonce};
use crate::domain::HostName;
use crate::event::Event;
use crate::probe;
use crate::resource::releases::{self, History};
use crate::resource::updates::{self, Updates};
use crate::resource::{Kind as _, Unread};
use crate::shell::{self, Question, Script};
use crate::transport::{Bounds, Entry};

/// Longer than both questions may take on the host together, so that the host says itself that it ran out of time.
const PATIENCE: Bounds = Bounds { deadline: Duration::from_mins(2), bytes: 16 << 20 };

/// What is asked beside the journals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Beside {
    /// Nothing.
    Nothing,
    /// What the host's apt would install, and whether a reboot is due.
    Updates,
}

/// What a host says of its releases.
#[derive(Debug, Clone)]
pub struct Kept {
    /// The journals.
    pub history: History,
    /// What is pending; `Err` says why it is not known, and none was asked for.
    pub updates: Option<Result<updates::Answer, Unread>>,
}

impl Run {
    /// What each host keeps of releases, in the order of `jobs`; or why nothing is known.
    pub async fn releases(&self, jobs: &[Job], beside: Beside) -> Vec<(HostName, Result<Kept, String>)> {
        let mut all: Vec<(usize, HostName, Result<Kept, String>)> =
            futures::stream::iter(jobs.iter().enumerate())
                .map(|(place, job)| async move {
                    let host = job.desired.host.clone();
                    self.emit(Event::Asking { host: host.clone() });
                    let kept = self.releases_of(job, beside).await;
                    let (summary, good) = match &kept {
                        Ok(kept) => (summary(kept), true),
                        Err(reason) => (reason.clone(), false),
                    };
                    self.emit(Event::Asked { host: host.clone(), summary, good });
                    (place, host, kept)
                })
                .buffer_unordered(self.concurrency.max(1))
                .collect()
                .await;
        all.sort_by_key(|(place, ..)| *place);
        all.into_iter().map(|(_, host, kept)| (host, kept)).collect()
    }

    async fn releases_of(&self, job: &Job, beside: Beside) -> Result<Kept, String> {
        let host = &job.desired.host;
        let session = self.connector.connect(&job.target).await.map_err(|error| error.about(host))?;
        let nonce = nonce();
        let journals = releases::question();
        let pending = (beside == Beside::Updates).then(|| Updates::question(&[]));
        let facts = probe::facts_question();
        let questions: Vec<&Question> = [&facts, &journals].into_iter().chain(&pending).collect();
        let answer = session.run(&Script::new().framed(&nonce, questions), Entry::Root, PATIENCE).await;
        session.close().await;
        let output = answer.map_err(|error| error.about(host))?;
        let facts = probe::read_facts(&nonce, &output).map_err(|unread| unread.to_string())?;
        if let Some(why) = identity(job, &facts) {
            return Err(why);
        }
        if facts.uid != 0 {
            return Err("sudo did not make us root there".to_owned());
        }
        let frame = shell::frame(&output, &nonce, &journals).map_err(|error| error.to_string())?;
        let history = releases::read(&frame).map_err(|unread| unread.to_string())?;
        let updates = pending.map(|question| {
            let frame = shell::frame(&output, &nonce, &question)?;
            let reading = Updates::read(&[&Updates {}], &frame).into_iter().next();
            reading.unwrap_or_else(|| Err(Unread("the host gave no reading".to_owned())))
        });
        Ok(Kept { history, updates })
    }
}

fn summary(kept: &Kept) -> String {
    let newest = kept
        .history
        .iter()
        .rev()
        .find(|(_, journal)| journal.as_ref().is_ok_and(|journal| journal.completion().is_some()));
    match newest {
        Some((release, _)) => format!("has release {release}"),
        None => "has no release".to_owned(),
    }
}
