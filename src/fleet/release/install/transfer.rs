//! A hand on one host: a connection that is made again when it breaks, under a lease that is taken again with every exec.
//! Nothing is asked of a machine that is not the one that was enrolled.

use std::time::Duration;

use super::stop::{Stop, failed, incomplete, refused};
use crate::domain::{BootId, ReleaseId};
use crate::event::Event;
use crate::fleet::{Job, Run, add_cost, instant, nonce, now};
use crate::probe::{self, Facts};
use crate::record::{Cost, HostState};
use crate::shell::{self, Frame, Nonce, Output, Question, Script};
use crate::transaction::{self, Replies};
use crate::transport::{Bounds, Entry, Session};

/// How long the host is ours after an exec began: a run that is killed keeps others away no longer than that.
const LEASE: u32 = 60;

/// Between two attempts to come back.
const PAUSE: Duration = Duration::from_secs(2);

/// How long a host may be away in the middle, beyond what one attempt takes: it boots, or its sshd is replaced.
pub(super) const AWAY: Duration = Duration::from_mins(5);

pub(super) struct Transfer<'a> {
    run: &'a Run,
    job: &'a Job,
    release: &'a ReleaseId,
    session: Option<Box<dyn Session>>,
    facts: Option<Facts>,
    wait: Duration,
    held: bool,
    cost: Cost,
}

impl<'a> Transfer<'a> {
    pub(super) fn new(run: &'a Run, job: &'a Job, release: &'a ReleaseId, wait: Duration) -> Self {
        Self { run, job, release, session: None, facts: None, wait, held: false, cost: Cost::default() }
    }

    /// The boot that the host was in when it was asked last.
    pub(super) fn boot(&self) -> Option<BootId> {
        self.facts.as_ref().map(|facts| facts.boot_id.clone())
    }

    pub(super) fn facts(&self) -> Option<&Facts> {
        self.facts.as_ref()
    }

    /// Ends the connection.
    pub(super) async fn let_go(&mut self) {
        if let Some(session) = self.session.take() {
            add_cost(&mut self.cost, session.as_ref());
            session.close().await;
        }
    }

    /// Gives the host free, and says what it cost.
    pub(super) async fn end(mut self) -> Cost {
        if self.held
            && let Some(session) = &self.session
        {
            let nonce = nonce();
            let script = transaction::release(&self.run.operator.run, &nonce);
            // Where that fails the lease ends by itself.
            drop(session.run(&script, Entry::Root, Bounds::default()).await);
        }
        self.let_go().await;
        self.cost
    }

    /// One exec on the machine that was enrolled. A connection that broke is made anew first.
    async fn exec(&mut self, script: &Script, bounds: Bounds) -> Result<Output, String> {
        let host = &self.job.desired.host;
        let session = match self.session.take() {
            Some(session) => session,
            None => self.run.connector.connect(&self.job.target).await.map_err(|error| error.about(host))?,
        };
        let answer = session.run(script, Entry::Root, bounds).await;
        match answer {
            Ok(output) => {
                self.session = Some(session);
                Ok(output)
            }
            Err(error) => {
                add_cost(&mut self.cost, session.as_ref());
                session.close().await;
                Err(error.about(host))
            }
        }
    }

    /// Asks what changes nothing, again and again where the host does not answer, for at most `away`.
    pub(super) async fn ask(&mut self, question: &Question, away: Duration) -> Result<Frame, Stop> {
        let begun = instant();
        loop {
            let why = match self.ask_once(question).await {
                Ok(frame) => return Ok(frame),
                Err(Asked::Stop(stop)) => return Err(stop),
                Err(Asked::Again(why)) => why,
            };
            let left = away.saturating_sub(begun.elapsed());
            if left.is_zero() {
                return Err(if self.held {
                    failed(format!("it is not known how far it is: {why}"))
                } else {
                    Box::new(HostState::Unreachable { reason: why })
                });
            }
            self.run
                .emit(Event::Waiting { host: self.job.desired.host.clone(), seconds_left: left.as_secs() });
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn ask_once(&mut self, question: &Question) -> Result<Frame, Asked> {
        let nonce = nonce();
        let facts_question = probe::facts_question();
        let mut script = Script::new();
        if self.held {
            script = transaction::take_lease(&self.run.operator, self.release, LEASE, &nonce);
        }
        let script = script.framed(&nonce, [&facts_question, question]);
        let bounds = Bounds {
            deadline: Duration::from_secs(u64::from(question.seconds) + 60),
            bytes: question.cap.saturating_add(1 << 20),
        };
        let output = self.exec(&script, bounds).await.map_err(Asked::Again)?;
        self.still_held(&nonce, &output).map_err(Asked::Stop)?;
        let facts = probe::read_facts(&nonce, &output).map_err(|unread| Asked::Again(unread.to_string()))?;
        self.is_ours(&facts).map_err(Asked::Stop)?;
        self.facts = Some(facts);
        let answer = shell::frame(&output, &nonce, question);
        answer.map_err(|error| Asked::Stop(incomplete(&error)))
    }

    fn is_ours(&self, facts: &Facts) -> Result<(), Stop> {
        if let Some(reason) = self.job.identity_mismatch(facts) {
            return Err(refused(reason));
        }
        if facts.uid != 0 {
            return Err(refused("sudo did not make us root there"));
        }
        Ok(())
    }

    fn still_held(&self, nonce: &Nonce, output: &Output) -> Result<(), Stop> {
        if !self.held {
            return Ok(());
        }
        self.held_by(nonce, output)
    }

    fn held_by(&self, nonce: &Nonce, output: &Output) -> Result<(), Stop> {
        let replies = Replies::read(output, nonce);
        // What was refused behind that was the work, and not the lease.
        if replies.words("held", self.run.operator.run.as_str()).is_some() {
            return Ok(());
        }
        replies.expect("held", &self.run.operator.run).map(drop).map_err(|refused| {
            let reason = match &refused.holder {
                Some(holder) => holder.told(now()),
                None => refused.text.clone(),
            };
            if refused.is_gate() {
                Box::new(HostState::Refused { reason, holder: refused.holder.map(|holder| *holder) })
            } else {
                failed(reason)
            }
        })
    }

    /// Takes the lease. Somebody else's is waited for, as long as the run was told to.
    pub(super) async fn take(&mut self) -> Result<(), Stop> {
        let begun = instant();
        loop {
            let nonce = nonce();
            let script = transaction::take_lease(&self.run.operator, self.release, LEASE, &nonce);
            let output = self.exec(&script, Bounds::default()).await.map_err(failed)?;
            let stop = match self.held_by(&nonce, &output) {
                Ok(()) => {
                    self.held = true;
                    return Ok(());
                }
                Err(stop) => stop,
            };
            let left = self.wait.saturating_sub(begun.elapsed());
            if left.is_zero() || !matches!(*stop, HostState::Refused { .. }) {
                return Err(stop);
            }
            let host = self.job.desired.host.clone();
            self.run.emit(Event::Held { host, seconds_left: left.as_secs() });
            tokio::time::sleep(PAUSE.min(left)).await;
        }
    }

    /// One exec of `script` under the lease; `word` is what it answers when it did its work.
    pub(super) async fn tell(
        &mut self,
        make: impl Fn(&Nonce) -> Script,
        word: &str,
        seconds: u64,
    ) -> Result<Output, NotDone> {
        let nonce = nonce();
        let script =
            transaction::take_lease(&self.run.operator, self.release, LEASE, &nonce).then(&make(&nonce));
        let bounds = Bounds { deadline: Duration::from_secs(seconds), bytes: 16 << 20 };
        let output = self.exec(&script, bounds).await.map_err(NotDone::Broken)?;
        self.held_by(&nonce, &output).map_err(NotDone::Stop)?;
        match Replies::read(&output, &nonce).expect(word, self.release) {
            Ok(_) => Ok(output),
            Err(refused) => Err(NotDone::Refused { code: refused.code.clone(), text: refused.text }),
        }
    }
}

enum Asked {
    Again(String),
    Stop(Stop),
}

/// Why something was not done.
pub(super) enum NotDone {
    /// The connection broke: whether it was done is not known.
    Broken(String),
    /// The host did not do it.
    Refused {
        /// In a word.
        code: String,
        /// For people.
        text: String,
    },
    /// It is not ours to do.
    Stop(Stop),
}

impl From<NotDone> for Stop {
    fn from(told: NotDone) -> Self {
        match told {
            NotDone::Broken(why) => failed(why),
            NotDone::Refused { code, text } if matches!(code.as_str(), "digest" | "space" | "trust") => {
                refused(text)
            }
            NotDone::Refused { text, .. } => failed(text),
            NotDone::Stop(stop) => stop,
        }
    }
}
