//! Changing one host: pre-flight, packages, then widen and narrow, each armed, staged, switched, verified over a new
//! connection and confirmed there, or taken back. What cannot be watched to its end is reported as not known.

mod breakpoint;
mod lease;
mod overdue;
mod packages;
mod verify;
mod watch;
mod work;

pub use breakpoint::Breakpoints;
pub use watch::rescue_hint;

use std::time::Duration;

use crate::domain::TxId;
use crate::event::{Event, Stage};
use crate::fleet::interrupt::Wish;
use crate::fleet::look::{failure, observe, understand};
use crate::fleet::{Job, Run, entropy, instant, nonce, now};
use crate::plan::{self, HostPlan, Obstacle};
use crate::probe;
use crate::record::{Holds, HostResult, HostState};
use crate::resource::{Phase, Step};
use crate::rollout::preflight::{self, Expected, Preflight};
use crate::shell::{self, Script};
use crate::transaction::{self, Ending, Prepared, Refused, Staged, Transaction};
use crate::transport::{Bounds, Entry, Session, Target};
use watch::Watched;
use work::{Stop, Work};

impl Run {
    /// Makes `looked`'s plan true on its host.
    pub(in crate::fleet) async fn change_host(&self, job: &Job, looked: HostResult) -> HostResult {
        let begun = instant();
        let mut work = Work {
            run: self,
            job,
            touched: Job { desired: plan::verify::touched(&job.desired), ..job.clone() },
            cost: looked.cost,
            ended: Vec::new(),
            blocked: Vec::new(),
            closes: Vec::new(),
            last_look: None,
            confirmed_look: None,
            witnesses: Vec::new(),
            armed_at: None,
        };
        let Some(plan) = looked.plan.clone() else { return looked };
        let state = work.apply(&plan).await;
        let (cost, confirmed_look) = (work.cost, work.confirmed_look.take());
        let ended = std::mem::take(&mut work.ended);
        let mut result = HostResult { state, ended, cost, ..looked };
        // What was seen while a change was live says nothing of a host that went back: what is told of it was seen
        // when a phase was confirmed, else at the first look.
        if let Some(confirmed_look) = confirmed_look {
            result.facts = confirmed_look.facts.ok();
            result.judged = plan::verify::judged_anew(&job.desired, &result.judged, confirmed_look.judged);
            result.raw.extend(confirmed_look.raw);
            result.at = now();
        }
        if let HostState::Failed { reason, holds: None } = &result.state {
            // What was read before says nothing of a host of which it is not known what it holds.
            let unread = probe::nothing(&job.desired, reason);
            result.judged = plan::judge(&job.desired, &unread, now());
        }
        result.milliseconds = result
            .milliseconds
            .saturating_add(u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX));
        let (summary, good) = summary(&result.state);
        self.emit(Event::Finished { host: job.desired.host.clone(), summary, good });
        result
    }
}

fn summary(state: &HostState) -> (String, bool) {
    match state {
        HostState::Answered => ("nothing to change".to_owned(), true),
        HostState::Changed => ("changed and confirmed".to_owned(), true),
        HostState::RolledBack { reason, holds, .. } => (
            match holds {
                Holds::Widened => format!("taken back to the widened state: {reason}"),
                _ => format!("taken back: {reason}"),
            },
            false,
        ),
        HostState::NotStarted { reason } => (format!("not started: {reason}"), false),
        _ => (state.reason().to_owned(), false),
    }
}

impl Work<'_> {
    async fn apply(&mut self, plan: &HostPlan) -> HostState {
        if let Some(obstacle) = plan.obstacles.first().filter(|_| plan.is_stuck()) {
            return obstacle_state(obstacle);
        }
        self.blocked.clone_from(&plan.blocked);
        self.closes.clone_from(&plan.closes);
        let interrupt = self.run.interrupt.clone();
        let session = tokio::select! {
            biased;
            () = interrupt.asked(Wish::Stop) => return interrupted("nothing was changed", Holds::Old),
            checked = self.preflight(plan) => match checked {
                Ok(session) => session,
                Err(state) => return state,
            },
        };
        let packages = plan.phase(Phase::Package);
        if !packages.is_empty() {
            self.stage(Phase::Package, Stage::Installing).await;
            let id = TxId::new(now(), entropy());
            let installed = tokio::select! {
                biased;
                () = interrupt.asked(Wish::Stop) => {
                    return interrupted("what is being installed there is installed to its end", Holds::Old);
                }
                installed = self.run.install(session.as_ref(), &id, &packages) => installed,
            };
            if let Err(reason) = installed {
                self.end(session).await;
                return HostState::Failed { reason, holds: Some(Holds::Old) };
            }
        }
        let rest = match self.rest(session.as_ref(), plan, &packages).await {
            Ok(rest) => rest,
            Err(state) => {
                self.end(session).await;
                return state;
            }
        };
        let plan = rest.as_ref().unwrap_or(plan);
        let mut holds = Holds::Old;
        let mut session = session;
        for phase in [Phase::Widen, Phase::Narrow] {
            let steps = plan.phase_after(
                phase,
                self.confirmed_look.as_ref().and_then(|confirmed_look| confirmed_look.plan.as_ref()),
            );
            if steps.is_empty() {
                continue;
            }
            self.armed_at = None;
            let next = if phase == Phase::Widen { Holds::Widened } else { Holds::New };
            let id = TxId::new(now(), entropy());
            let done = tokio::select! {
                biased;
                () = interrupt.asked(Wish::Stop) => {
                    Err(Stop::Uncertain { tx: id, phase, why: "interrupted".to_owned() })
                }
                done = self.phase(&id, session, phase, &steps) => done,
            };
            session = match done {
                Ok(session) => session,
                Err(Stop::Before(state)) => {
                    self.give_free_anew(holds).await;
                    return before(state, holds);
                }
                Err(Stop::Uncertain { .. }) if self.armed_at.is_none() => {
                    self.give_free_anew(holds).await;
                    return interrupted("nothing more was changed", holds);
                }
                Err(Stop::Uncertain { tx, phase, why }) => match self.watch(&tx, phase, why, holds).await {
                    Watched::Ended(state) => {
                        if matches!(state, HostState::Failed { holds: Some(_), .. }) {
                            self.give_free_anew(holds).await;
                        }
                        return state;
                    }
                    // The commit alone counts, not whether we heard of it.
                    Watched::Confirmed if Self::is_last(plan, phase) => {
                        self.confirmed_look = self.last_look.take();
                        self.give_free_anew(next).await;
                        return HostState::Changed;
                    }
                    // What follows needs a connection again.
                    Watched::Confirmed => match self.run.connector.connect(&self.job.target).await {
                        Ok(session) => session,
                        Err(error) => {
                            self.confirmed_look = self.last_look.take();
                            let reason = format!("confirmed, and not reached again since: {error}");
                            return HostState::Failed { reason, holds: Some(next) };
                        }
                    },
                },
            };
            self.confirmed_look = self.last_look.take();
            holds = next;
        }
        self.give_free(session).await;
        HostState::Changed
    }

    /// Whether nothing follows `phase`.
    fn is_last(plan: &HostPlan, phase: Phase) -> bool {
        phase == Phase::Narrow || plan.phase(Phase::Narrow).is_empty()
    }

    /// Gives the lease back. Where that fails it ends by itself.
    async fn give_free(&mut self, session: Box<dyn Session>) {
        let nonce = nonce();
        let released = session
            .run(&transaction::release(&self.run.operator.run, &nonce), Entry::Root, Bounds::default())
            .await;
        self.end(session).await;
        if let Err(error) = released {
            self.note(format!(
                "{}: the lease could not be given back and ends by itself: {error}",
                self.job.desired.host
            ));
        }
    }

    /// The same over a connection of its own, where a phase before this one took the lease.
    async fn give_free_anew(&mut self, holds: Holds) {
        let target = Target { connect_timeout: Duration::from_secs(5), ..self.job.target.clone() };
        if holds != Holds::Old
            && let Ok(session) = self.run.connector.connect(&target).await
        {
            self.give_free(session).await;
        }
    }

    /// What is left of `plan` once `packages` are installed, by a new look, and only if it is what was approved; none
    /// where nothing was installed, so that the plan itself stands.
    async fn rest(
        &self,
        session: &dyn Session,
        plan: &HostPlan,
        packages: &[Step],
    ) -> Result<Option<HostPlan>, HostState> {
        if packages.is_empty() {
            return Ok(None);
        }
        let failed = |reason: String| HostState::Failed { reason, holds: Some(Holds::Old) };
        let (observation, output) = observe(session, self.job, self.run.patience())
            .await
            .map_err(|error| failed(format!("the packages are installed; then: {error}")))?;
        let looked = understand(self.job, &observation, &output, now());
        let found = looked.plan.ok_or_else(|| {
            failed("the packages are installed; then the host did not say what it is".to_owned())
        })?;
        found.after_packages(plan).map_err(|why| HostState::Refused {
            reason: format!(
                "the packages are installed, and nothing else was changed: the host is no longer what the plan saw \
                 ({why}); make a new plan"
            ),
            holder: None,
        })?;
        Ok(Some(found))
    }

    fn expected(&self) -> Expected<'_> {
        Expected {
            machine_id: self.job.machine_id.as_ref(),
            environment: self.job.environment,
            management: &self.job.desired.management,
        }
    }

    /// A fresh connection, and everything that must hold before anything is touched.
    async fn preflight(&mut self, plan: &HostPlan) -> Result<Box<dyn Session>, HostState> {
        self.stage(Phase::Package, Stage::Preflight).await;
        let session = self
            .run
            .connector
            .connect(&self.job.target)
            .await
            .map_err(|error| failure(&self.job.desired.host, &error))?;
        let nonce = nonce();
        let script = Script::new().framed(&nonce, &[probe::facts_question(), preflight::question()]);
        let asked = session.run(&script, Entry::Root, Bounds::default()).await;
        let refused = match asked {
            Err(error) => Some(failure(&self.job.desired.host, &error)),
            Ok(output) => match probe::read_facts(&nonce, &output) {
                Err(unread) => Some(HostState::Unreachable { reason: unread.to_string() }),
                Ok(facts) => {
                    match preflight::judge(self.expected(), plan, &facts, &self.run.operator.run, now()) {
                        Preflight::Clear => {
                            preflight::checks(&shell::frame(&output, &nonce, &preflight::question()))
                                .map(|reason| HostState::Refused { reason, holder: None })
                        }
                        Preflight::Refused(state) => Some(state),
                        Preflight::Overdue(tx) => {
                            Some(overdue::take_back(&self.job.desired.host, session.as_ref(), &tx).await)
                        }
                    }
                }
            },
        };
        if let Some(state) = refused {
            self.end(session).await;
            return Err(state);
        }
        for target in &self.job.witnesses {
            let target = Target { fresh_jumps: true, ..target.clone() };
            if let Ok(other) = self.run.connector.connect(&target).await {
                self.end(other).await;
                self.witnesses.push(target);
            }
        }
        Ok(session)
    }

    async fn phase(
        &mut self,
        id: &TxId,
        session: Box<dyn Session>,
        phase: Phase,
        steps: &[Step],
    ) -> Result<Box<dyn Session>, Stop> {
        let prepared = Transaction::prepare(
            id.clone(),
            self.run.operator.clone(),
            phase,
            steps,
            self.run.rollback_timeout,
        )
        .with_values(self.job.values());
        let uncertain = |why: String| Stop::Uncertain { tx: id.clone(), phase, why };
        self.stage(phase, Stage::Arming).await;
        let armed_at = instant();
        self.armed_at = Some(armed_at);
        let staged = self.arm_and_stage(session.as_ref(), prepared, phase).await;
        let switched = match staged {
            Err(stop) => Err(stop),
            Ok(staged) => {
                self.stage(phase, Stage::Switching).await;
                let nonce = nonce();
                match session.run(&staged.switch_script(&nonce), Entry::Root, self.bounds()).await {
                    Err(error) => Err(uncertain(error.about(&self.job.desired.host))),
                    Ok(output) => staged
                        .switched(&nonce, &output)
                        .map_err(|(_, refused)| uncertain(refused.to_string())),
                }
            }
        };
        self.end(session).await;
        let switched = switched?;
        self.stage(phase, Stage::Verifying).await;
        let (verified, session) = self.verify(switched, phase, armed_at).await?;
        self.stage(phase, Stage::Confirming).await;
        let nonce = nonce();
        let ending = Ending { keep_sessions: self.run.keep_sessions, closes: &self.closes };
        let script = verified.confirm_script(ending, &nonce);
        let confirmed = match session.run(&script, Entry::Root, self.bounds()).await {
            Err(error) => Err(error.about(&self.job.desired.host)),
            Ok(output) => verified.confirmed(ending, &nonce, &output).map_err(|refused| refused.to_string()),
        };
        match confirmed {
            Ok(ended) => {
                self.ended.extend(ended);
                Ok(session)
            }
            Err(why) => {
                self.end(session).await;
                Err(uncertain(why))
            }
        }
    }

    async fn arm_and_stage(
        &self,
        session: &dyn Session,
        prepared: Transaction<Prepared>,
        phase: Phase,
    ) -> Result<Transaction<Staged>, Stop> {
        let id = prepared.id().clone();
        let uncertain = |why: String| Stop::Uncertain { tx: id.clone(), phase, why };
        let first = nonce();
        let output = session
            .run(&prepared.arm_script(&first), Entry::Root, self.bounds())
            .await
            .map_err(|error| uncertain(error.about(&self.job.desired.host)))?;
        let armed = prepared.armed(&first, &output).map_err(|refused| match refused.code.as_str() {
            "garbled" => uncertain(refused.to_string()),
            _ => Stop::Before(refusal(refused)),
        })?;
        self.stage(phase, Stage::Validating).await;
        let second = nonce();
        let asked = if armed.touches_ssh() { self.staged_questions(&id) } else { Vec::new() };
        let questions: Vec<_> = asked.iter().map(|(question, _)| question.clone()).collect();
        let output = session
            .run(&armed.stage_script(&second, &questions), Entry::Root, self.bounds())
            .await
            .map_err(|error| uncertain(error.about(&self.job.desired.host)))?;
        let staged = armed.staged(&second, &output).map_err(|(_, refused)| uncertain(refused.to_string()))?;
        for (question, resources) in &asked {
            let frame = shell::frame(&output, &second, question);
            if let Some(why) = plan::verify::staged(frame, resources, phase, now()) {
                return Err(uncertain(why));
            }
        }
        Ok(staged)
    }
}

fn before(state: HostState, holds: Holds) -> HostState {
    match state {
        // In narrow the host stands at widened already: that is not "nothing was changed".
        HostState::Refused { reason, .. } | HostState::Failed { reason, .. } if holds == Holds::Widened => {
            HostState::Failed { reason, holds: Some(holds) }
        }
        other => other,
    }
}

fn interrupted(what: &str, holds: Holds) -> HostState {
    HostState::Failed { reason: format!("interrupted: {what}"), holds: Some(holds) }
}

fn refusal(refused: Refused) -> HostState {
    if refused.is_gate() {
        let reason = match &refused.holder {
            Some(holder) => holder.told(now()),
            None => refused.text.clone(),
        };
        HostState::Refused { reason, holder: refused.holder.map(|holder| *holder) }
    } else {
        HostState::Failed { reason: refused.text, holds: Some(Holds::Old) }
    }
}

fn obstacle_state(obstacle: &Obstacle) -> HostState {
    let reason = obstacle.to_string();
    match obstacle {
        Obstacle::Unread { .. } => HostState::Incomplete { reason },
        _ => HostState::Refused { reason, holder: None },
    }
}
