//! Taking up a run that was killed: what it left pending on hosts is taken back, and they are asked how its transactions
//! ended. What that leaves to do is for [`crate::rollout::take_up`] to say.

use futures::StreamExt as _;

use crate::domain::HostName;
use crate::event::Event;
use crate::fleet::{Job, Run, nonce};
use crate::rollout::Settled;
use crate::store::OpenRun;
use crate::transaction::{self, Outcome, Replies};
use crate::transport::{Bounds, Entry};

impl Run {
    /// Takes back what this run, when it was killed, left pending on the hosts that were begun, and asks these how its
    /// transactions ended; in the order of `jobs`, or why a host could not say.
    pub async fn settle(&self, jobs: &[Job], open: &OpenRun) -> Vec<(HostName, Result<Settled, String>)> {
        let begun = jobs.iter().filter(|job| open.progress.contains_key(&job.desired.host));
        let mut all: Vec<_> = futures::stream::iter(begun.enumerate())
            .map(|(place, job)| async move {
                let host = job.desired.host.clone();
                let settled = self.settle_one(job).await;
                if let Ok(Settled { confirmed, taken_back }) = settled {
                    let text = format!("{host}: of this run {confirmed} confirmed, {taken_back} taken back");
                    self.emit(Event::Note { text });
                }
                (place, host, settled)
            })
            .buffer_unordered(self.concurrency.max(1))
            .collect()
            .await;
        all.sort_by_key(|(place, ..)| *place);
        all.into_iter().map(|(_, host, settled)| (host, settled)).collect()
    }

    async fn settle_one(&self, job: &Job) -> Result<Settled, String> {
        let session = self.connector.connect(&job.target).await.map_err(|error| error.to_string())?;
        let run = &self.operator.run;
        let nonce = nonce();
        let answer = session.run(&transaction::settle(run, &nonce), Entry::Root, Bounds::default()).await;
        session.close().await;
        let replies = Replies::read(&answer.map_err(|error| error.to_string())?, &nonce);
        replies.expect("settled", run).map_err(|refused| refused.to_string())?;
        let count = |wanted: Outcome| replies.outcomes().filter(|outcome| *outcome == wanted).count();
        if replies
            .outcomes()
            .any(|outcome| matches!(outcome, Outcome::RollbackFailed | Outcome::Pending { .. }))
        {
            return Err("what the run left pending there could not be taken back".to_owned());
        }
        Ok(Settled { confirmed: count(Outcome::Confirmed), taken_back: count(Outcome::RolledBack) })
    }
}
