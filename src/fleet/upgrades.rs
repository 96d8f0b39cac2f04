//! What hosts would upgrade: one connection and one exec each. Nothing is installed, and no apt of a host's is touched.

use std::time::Duration;

use futures::StreamExt as _;

use super::look::identity;
use super::{Job, Run, nonce};
use crate::domain::HostName;
use crate::event::Event;
use crate::probe;
use crate::release::upgrades::{self, Upgrades};
use crate::shell::{self, Script};
use crate::transport::{Bounds, Entry};

/// Longer than the question may take on the host, so that the host says itself that it ran out of time.
const PATIENCE: Bounds = Bounds { deadline: Duration::from_mins(6), bytes: 16 << 20 };

/// What a host said: its distribution, and what it would upgrade. `Err` says why nothing is known.
pub type Surveyed = Result<(String, Upgrades), String>;

impl Run {
    /// What each host would upgrade, in the order of `jobs`.
    pub async fn upgrades(&self, jobs: &[Job]) -> Vec<(HostName, Surveyed)> {
        let mut all: Vec<(usize, HostName, Surveyed)> = futures::stream::iter(jobs.iter().enumerate())
            .map(|(place, job)| async move {
                let host = job.desired.host.clone();
                self.emit(Event::Asking { host: host.clone() });
                let surveyed = self.upgrades_of(job).await;
                let (summary, good) = match &surveyed {
                    Ok((_, upgrades)) => (format!("{} to upgrade", upgrades.packages.len()), true),
                    Err(reason) => (reason.clone(), false),
                };
                self.emit(Event::Asked { host: host.clone(), summary, good });
                (place, host, surveyed)
            })
            .buffer_unordered(self.concurrency.max(1))
            .collect()
            .await;
        all.sort_by_key(|(place, ..)| *place);
        all.into_iter().map(|(_, host, surveyed)| (host, surveyed)).collect()
    }

    async fn upgrades_of(&self, job: &Job) -> Surveyed {
        let host = &job.desired.host;
        let session = self.connector.connect(&job.target).await.map_err(|error| error.about(host))?;
        let nonce = nonce();
        let question = upgrades::question();
        let script = Script::new().framed(&nonce, [&probe::facts_question(), &question]);
        let answer = session.run(&script, Entry::Root, PATIENCE).await;
        session.close().await;
        let output = answer.map_err(|error| error.about(host))?;
        let facts = probe::read_facts(&nonce, &output).map_err(|unread| unread.to_string())?;
        if let Some(why) = identity(job, &facts) {
            return Err(why);
        }
        if facts.uid != 0 {
            return Err("sudo did not make us root there".to_owned());
        }
        if !facts.dpkg_audit.is_empty() {
            return Err(format!("its packages first want repair: {}", facts.dpkg_audit));
        }
        let frame = shell::frame(&output, &nonce, &question).map_err(|error| error.to_string())?;
        let upgrades = upgrades::read(&frame).map_err(|unread| unread.to_string())?;
        Ok((facts.distribution, upgrades))
    }
}
