//! Hosts that somebody else works on: told, and waited for. It never takes a lease: arming a change does.

use std::time::Duration;

use futures::StreamExt as _;

use crate::event::Event;
use crate::fleet::{Job, Run, Wish, instant, now};
use crate::probe::Holder;
use crate::record::{HostResult, HostState};
use crate::rollout::preflight::held;

/// How often a host that is held is asked again.
const AGAIN: Duration = Duration::from_secs(2);

fn holder(result: &HostResult) -> Option<&Holder> {
    match &result.state {
        HostState::Refused { holder, .. } => holder.as_ref(),
        _ => None,
    }
}

impl Run {
    /// Looks at hosts that are to be changed. One that somebody else works on is waited for and looked at again; when
    /// the time is over it is refused. A lease alone is no reason where there is nothing to change.
    pub async fn look_when_free(&self, jobs: &[Job], wait: Duration) -> Vec<HostResult> {
        let looked = self.look(jobs).await;
        let mut results: Vec<(usize, HostResult)> =
            futures::stream::iter(jobs.iter().zip(looked).enumerate())
                .map(|(place, (job, looked))| async move {
                    let result = self.refuse_held(looked);
                    (place, self.wait(job, result, wait).await)
                })
                .buffer_unordered(self.concurrency.max(1))
                .collect()
                .await;
        results.sort_by_key(|(place, _)| *place);
        results.into_iter().map(|(_, result)| result).collect()
    }

    fn refuse_held(&self, looked: HostResult) -> HostResult {
        let state = looked
            .facts
            .as_ref()
            .filter(|_| looked.calls_for_work())
            .and_then(|facts| held(facts, &self.operator.run, now()));
        match state {
            Some(state) => HostResult { state, ..looked },
            None => looked,
        }
    }

    /// Changes a host; where somebody else turns out to work on it, waits, looks again, and goes on if the host is
    /// still as planned.
    pub(in crate::fleet) async fn change_when_free(
        &self,
        job: &Job,
        looked: HostResult,
        wait: Duration,
    ) -> HostResult {
        let mut planned = looked;
        loop {
            let result = self.change_host(job, planned.clone()).await;
            if holder(&result).is_none() || wait.is_zero() {
                return result;
            }
            let mut free = self.wait(job, result, wait).await;
            let (Some(before), Some(after)) = (&planned.plan, &free.plan) else { return free };
            if !free.calls_for_work() {
                return free;
            }
            if !before.does_the_same(after) {
                let reason = "whoever held it changed it: it is no longer as the plan saw it; apply again";
                free.state = HostState::Refused { reason: reason.to_owned(), holder: None };
                return free;
            }
            planned = free;
        }
    }

    /// Waits until nobody else holds the host, and looks at it again. As it was where nobody does, or the time is over.
    async fn wait(&self, job: &Job, result: HostResult, wait: Duration) -> HostResult {
        let begun = instant();
        let mut result = result;
        let mut told: Option<Holder> = None;
        while let Some(holder) = holder(&result) {
            let left = wait.saturating_sub(begun.elapsed());
            if left.is_zero() || self.interrupt.is(Wish::Stop) {
                return result;
            }
            let host = job.desired.host.clone();
            let same = Holder { seconds_left: 0, ..holder.clone() };
            if told.as_ref() != Some(&same) {
                self.emit(Event::Note { text: format!("{host}: {}; waiting", holder.told(now())) });
            }
            told = Some(same);
            self.emit(Event::Held { host, seconds_left: left.as_secs() });
            tokio::select! {
                () = self.interrupt.asked(Wish::Stop) => continue,
                () = tokio::time::sleep(AGAIN.min(left)) => {}
            }
            match self.facts_of(job).await {
                // It may not answer for a moment while its sshd is reloaded.
                Err(_) => {}
                Ok(facts) => match held(&facts, &self.operator.run, now()) {
                    Some(state) => result.state = state,
                    None => result = self.refuse_held(self.look_at(job, false).await),
                },
            }
        }
        result
    }
}
