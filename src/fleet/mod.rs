//! The only orchestrator: hosts × pipeline. It connects, runs the scripts that pure modules made, hands the answers
//! back to them, and acts on what they decide. It decides nothing about a host itself.

mod access;
mod change;
mod enrol;
mod interrupt;
mod jobs;
mod look;
mod release;
mod rollout;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use jiff::Timestamp;

pub use access::Access;
pub use change::{Breakpoints, rescue_hint};
pub use enrol::{Ask, Enrol};
pub use interrupt::{Interrupt, Interrupter, Wish};
pub use jobs::{CONNECT_TIMEOUT, JobInputs, declared_keys};
pub use look::look_here;
pub use release::{Answers, Before, Kept, ReleaseInputs, Surveyed};
pub use rollout::Rollout;

use crate::desired::Desired;
use crate::domain::{Environment, HostName, Identifier, MachineId, RemotePath, TxId};
use crate::enrolment;
use crate::event::{Event, Sink};
use crate::inventory::Unlock;
use crate::kinds::secret::{Held, Value};
use crate::plan::{HostPlan, Judged};
use crate::probe::{self, Facts};
use crate::record::{Cost, HostResult};
use crate::resource::{Phase, Reading};
use crate::shell::Nonce;
use crate::transaction::{Operator, Transaction};
use crate::transport::{Connector, Session, Target, TransportError};

/// One host of a run, with everything that is known of it beforehand.
#[derive(Debug, Clone)]
pub struct Job {
    /// What is wanted of it.
    pub desired: Desired,
    /// How it is reached.
    pub target: Target,
    /// Further ways that must work after a change where they worked before it: its address of the other family, and a
    /// host behind it, through it.
    pub witnesses: Vec<Target>,
    /// Where it belongs.
    pub environment: Environment,
    /// The machine that was enrolled under its name; none where it was not.
    pub machine_id: Option<MachineId>,
    /// Its primary, where it is a replica.
    pub replica_of: Option<HostName>,
    /// How its encrypted root is opened at boot, where that is declared.
    pub unlock: Option<Unlock>,
}

impl Job {
    /// Why the machine that answered is not the one that was enrolled, or not one that is supported.
    fn identity_mismatch(&self, facts: &Facts) -> Option<String> {
        enrolment::identity_mismatch(self.machine_id.as_ref(), self.environment, facts)
    }

    /// The values of the secrets that are wanted of it, by the paths that they go to.
    fn values(&self) -> BTreeMap<RemotePath, Arc<Value>> {
        let held = self.desired.secrets().filter_map(|secret| match &secret.held {
            Held::Read(value) => Some((secret.path.clone(), Arc::clone(value))),
            Held::Unread(_) => None,
        });
        held.collect()
    }
}

/// What all hosts of a run share.
pub struct Run {
    /// Opens connections.
    pub connector: Arc<dyn Connector>,
    /// Takes events.
    pub events: Arc<dyn Sink>,
    /// Who, and the run's id.
    pub operator: Operator,
    /// Hosts at the same time.
    pub concurrency: usize,
    /// How long a host waits for confirmation.
    pub rollback_timeout: Duration,
    /// Whether sessions and processes of accounts that are closed go on.
    pub keep_sessions: bool,
    /// Where it is heard that the run shall end early.
    pub interrupt: Interrupt,
    /// Where a lab's fault tests hold a change; never set outside of a lab's project.
    pub breakpoints: Option<Breakpoints>,
}

impl Run {
    /// Asks all hosts, some at a time. One connection and one exec each.
    pub async fn look(&self, jobs: &[Job]) -> Vec<HostResult> {
        self.look_each(jobs, &mut |_| {}).await
    }

    /// The same; `each` gets every host's result as it comes.
    pub async fn look_each(
        &self,
        jobs: &[Job],
        each: &mut (dyn FnMut(&mut HostResult) + Send),
    ) -> Vec<HostResult> {
        let jumps: BTreeSet<&HostName> =
            jobs.iter().flat_map(|job| &job.target.jumps).map(|jump| &jump.host).collect();
        let looks = futures::stream::iter(jobs.iter().enumerate())
            .map(|(place, job)| {
                // What those behind a jump host are reached over serves to ask the jump host itself.
                let shared = jumps.contains(&job.desired.host);
                async move { (place, self.look_at(job, shared).await) }
            })
            .buffer_unordered(self.concurrency.max(1));
        let mut looks = std::pin::pin!(looks);
        let mut results: Vec<(usize, HostResult)> = Vec::with_capacity(jobs.len());
        while let Some((place, mut result)) = looks.next().await {
            each(&mut result);
            results.push((place, result));
        }
        results.sort_by_key(|(place, _)| *place);
        self.counted(results.into_iter().map(|(_, result)| result).collect())
    }

    /// The same, each with all connections that its host got in this run, whatever they were for: for itself, as a
    /// jump host, or as one behind which another was looked at.
    fn counted(&self, mut results: Vec<HostResult>) -> Vec<HostResult> {
        let connections = self.connector.connections();
        for result in &mut results {
            result.cost.connections = connections.get(&result.host).copied().unwrap_or_default();
        }
        results
    }

    /// The exact shell that asked each host, and that its plan would run; each with a title.
    pub fn scripts(&self, jobs: &[Job], looked: &[HostResult]) -> Vec<(String, String)> {
        let mut scripts = Vec::new();
        for (job, result) in jobs.iter().zip(looked) {
            let host = &job.desired.host;
            scripts.push((
                format!("{host}: probe"),
                probe::script(&job.desired.in_preview(), &nonce()).body().to_owned(),
            ));
            let Some(plan) = &result.plan else { continue };
            for phase in [Phase::Widen, Phase::Narrow] {
                let steps = plan.phase(phase);
                if steps.is_empty() {
                    continue;
                }
                let id = TxId::new(now(), entropy());
                let tx =
                    Transaction::prepare(id, self.operator.clone(), phase, &steps, self.rollback_timeout);
                for (part, script) in tx.preview(&nonce()) {
                    scripts.push((
                        format!("{host}: {phase:?}, {part}").to_lowercase(),
                        script.body().to_owned(),
                    ));
                }
            }
        }
        scripts
    }

    fn emit(&self, event: Event) {
        self.events.emit(event);
    }
}

/// What a look at a host learned, or why it learned nothing.
pub(crate) struct Looked {
    pub(crate) facts: Reading<Facts>,
    pub(crate) judged: Vec<Judged>,
    pub(crate) plan: Option<HostPlan>,
    pub(crate) raw: Vec<String>,
}

/// A random value for one script.
pub(crate) fn nonce() -> Nonce {
    let mut random = [0_u8; 16];
    fill(&mut random);
    Nonce::new(random)
}

/// Four random bytes for an id.
pub fn entropy() -> [u8; 4] {
    let mut random = [0_u8; 4];
    fill(&mut random);
    random
}

fn fill(random: &mut [u8]) {
    // The kernel's generator does not fail on a supported system once it is seeded (getrandom(2)); were it to, the
    // process's own hasher seeds still differ from run to run.
    if getrandom::fill(random).is_err() {
        use std::hash::{BuildHasher as _, Hasher as _};
        for chunk in random.chunks_mut(8) {
            let word = std::hash::RandomState::new().build_hasher().finish().to_le_bytes();
            for (byte, value) in chunk.iter_mut().zip(word) {
                *byte = value;
            }
        }
    }
}

/// This moment, for the record.
#[expect(clippy::disallowed_methods, reason = "the orchestrator is where time comes in")]
pub fn now() -> Timestamp {
    Timestamp::now()
}

/// A new run's id.
pub fn run_id() -> Identifier {
    Identifier::new(now(), entropy())
}

#[expect(clippy::disallowed_methods, reason = "the orchestrator is where time comes in")]
pub(crate) fn instant() -> std::time::Instant {
    std::time::Instant::now()
}

/// Adds what `session` cost to `total`.
pub(crate) fn add_cost(total: &mut Cost, session: &dyn Session) {
    let cost = session.cost();
    total.connections += cost.connections;
    total.execs += cost.execs;
    total.bytes_sent += cost.bytes_sent;
    total.bytes_received += cost.bytes_received;
}

/// Whether a failed connection means that the host was not reached at all, rather than refused us or is another one.
pub(crate) fn unreachable(error: &TransportError) -> bool {
    !matches!(
        error,
        TransportError::KeyChanged { .. }
            | TransportError::KeyRevoked { .. }
            | TransportError::NoIdentity { .. }
    )
}
