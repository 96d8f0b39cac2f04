//! What audit, plan and apply have in common: the project, the selection, who connects, the record.
#![expect(
    clippy::disallowed_methods,
    reason = "who and where we are comes from the environment, at the edge"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use super::reach::Reach;
use super::runtime::block_on;
use super::signals::{self, unless_interrupted};
use super::{Common, environment_inventory, passphrase, reach, secrets};
use crate::desired;
use jiff::civil::Date;

use crate::domain::{ControlId, Digest, Environment, HostName, PublicKey, UserName};
use crate::event::Sink;
use crate::failure::{Failure, Kind};
use crate::fleet::{self, Access, CONNECT_TIMEOUT, Job, JobInputs, Run, declared_keys};
use crate::inventory::{EnvironmentInventory, Host, IDENTITIES_FILE, select};
use crate::known_hosts::KnownHosts;
use crate::playbook::{Control, Playbook};
use crate::project::Project;
use crate::record::{
    AsHostEntry, ControlLine, Counts, Footer, Header, HostEntry, HostResult, Hosts, Line, SCHEMA,
};
use crate::report::{Head, Report};
use crate::scope;
use crate::secret::Secrets;
use crate::source::Sources;
use crate::store::{self, KNOWN_HOSTS_FILE, Spool, Writing};
use crate::transaction::Operator;
use crate::transport::{Identity, KeyAgent, RusshConnector};
use crate::ui::Printer;
use crate::ui::progress::Progress;

/// palisade's version.
pub(super) const TOOL: &str = env!("CARGO_PKG_VERSION");

/// A run that is about to begin: everything that can be refused was.
pub(super) struct RunInputs {
    /// The project.
    pub project: Project,
    /// The environment.
    pub environment: Environment,
    /// The controls that are judged.
    pub controls: Vec<Control>,
    /// One per selected host.
    pub jobs: Vec<Job>,
    /// What the hosts of the run share.
    pub run: Run,
    /// The hosts that are reached by ssh(1).
    pub by_ssh: BTreeSet<HostName>,
    /// Where ssh(1) is told of an agent within this process.
    ssh_agent: Option<Arc<OnceLock<PathBuf>>>,
    /// The agent with a key that was unlocked.
    key_agent: Option<Arc<KeyAgent>>,
    /// When it began.
    pub began: jiff::Timestamp,
    /// Who began it and on which machine, where it was killed and is taken up.
    pub taken_up: Option<(UserName, String)>,
    /// The hash of the plan file that it applies.
    pub approved: Option<Digest>,
    /// What the hosts answered to a look, where it was put away.
    answers: Option<Spool>,
}

impl RunInputs {
    /// Reads the project, selects hosts and controls, and finds out who connects. Nothing is contacted.
    pub(super) fn new(common: &Common, environment: Environment, printer: Printer) -> Result<Self, Failure> {
        Self::of(Project::read(&common.project)?, common, environment, printer)
    }

    /// Of a project that was read.
    pub(super) fn of(
        project: Project,
        common: &Common,
        environment: Environment,
        printer: Printer,
    ) -> Result<Self, Failure> {
        let inventory = environment_inventory(&project, environment)?;
        let hosts =
            select(inventory, common.limit.as_deref()).map_err(|error| Failure::new(Kind::Refused, error))?;
        let controls = controls(&project.playbook, &common.controls)?;
        let began = fleet::now();
        let today = began.to_zoned(jiff::tz::TimeZone::UTC).date();
        let user = person(&project, inventory, common.person.as_ref(), today)?;
        not_enrolled(&project, environment, &hosts)?;
        let known_hosts = KnownHosts::parse(&project.known_hosts).map_err(|error| {
            Failure::refused(format!("inventories/known_hosts:{}: {}", error.line, error.why))
        })?;
        not_pinned(&known_hosts, environment, &hosts)?;
        let identity = identity(common, &project, inventory, &user);
        let inputs = JobInputs {
            fleet: &project.fleet,
            inventory,
            controls: &controls,
            identities: &project.identities,
            access: Access {
                user: user.clone(),
                identity,
                pins: Arc::new(known_hosts),
                connect_timeout: CONNECT_TIMEOUT,
            },
            day: today,
            waivers: &project.waivers,
            templates: &project.templates,
        };
        let mut jobs = inputs.jobs(&hosts).map_err(|errors| {
            let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
            Failure::refused(lines.join("\n"))
        })?;
        secrets::give(&mut jobs, &Secrets::of_user(), &project.root, began);
        let Reach { connector, by_ssh, agent: ssh_agent } = reach::reach(common, &jobs, printer)?;
        let run = Run {
            connector,
            events: Arc::new(Progress::new(printer)) as Arc<dyn Sink>,
            operator: Operator { run: fleet::run_id(), who: user, from: machine() },
            concurrency: usize::from(common.concurrency),
            rollback_timeout: project.fleet.limits.rollback_timeout,
            keep_sessions: false,
            interrupt: fleet::Interrupt::never(),
            breakpoints: breakpoints(&project)?,
        };
        Ok(Self {
            project,
            environment,
            controls,
            jobs,
            run,
            began,
            by_ssh,
            ssh_agent,
            key_agent: None,
            taken_up: None,
            approved: None,
            answers: None,
        })
    }

    /// Lets secrets be compared by the key of a plan that was made then.
    pub(super) fn compare_secrets_as_of(&mut self, made: jiff::Timestamp) {
        secrets::give(&mut self.jobs, &Secrets::of_user(), &self.project.root, made);
    }

    /// Refuses to contact anybody without a key that can be offered. Its passphrase is asked for here, where it has one.
    pub(super) fn with_a_key(mut self) -> Result<Self, Failure> {
        signals::hear()?;
        self.unlock()?;
        // One account enters all hosts of a run, jump hosts included; ssh(1) looks for keys itself.
        if let Some(job) = self.jobs.iter().find(|job| !self.by_ssh.contains(&job.desired.host)) {
            block_on(RusshConnector::check_identity(&job.target.identity))?
                .map_err(|error| Failure::refused(error.to_string()).hint("nothing was contacted"))?;
        }
        Ok(self)
    }

    fn unlock(&mut self) -> Result<(), Failure> {
        // ssh(1) asks the agents that the person's configuration names, which may hold what this process cannot see.
        let is_needed = |job: &&Job| self.ssh_agent.is_some() || !self.by_ssh.contains(&job.desired.host);
        let Some(job) = self.jobs.iter().find(is_needed) else { return Ok(()) };
        let Some(agent) = passphrase::unlocked(&job.target.identity)? else { return Ok(()) };
        for target in self.jobs.iter_mut().flat_map(|job| job.witnesses.iter_mut().chain([&mut job.target])) {
            target.sign_by(agent.socket());
        }
        if let Some(told) = &self.ssh_agent {
            // Nothing was connected to yet, and nobody else tells it.
            drop(told.set(agent.socket().to_owned()));
        }
        self.key_agent = Some(agent);
        Ok(())
    }

    /// Refuses a selection of controls that may not be enforced without others.
    pub(super) fn may_change(self) -> Result<Self, Failure> {
        let missing: Vec<&str> =
            self.project.playbook.left_behind(&self.controls).into_iter().map(ControlId::as_str).collect();
        if missing.is_empty() {
            return Ok(self);
        }
        let also = missing.iter().map(|id| format!("--control {id}")).collect::<Vec<_>>().join(" ");
        Err(Failure::refused("keys and what sshd makes of them change together, or somebody is left outside")
            .hint(format!("add {also}, or leave --control out")))
    }

    /// Says which hosts a selection leaves out although their rules name hosts that it selects.
    pub(super) fn tell_left_out(&self, printer: Printer) {
        let Ok(inventory) = environment_inventory(&self.project, self.environment) else { return };
        let selected = self.jobs.iter().map(|job| job.desired.host.clone()).collect();
        let concerned = scope::concerned(inventory, &selected);
        if concerned.is_empty() {
            return;
        }
        let names: Vec<&str> = concerned.iter().map(|one| one.host.as_str()).collect();
        printer.say("note: not selected, but their rules name selected hosts; they may need a change too");
        for one in &concerned {
            printer.say(&format!("  {}: {}", one.host, one.why.join(", ")));
        }
        printer.say(&format!("  see: palisade plan {} --limit {}", self.environment, names.join(",")));
    }

    /// The digest of the files that plans follow from.
    pub(super) fn digest(&self) -> Digest {
        inputs_digest(&self.project)
    }

    /// The name under which the run is recorded.
    pub(super) fn name(&self, verb: &str) -> String {
        store::folder_name(&self.run.operator.run, self.environment, verb)
    }

    /// The report of a run of `verb` over `hosts`.
    pub(super) fn report<H: Hosts>(&self, verb: &str, hosts: H) -> Report<H> {
        let head = Head {
            verb: verb.to_owned(),
            environment: Some(self.environment),
            run: self.run.operator.run.clone(),
            tool: TOOL.to_owned(),
            controls: self.controls.iter().map(line).collect(),
            release: None,
            jump_connections: BTreeMap::new(),
            interrupted: false,
            evidence: None,
        };
        Report::new(head, hosts)
    }

    /// Looks at all hosts. What they answered is put away for the record as it comes.
    pub(super) fn look(&mut self) -> Result<Vec<HostResult>, Failure> {
        let unwritable = |error: std::io::Error| {
            Failure::from(anyhow::anyhow!("the hosts' answers could not be kept in runs/: {error}"))
        };
        let mut spool = Spool::open(&self.project.root, &self.run.operator.run).map_err(unwritable)?;
        let mut failed = None;
        let mut put_away = |result: &mut HostResult| {
            let raw = std::mem::take(&mut result.raw);
            failed = failed.take().or(spool.put(&result.host, &raw).err());
        };
        let results = unless_interrupted(self.run.look_each(&self.jobs, &mut put_away))?;
        if let Some(error) = failed {
            return Err(unwritable(error));
        }
        self.answers = Some(spool);
        Ok(results)
    }

    /// Writes the run's record, and says in the report where it lies.
    pub(super) fn keep<T: AsHostEntry>(&self, report: &mut Report<Vec<T>>) -> Result<(), Failure> {
        let name = self.name(&report.head.verb);
        let folder = self.write(report, &name).map_err(|failure| match failure.kind {
            Kind::Interrupted => failure,
            _ => Failure::from(anyhow::anyhow!(
                "the run's record could not be written to runs/{name}: {}",
                failure.message()
            )),
        })?;
        report.head.evidence = Some(folder.display().to_string());
        Ok(())
    }

    fn write<T: AsHostEntry>(&self, report: &Report<Vec<T>>, name: &str) -> Result<PathBuf, Failure> {
        let operator = &self.run.operator;
        let mut record = Writing::begin(&self.project.root, name)?;
        record.line(&Line::Run(&Header {
            schema: SCHEMA,
            run: operator.run.clone(),
            tool: TOOL.to_owned(),
            verb: report.head.verb.clone(),
            environment: self.environment,
            by: Some(operator.who.clone()),
            from: operator.from.clone(),
            began: self.began,
            inputs: self.project.inputs.clone(),
            hosts: self.jobs.iter().map(|job| job.desired.host.to_string()).collect(),
            controls: report.head.controls.clone(),
            plan: self.approved.clone(),
        }))?;
        if let Some((begun_by, begun_from)) = &self.taken_up {
            record.line(&Line::TakenUp { begun_by, begun_from, by: &operator.who })?;
        }
        if let Some(release) = &report.head.release {
            record.line(&Line::Release(release))?;
        }
        for (job, host) in self.jobs.iter().zip(report.hosts()) {
            signals::check()?;
            let entry = host.entry();
            if let HostEntry::Judged(result) | HostEntry::Installed(result, _) = entry {
                let (host, desired) = (&result.host, &job.desired);
                let resources = &desired.resources;
                record.line(&Line::Desired { host, digest: desired.digest(), resources })?;
                let kept = self.answers.as_ref().map(|answers| answers.take(host)).transpose()?.flatten();
                let raw = kept.as_ref().unwrap_or(&result.raw);
                record.line(&Line::Answer { host, at: result.at, raw })?;
            }
            for line in entry.lines() {
                record.line(&line)?;
            }
        }
        record.line(&Line::End(&Footer {
            ended: fleet::now(),
            exit: report.exit(),
            summary: Counts::Judged(report.tally().summary),
            interrupted: report.head.interrupted,
            jump_connections: BTreeMap::new(),
        }))?;
        Ok(record.finish(&operator.run)?)
    }
}

/// The digest of the files that plans follow from: not of pins and identities, which change when another host is
/// enrolled.
pub(super) fn inputs_digest(project: &Project) -> Digest {
    let written = |path: &str| path == KNOWN_HOSTS_FILE || path == IDENTITIES_FILE;
    let files: BTreeMap<&String, &Digest> =
        project.inputs.iter().filter(|(path, _)| !written(path)).collect();
    Digest::of(serde_json::to_string(&files).unwrap_or_default().as_bytes())
}

/// What a report says of a control.
fn line(control: &Control) -> ControlLine {
    ControlLine {
        id: control.id.clone(),
        title: control.title.clone(),
        severity: control.severity.as_str().to_owned(),
        promise: control.promise.as_str().to_owned(),
        origin: control.origin.as_str().to_owned(),
    }
}

/// The report of the machine that palisade runs on, by the built-in playbook. It reads no project.
pub(super) fn audit_here(common: &Common) -> Result<Report<Vec<HostResult>>, Failure> {
    let playbook = crate::playbook::parse(&Sources::new())?;
    let controls = controls(&playbook, &common.controls)?;
    let host = machine().to_lowercase().split('.').next().and_then(|name| name.parse().ok());
    let host = host.ok_or_else(|| Failure::refused("this machine has no usable host name"))?;
    let desired = desired::resolve_local(&controls, &host).map_err(Failure::refused)?;
    let result = unless_interrupted(fleet::look_here(&desired))?;
    let head = Head {
        verb: "audit".to_owned(),
        environment: None,
        run: fleet::run_id(),
        tool: TOOL.to_owned(),
        controls: controls.iter().map(line).collect(),
        release: None,
        jump_connections: BTreeMap::new(),
        interrupted: false,
        evidence: None,
    };
    Ok(Report::new(head, vec![result]))
}

/// The controls of `--control`, or all.
fn controls(playbook: &Playbook, only: &[ControlId]) -> Result<Vec<Control>, Failure> {
    let selected = playbook.select(only).map_err(|error| Failure::new(Kind::Refused, error))?;
    Ok(selected.into_iter().cloned().collect())
}

/// What may prove that we are `user`.
pub(super) fn identity(
    common: &Common,
    project: &Project,
    inventory: &EnvironmentInventory,
    user: &UserName,
) -> Identity {
    let declared = declared_keys(&project.fleet, inventory, user).map(<[PublicKey]>::to_vec);
    let agent = std::env::var_os("SSH_AUTH_SOCK").map(PathBuf::from);
    let file = common.identity.clone().or_else(|| match (&agent, &declared) {
        (None, Some(declared)) => reach::own_key_file(declared),
        _ => None,
    });
    Identity { file, agent, declared }
}

/// As whom we connect: `--as`, else the local account's name where it is declared.
pub(super) fn person(
    project: &Project,
    inventory: &EnvironmentInventory,
    given: Option<&UserName>,
    today: Date,
) -> Result<UserName, Failure> {
    let declared = |user: &UserName| {
        let person = project.fleet.people.get(user);
        person.is_none_or(|person| person.has_access(inventory.environment, today))
            && declared_keys(&project.fleet, inventory, user).is_some()
    };
    let who = || {
        let people =
            project.fleet.people.values().filter(|person| person.has_access(inventory.environment, today));
        people
            .map(|person| person.user.to_string())
            .chain(inventory.automation.iter().map(|a| a.user.to_string()))
            .collect::<Vec<_>>()
    };
    if let Some(user) = given {
        return if declared(user) {
            Ok(user.clone())
        } else {
            Err(Failure::refused(format!("{user} has no access to {} today", inventory.environment))
                .hint(format!("declared are: {}", who().join(", "))))
        };
    }
    let local = std::env::var("USER").ok().and_then(|name| name.parse::<UserName>().ok());
    local.filter(declared).ok_or_else(|| {
        Failure::refused(format!("who connects to {}?", inventory.environment))
            .hint(format!("name yourself with --as: {}", who().join(", ")))
    })
}

fn not_enrolled(project: &Project, environment: Environment, hosts: &[&Host]) -> Result<(), Failure> {
    let missing: Vec<&str> = hosts
        .iter()
        .filter(|host| !project.identities.hosts.contains_key(&host.name))
        .map(|host| host.name.as_str())
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(Failure::refused(format!("not enrolled: {}", missing.join(", "))).hint(format!(
        "palisade enrol {environment} {} --bootstrap-user USER, the account that the provider delivered",
        missing.join(" ")
    )))
}

/// A host that was enrolled has a pinned key, unless somebody took it out of `known_hosts`.
fn not_pinned(known: &KnownHosts, environment: Environment, hosts: &[&Host]) -> Result<(), Failure> {
    let missing: Vec<&str> =
        hosts.iter().map(|host| host.name.as_str()).filter(|name| !known.names(name)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let again = missing.join(" --replace ");
    Err(Failure::refused(format!("{KNOWN_HOSTS_FILE} has no key of {}", missing.join(", ")))
        .hint(format!("restore the file, or pin anew: palisade enrol {environment} --replace {again}")))
}

/// This machine's name, as one word.
pub(super) fn machine() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let word: String = name
        .trim()
        .chars()
        .filter(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_'))
        .take(63)
        .collect();
    if word.is_empty() { "unknown".to_owned() } else { word }
}

/// `PALISADE_LAB_HOLD=[PHASE.]STAGE:FILE[,…]`, in a lab's project alone: the fault tests stop a change there.
fn breakpoints(project: &Project) -> Result<Option<fleet::Breakpoints>, Failure> {
    let Ok(text) = std::env::var("PALISADE_LAB_HOLD") else { return Ok(None) };
    if project.lab.is_none() {
        return Err(
            Failure::refused("PALISADE_LAB_HOLD is set, and this is not a lab's project").hint("unset it")
        );
    }
    fleet::Breakpoints::parse(&text)
        .map(Some)
        .ok_or_else(|| Failure::refused("PALISADE_LAB_HOLD is not [package.|widen.|narrow.]STAGE:FILE"))
}

/// `PALISADE_LAB_NOW=TIME`, in a lab's project alone: the moment by which releases are judged there, since no test waits for a
/// window. `now` where it is not set.
pub(super) fn moment(common: &Common, now: jiff::Timestamp) -> Result<jiff::Timestamp, Failure> {
    let Ok(text) = std::env::var("PALISADE_LAB_NOW") else { return Ok(now) };
    if Project::read(&common.project)?.lab.is_none() {
        return Err(
            Failure::refused("PALISADE_LAB_NOW is set, and this is not a lab's project").hint("unset it")
        );
    }
    text.parse().map_err(|_| Failure::refused("PALISADE_LAB_NOW is not a time such as 2026-11-28T21:10:00Z"))
}
