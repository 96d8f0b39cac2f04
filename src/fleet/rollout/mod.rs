//! Changing many hosts: batch after batch, as [`crate::rollout`] decides, and what was not begun is said to be so.

mod resume;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::StreamExt as _;

use crate::domain::HostName;
use crate::event::Event;
use crate::fleet::{Job, Run, Wish};
use crate::record::{HostResult, HostState};
use crate::rollout::{Batches, Budget, Gate, Next, Unit, replicas, schedule};
use crate::store::Journal;

/// How a change goes over many hosts.
#[derive(Debug, Clone)]
pub struct Rollout {
    /// How many at a time.
    pub batches: Batches,
    /// When it stops.
    pub budget: Budget,
    /// How long a host that somebody else works on is waited for.
    pub wait_lease: Duration,
    /// Where it is kept how far each host came.
    pub journal: Option<Arc<Journal>>,
}

impl Rollout {
    fn begun(&self, host: &HostName) -> Result<(), String> {
        let Some(journal) = &self.journal else { return Ok(()) };
        journal.begun(host).map_err(|error| format!("the run's journal cannot be written: {error}"))
    }

    /// That a host ended and this was not kept costs a look at it when the run is taken up again, nothing else.
    fn ended(&self, result: &HostResult) -> Result<(), String> {
        let Some(journal) = &self.journal else { return Ok(()) };
        journal
            .ended(&result.host, result.state.word())
            .map_err(|error| format!("{}: the run's journal cannot be written: {error}", result.host))
    }
}

impl Job {
    fn unit(&self) -> Unit {
        Unit {
            host: self.desired.host.clone(),
            behind: self.target.jumps.iter().map(|jump| jump.host.clone()).collect(),
            replica_of: self.replica_of.clone(),
        }
    }
}

impl Run {
    /// Changes the hosts that call for it, in batches. A batch begins only when the one before has ended,
    /// and no host begins once the run was stopped.
    pub async fn change(&self, jobs: &[Job], looked: Vec<HostResult>, rollout: &Rollout) -> Vec<HostResult> {
        let jobs: BTreeMap<&HostName, &Job> = jobs.iter().map(|job| (&job.desired.host, job)).collect();
        let gate = Mutex::new(Gate::new(rollout.budget));
        let mut results: Vec<Option<HostResult>> = Vec::new();
        let mut waiting: Vec<(usize, &Job)> = Vec::new();
        for (place, looked) in looked.into_iter().enumerate() {
            let job = jobs.get(&looked.host).copied();
            let result = match (job, Next::of(&looked)) {
                (Some(job), Next::Change) => {
                    waiting.push((place, job));
                    looked
                }
                // Refused without a connection, and known before the first host is touched.
                (Some(job), Next::Refuse) => self.change_host(job, looked).await,
                _ => looked,
            };
            lock(&gate).ended(&result.host, &result.state, false);
            results.push(Some(result));
        }
        let work = async |job: &Job, looked: HostResult| {
            self.change_when_free(job, looked, rollout.wait_lease).await
        };
        let results = self.in_batches(&waiting, results, rollout, &gate, work).await;
        self.counted(results)
    }

    /// Lets `work` change the hosts that wait, batch after batch; the places of `waiting` are those of `results`.
    pub(in crate::fleet) async fn in_batches(
        &self,
        waiting: &[(usize, &Job)],
        mut results: Vec<Option<HostResult>>,
        rollout: &Rollout,
        gate: &Mutex<Gate>,
        work: impl AsyncFn(&Job, HostResult) -> HostResult,
    ) -> Vec<HostResult> {
        let units: Vec<Unit> = waiting.iter().map(|(_, job)| job.unit()).collect();
        let planned = schedule(&units, &rollout.batches);
        let work = &work;
        for (number, batch) in planned.iter().enumerate() {
            self.announce(number, planned.len(), batch, &units, gate);
            let begun: Vec<(usize, &Job, &Unit, HostResult)> = batch
                .iter()
                .filter_map(|one| {
                    let ((place, job), unit) = (waiting.get(*one)?, units.get(*one)?);
                    Some((*place, *job, unit, results.get_mut(*place)?.take()?))
                })
                .collect();
            let done: Vec<(usize, HostResult)> = futures::stream::iter(begun)
                .map(|(place, job, unit, looked)| {
                    let units = &units;
                    async move {
                        // Bound first: a guard within the condition would be held over the await below.
                        let held = lock(gate).holds_back(unit, &replicas(unit, units));
                        let held = held.or_else(|| {
                            self.interrupt.is(Wish::Stop).then(|| "the run was interrupted".to_owned())
                        });
                        if let Some(reason) = held.or_else(|| rollout.begun(&unit.host).err()) {
                            return (place, HostResult { state: HostState::NotStarted { reason }, ..looked });
                        }
                        let result = work(job, looked).await;
                        lock(gate).ended(&result.host, &result.state, number == 0);
                        if let Err(text) = rollout.ended(&result) {
                            self.emit(Event::Note { text });
                        }
                        (place, result)
                    }
                })
                .buffer_unordered(self.concurrency.max(1))
                .collect()
                .await;
            for (place, result) in done {
                if let Some(slot) = results.get_mut(place) {
                    *slot = Some(result);
                }
            }
        }
        results.into_iter().flatten().collect()
    }

    /// Says which hosts come next, where there is more than one batch and any of them may begin.
    fn announce(&self, number: usize, of: usize, batch: &[usize], units: &[Unit], gate: &Mutex<Gate>) {
        let gate = lock(gate);
        let names: Vec<&str> = batch
            .iter()
            .filter_map(|place| units.get(*place))
            .filter(|unit| gate.holds_back(unit, &replicas(unit, units)).is_none())
            .map(|unit| unit.host.as_str())
            .collect();
        if of > 1 && !names.is_empty() {
            self.emit(Event::Note { text: format!("batch {} of {of}: {}", number + 1, names.join(", ")) });
        }
    }
}

pub(in crate::fleet) fn lock(gate: &Mutex<Gate>) -> std::sync::MutexGuard<'_, Gate> {
    gate.lock().unwrap_or_else(PoisonError::into_inner)
}
