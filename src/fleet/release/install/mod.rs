//! Installing a release on hosts: what they lack is carried there, their apt is asked what it would do, a unit of their own
//! does exactly that, and what ran before has to run afterwards. Batches, canary, order and budget are those of every other
//! change. A host tells by its journal how far it is, so that any run can go on where another ended.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::time::Duration;

use jiff::Timestamp;

use crate::domain::{HostName, PackageName, PackageVersion, RemotePath, UnitName, Url};
use crate::event::Event as NotDone;
use crate::fleet::rollout::lock;
use crate::fleet::{Job, Rollout, Run, Wish, now};
use crate::journal::{Event, Journal, Reason, State};
use crate::kinds::updates::OLD_CODE;
use crate::plan::Judged;
use crate::record::{HostResult, HostState, Installed, PackageLine, PackageSet, ReleaseLine};
use crate::release::standing::Standing;
use crate::release::transfer::SignedFile;
use crate::release::{Package, Release, Set, installing};
use crate::resource::Verdict;
use crate::rollout::Gate;
use crate::rollout::reboot::Rebooted;
use crate::store::Pool;

mod steps;
mod stop;
mod transfer;

use stop::{Stop, failed, incomplete, refused};
use transfer::Transfer;

/// What is installed, and what hosts have to stand.
#[derive(Debug)]
pub struct ReleaseInputs {
    /// The release.
    pub release: Release,
    /// Its file as it was signed.
    pub carried: SignedFile,
    /// Its packages.
    pub pool: Pool,
    /// Why it does without window, soak and notice, where it does.
    pub emergency: Option<Reason>,
    /// Where hosts download packages before they are carried any; none where all are carried.
    pub mirror: Option<Url>,
    /// What hosts of the environment before have of it, by distribution: a host gets nothing else. None where no
    /// environment is before.
    pub installed_before: Option<BTreeMap<String, BTreeSet<(PackageName, PackageVersion)>>>,
    /// Programs that say whether a host does its work.
    pub checks: BTreeMap<HostName, BTreeSet<RemotePath>>,
    /// Services that are never restarted, beside those that nothing but a reboot renews; a template stands for its instances.
    pub never: BTreeSet<UnitName>,
    /// When no further host is begun and none is rebooted; none where nothing ends.
    pub closes: Option<Timestamp>,
    /// How long a host may take to come back.
    pub reboot_within: Duration,
}

impl ReleaseInputs {
    fn set(&self, standing: &Standing, distribution: &str) -> Option<&Set> {
        let of = |set: &&Set| set.distribution == distribution && set.architecture == standing.architecture;
        self.release.sets.iter().find(of)
    }

    /// The release, as the record of its installation names it.
    pub fn line(&self) -> ReleaseLine {
        let package = |(name, package): (&PackageName, &Package)| PackageLine {
            name: name.clone(),
            version: package.version.clone(),
            sha256: package.sha256.clone(),
        };
        let set = |set: &Set| PackageSet {
            distribution: set.distribution.clone(),
            architecture: set.architecture.clone(),
            packages: set.packages.iter().map(package).collect(),
        };
        ReleaseLine {
            id: self.carried.id.clone(),
            sha256: self.carried.digest.clone(),
            emergency: self.emergency.clone(),
            mirror: self.mirror.clone(),
            packages: self.release.sets.iter().map(set).collect(),
        }
    }

    fn is_over(&self) -> bool {
        self.closes.is_some_and(|closes| now() >= closes)
    }
}

impl Run {
    /// Installs the release of `inputs` on the hosts that `looked` answered for, in batches.
    pub async fn install_release(
        &self,
        jobs: &[Job],
        looked: Vec<HostResult>,
        inputs: &ReleaseInputs,
        rollout: &Rollout,
    ) -> Vec<(HostResult, Installed)> {
        let gate = Mutex::new(Gate::new(rollout.budget));
        let mut results: Vec<Option<HostResult>> = Vec::new();
        let mut waiting: Vec<(usize, &Job)> = Vec::new();
        for (place, looked) in looked.into_iter().enumerate() {
            let job = jobs.iter().find(|job| job.desired.host == looked.host);
            if let (Some(job), HostState::Answered) = (job, &looked.state) {
                waiting.push((place, job));
            }
            lock(&gate).ended(&looked.host, &looked.state, false);
            results.push(Some(looked));
        }
        let told: Mutex<BTreeMap<HostName, Installed>> = Mutex::default();
        let work = async |job: &Job, looked: HostResult| {
            let (result, installed) = self.install_on(job, looked, inputs, rollout.wait_lease).await;
            told.lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner)
                .insert(result.host.clone(), installed);
            result
        };
        let results = self.in_batches(&waiting, results, rollout, &gate, work).await;
        let mut told = told.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
        let with = |result: HostResult| {
            let installed = told.remove(&result.host).unwrap_or_default();
            (result, installed)
        };
        self.counted(results).into_iter().map(with).collect()
    }

    async fn install_on(
        &self,
        job: &Job,
        looked: HostResult,
        inputs: &ReleaseInputs,
        wait: Duration,
    ) -> (HostResult, Installed) {
        let begun = crate::fleet::instant();
        let mut installing = Installing {
            run: self,
            job,
            inputs,
            transfer: Transfer::new(self, job, &inputs.carried.id, wait),
            told: Installed::default(),
            after: None,
        };
        let interrupt = self.interrupt.clone();
        let ended = tokio::select! {
            biased;
            () = interrupt.asked(Wish::Leave) => None,
            ended = installing.go(&looked) => Some(ended),
        };
        let left = || {
            failed(
                "left in the middle: what is being installed is installed to its end, and a later run goes on",
            )
        };
        let state = match ended.unwrap_or_else(|| Ok(*left())) {
            Ok(state) => state,
            Err(stop) => {
                installing.keep(&stop).await;
                *stop
            }
        };
        let Installing { transfer, told, after, .. } = installing;
        let cost = transfer.end().await;
        let mut result = HostResult { state, ..after.unwrap_or(looked) };
        result.cost.execs += cost.execs;
        result.cost.bytes_sent += cost.bytes_sent;
        result.cost.bytes_received += cost.bytes_received;
        let spent = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        result.milliseconds = result.milliseconds.saturating_add(spent);
        let (summary, good) = summary(&result.state, &told);
        self.emit(NotDone::Finished { host: job.desired.host.clone(), summary, good });
        (result, told)
    }
}

fn summary(state: &HostState, told: &Installed) -> (String, bool) {
    match state {
        HostState::Answered => ("completed already".to_owned(), true),
        HostState::Changed => {
            let rebooted = if told.rebooted.is_some() { ", rebooted" } else { "" };
            (format!("completed: {} packages{rebooted}", told.packages.len()), true)
        }
        _ => (state.reason().to_owned(), false),
    }
}

/// One host's part.
struct Installing<'a> {
    run: &'a Run,
    job: &'a Job,
    inputs: &'a ReleaseInputs,
    transfer: Transfer<'a>,
    told: Installed,
    /// The last look at it.
    after: Option<HostResult>,
}

/// How often the unit is started within one run: a host that is rebooted in the middle, or whose unit is killed, goes on.
const STARTS: u32 = 3;

impl Installing<'_> {
    async fn go(&mut self, looked: &HostResult) -> Result<HostState, Stop> {
        let standing = self.standing().await?;
        let journal = Self::journal(&standing)?;
        let mine = &self.inputs.carried.digest;
        if let State::Completed(done) = journal.state() {
            if done.sha256 == *mine {
                self.remember(&standing, &journal);
                return Ok(HostState::Answered);
            }
            return Err(refused(format!(
                "{} was completed there as another file of that name (sha256 {})",
                self.inputs.carried.id, done.sha256
            )));
        }
        if self.inputs.is_over() {
            return Err(Box::new(HostState::NotStarted { reason: "the window has closed".to_owned() }));
        }
        let goes_on = journal.begun().is_some_and(|(file, ..)| file == mine);
        if standing.installing && !goes_on {
            let id = &self.inputs.carried.id;
            return Err(refused(format!(
                "another file of the name {id} is being installed there; wait until it has ended"
            )));
        }
        let after = journal.entries().last().map(|entry| entry.event.clone()).filter(|_| goes_on);
        self.begin(&standing).await?;
        let settled = matches!(after, Some(Event::Rebooted | Event::Checked)) && !standing.installing;
        let awaits = goes_on && journal.awaits_reboot();
        if !settled && !awaits {
            self.install(standing, goes_on).await?;
        }
        self.reboot_if_asked().await?;
        self.healthy().await?;
        self.as_compliant(looked).await?;
        self.complete().await?;
        Ok(HostState::Changed)
    }

    /// Installs, and goes on where the host was interrupted.
    async fn install(&mut self, standing: Standing, goes_on: bool) -> Result<(), Stop> {
        let mut standing = standing;
        for start in 0..STARTS {
            if !standing.installing {
                // What comes in an emergency may be what mends them.
                if !goes_on && start == 0 && self.inputs.emergency.is_none() {
                    self.checks("before anything was installed").await.map_err(refused)?;
                }
                let approved = self.carry(&standing).await?;
                self.told.held.clone_from(&approved.held);
                self.told.newer.clone_from(&approved.newer);
                self.start(&standing, &approved).await?;
            }
            standing = self.follow().await?;
            let journal = Self::journal(&standing)?;
            match journal.entries().last().map(|entry| &entry.event) {
                Some(Event::Installed | Event::Restarted { .. } | Event::RebootAsked) => {
                    self.remember(&standing, &journal);
                    return Ok(());
                }
                Some(Event::Failed { word, reason }) if word.as_str() == installing::INTERRUPTED => {
                    self.note(&format!("{reason}; it goes on"));
                }
                Some(Event::Failed { word, reason }) => {
                    self.remember(&standing, &journal);
                    return Err(failed(format!("{word}: {reason}")));
                }
                _ => self.note(&format!("the unit that installs ended early{}; it goes on", said(&standing))),
            }
        }
        Err(failed(format!("the unit that installs ended early {STARTS} times{}", said(&standing))))
    }

    async fn reboot_if_asked(&mut self) -> Result<(), Stop> {
        let standing = self.standing().await?;
        let journal = Self::journal(&standing)?;
        self.remember(&standing, &journal);
        let asked = journal.entries().iter().rev().find(|entry| entry.event == Event::RebootAsked);
        let Some(asked) = asked else { return Ok(()) };
        self.told.rebooted = Some(standing.reboot.clone());
        if !journal.awaits_reboot() {
            return Ok(());
        }
        if self.transfer.boot().is_some_and(|boot| boot == asked.boot) {
            if self.inputs.is_over() {
                return Err(failed("installed, and not rebooted: the window has closed"));
            }
            self.note(&format!("reboots, since {} ask for it", standing.reboot));
            self.transfer.let_go().await;
            match self.run.reboot(self.job, self.inputs.reboot_within).await {
                Rebooted::Back { kernel, after } => {
                    self.note(&format!("is back after {} s with {kernel}", after.as_secs()));
                }
                Rebooted::Refused { reason } => {
                    return Err(failed(format!("installed, and not rebooted: {reason}")));
                }
                Rebooted::Astray { reason } | Rebooted::Lost { reason } => return Err(failed(reason)),
            }
        }
        self.write(&[Event::Rebooted]).await
    }

    /// What was compliant before must be so afterwards.
    async fn as_compliant(&mut self, looked: &HostResult) -> Result<(), Stop> {
        let after = self.run.look_at(self.job, false).await;
        if after.state != HostState::Answered {
            return Err(failed("it was installed, and then did not answer what an audit asks"));
        }
        let sound = |result: &HostResult| -> BTreeSet<String> {
            let judged: Vec<Judged> = result.judged.iter().map(but_for_old_code).collect();
            let verdicts = crate::plan::verdicts(&result.controls, &judged, &result.waivers);
            let worse =
                |verdict: &Verdict| matches!(verdict, Verdict::Drift { .. } | Verdict::Unknown { .. });
            verdicts.iter().filter(|(_, verdict)| !worse(verdict)).map(|(id, _)| id.to_string()).collect()
        };
        let lost: Vec<String> = sound(looked).difference(&sound(&after)).cloned().collect();
        self.after = Some(after);
        if lost.is_empty() {
            return self.write(&[Event::Checked]).await;
        }
        Err(failed(format!("no longer as declared: {}", lost.join(", "))))
    }

    fn remember(&mut self, standing: &Standing, journal: &Journal) {
        self.told.packages = standing.installed.iter().cloned().collect();
        let mut since_installed =
            journal.entries().iter().rev().take_while(|entry| entry.event != Event::Installed);
        let renewed = since_installed.any(|entry| entry.event == Event::Rebooted);
        let left = standing.denied.iter().filter(|_| !renewed).cloned();
        (self.told.denied, self.told.until_reboot) = left.partition(|unit| unit.is_among(&self.inputs.never));
        self.told.conffiles.clone_from(&standing.conffiles);
        self.told.restarted = journal
            .entries()
            .iter()
            .filter_map(|entry| match &entry.event {
                Event::Restarted { unit } => Some(unit.clone()),
                _ => None,
            })
            .collect();
        self.told.journal = Some(journal.clone());
    }

    fn journal(standing: &Standing) -> Result<Journal, Stop> {
        Journal::parse(&standing.journal).map_err(|broken| incomplete(&broken))
    }

    fn note(&self, text: &str) {
        self.run.emit(NotDone::Note { text: format!("{}: {text}", self.job.desired.host) });
    }
}

/// The same without what still runs replaced files. A release leaves some by design: what no release restarts, what only a
/// reboot renews, and what people started. It is named, and an audit finds it until it is started anew.
fn but_for_old_code(judged: &Judged) -> Judged {
    let mut judged = judged.clone();
    if let Verdict::Drift { findings } = &mut judged.verdict
        && judged.kind == "updates"
    {
        findings.retain(|finding| !finding.starts_with(OLD_CODE));
        if findings.is_empty() {
            judged.verdict = Verdict::Compliant { notes: Vec::new() };
        }
    }
    judged
}

/// What apt and dpkg said last, as the end of a sentence.
fn said(standing: &Standing) -> String {
    if standing.said.is_empty() { String::new() } else { format!(" ({})", standing.said) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(kind: &str, findings: &[&str]) -> Verdict {
        let findings = findings.iter().map(ToString::to_string).collect();
        let judged = Judged {
            resource: "security updates".to_owned(),
            kind: kind.to_owned(),
            enforced: false,
            controls: Vec::new(),
            waived: false,
            verdict: Verdict::Drift { findings },
        };
        but_for_old_code(&judged).verdict
    }

    #[test]
    fn what_a_release_leaves_running_fails_no_host_and_hides_nothing_else() {
        let old = format!("{OLD_CODE}: sshd (pid 7, ssh.service); start it anew");
        assert!(matches!(after("updates", &[&old]), Verdict::Compliant { .. }));
        let Verdict::Drift { findings } = after("updates", &[&old, "a reboot is due"]) else {
            panic!("drift")
        };
        assert_eq!(findings, ["a reboot is due"]);
        assert!(matches!(after("service", &[&old]), Verdict::Drift { .. }));
    }
}
