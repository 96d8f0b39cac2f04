//! From what a run found to what people and programs read: a page is what there is to show, and a renderer, one for each
//! format, writes it. Nothing here judges; it counts, orders and words.

pub mod json;
pub mod text;

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use jiff::Timestamp;
use jiff::civil::Date;
use serde::Serialize;

use crate::calendar::{self, Plan, Slot, Turn};
use crate::domain::{Environment, HostName, Identifier, UserName};
use crate::inventory::{EnvironmentInventory, Host};
use crate::mail::Mail;
use crate::probe::Facts;
use crate::project::Project;
use crate::record::{ControlLine, Diff, Header, Hosts, ReleaseLine, SCHEMA, Tally};
use crate::release::Release;
use crate::release::notice::Notice;
use crate::release::status::HostStatus;
use crate::schema::Subject;
use crate::source::Refusals;
use crate::store::{Chain, RecordFile, StoredRun, Unfinished};
use crate::text::visible;

/// How a report is laid out for a terminal.
#[derive(Debug, Clone, Copy)]
pub struct View {
    /// Characters on a line.
    pub width: usize,
    /// Everything, however long.
    pub all: bool,
}

/// How much of a plan is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// What would be changed and cut off.
    Short,
    /// The same, with every line that would change.
    Diffs,
}

/// A format of what verbs show.
pub trait Renderer {
    /// Writes the page. Fails where a record on disk can no longer be read, or `out` takes no more.
    fn render(&self, page: &Page<'_>, out: &mut dyn io::Write) -> io::Result<()>;
}

/// What a verb shows on standard output.
pub enum Page<'a> {
    /// A run, from its hosts or from its record.
    Run(&'a Report, Depth),
    /// A plan as the shell that it would run, by host, phase and part; for programs the same as the run.
    Scripts(&'a Report, &'a [(String, String)]),
    /// Two runs compared.
    Diff(&'a Compared<'a>),
    /// The runs of a project.
    Runs(&'a Runs<'a>),
    /// An environment of the inventory.
    Inventory(&'a Inventory<'a>),
    /// The coming releases.
    Calendar(&'a Calendar<'a>),
    /// Who holds hosts.
    Status(&'a Status<'a>),
    /// A project without refusals.
    Checked(&'a Checked<'a>),
    /// A release that was planned.
    Planned(&'a Release),
    /// A release, and who signed it.
    Shown(&'a Shown<'a>),
    /// A release that is signed for an environment.
    Approved(&'a Approved<'a>),
    /// A notice of a maintenance.
    Announced(&'a Announced<'a>),
    /// The releases that hosts have.
    Releases(&'a Releases<'a>),
    /// A host that was unlocked. People read it on standard error.
    Unlocked(&'a Unlocked<'a>),
    /// Hosts that were forgotten.
    Retired(&'a BTreeSet<&'a HostName>),
    /// A verb's failure. People read it on standard error, with the files that were refused.
    Failed(&'a Failed<'a>),
}

/// A host that was unlocked.
#[derive(Clone, Copy)]
pub struct Unlocked<'a> {
    /// The host.
    pub host: &'a HostName,
    /// The transaction that was pending, or the run that held the lease.
    pub tx: &'a Identifier,
    /// What was done.
    pub done: &'a str,
}

/// The failure of a verb.
#[derive(Clone, Copy)]
pub struct Failed<'a> {
    /// The message, or the number of refusals.
    pub error: &'a str,
    /// The exit code.
    pub exit: u8,
    /// What to do.
    pub hints: &'a [String],
    /// Everything wrong with files, where that is what went wrong.
    pub refusals: Option<&'a Refusals>,
}

/// The runs of a project.
pub struct Runs<'a> {
    /// Those that ended.
    pub runs: &'a [StoredRun],
    /// Those that were killed, or that go on.
    pub unfinished: &'a [Unfinished],
}

/// An environment of the inventory.
#[derive(Clone, Copy)]
pub struct Inventory<'a> {
    /// The project.
    pub project: &'a Project,
    /// The environment.
    pub inventory: &'a EnvironmentInventory,
    /// The hosts that were selected.
    pub hosts: &'a [&'a Host],
    /// The day for which people's access is judged.
    pub today: Date,
}

/// The coming releases.
#[derive(Clone, Copy)]
pub struct Calendar<'a> {
    /// When releases come.
    pub plan: &'a Plan,
    /// The company.
    pub company: &'a str,
    /// The releases.
    pub releases: &'a [calendar::Release],
    /// Their windows.
    pub rows: &'a [Window<'a>],
    /// Where the calendar begins.
    pub now: Timestamp,
}

/// A window of a release.
pub struct Window<'a> {
    /// The release.
    pub release: &'a calendar::Release,
    /// Its place in the calendar.
    pub slot: &'a Slot,
    /// When administrators were told of it, by a signed record; `Err` says why a record that is there counts for nothing.
    pub announced: Option<Result<Timestamp, String>>,
}

/// Who holds the hosts of an environment.
pub struct Status<'a> {
    /// The environment.
    pub environment: Environment,
    /// What each host said of itself; `Err` says why it is not known.
    pub hosts: &'a [(HostName, Result<Facts, String>)],
    /// When they were asked.
    pub now: Timestamp,
}

/// A project without refusals.
pub struct Checked<'a> {
    /// The project.
    pub project: &'a Project,
    /// What differs from what palisade comes with.
    pub differs: &'a [String],
    /// Schemas of the project that are of another palisade.
    pub stale: &'a [Subject],
}

/// Numbers of what was checked in a project.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Counts {
    /// Number of environments.
    pub environments: usize,
    /// Number of hosts.
    pub hosts: usize,
    /// Number of listeners.
    pub listeners: usize,
    /// Number of people.
    pub people: usize,
    /// Number of controls.
    pub controls: usize,
    /// Number of templates.
    pub templates: usize,
    /// Number of waivers.
    pub waivers: usize,
    /// Number of files.
    pub files: usize,
}

impl Checked<'_> {
    /// Numbers of what was checked.
    pub fn counts(&self) -> Counts {
        let project = self.project;
        let inventories = || project.fleet.environments.values();
        let roles = inventories().flat_map(|inventory| inventory.roles.values());
        Counts {
            environments: project.fleet.environments.len(),
            hosts: inventories().map(|inventory| inventory.hosts.len()).sum(),
            listeners: roles.map(|role| role.listeners.len()).sum(),
            people: project.fleet.people.len(),
            controls: project.playbook.controls.len(),
            templates: project.templates.names().count(),
            waivers: project.waivers.len(),
            files: project.inputs.len(),
        }
    }
}

/// A release, and who signed it.
pub struct Shown<'a> {
    /// The release.
    pub release: &'a Release,
    /// Who planned and signed it.
    pub by: &'a UserName,
    /// Who signed it for test and for prod.
    pub approvals: &'a BTreeMap<Environment, Option<UserName>>,
}

/// A release that is signed for an environment.
pub struct Approved<'a> {
    /// The release.
    pub release: &'a Release,
    /// The environment.
    pub environment: Environment,
    /// Who signed.
    pub by: &'a UserName,
    /// The signature's file; none where it was there already.
    pub file: Option<&'a str>,
}

/// A notice of a maintenance.
pub struct Announced<'a> {
    /// What is recorded of it.
    pub notice: &'a Notice,
    /// The record's file.
    pub record: &'a str,
    /// The mail; none where it was sent before.
    pub mail: Option<&'a Mail>,
}

/// The releases that the hosts of an environment have.
#[derive(Clone, Copy)]
pub struct Releases<'a> {
    /// The environment.
    pub environment: Environment,
    /// When releases come.
    pub plan: &'a Plan,
    /// The turns of the environment.
    pub turns: &'a [Turn],
    /// What each host has.
    pub hosts: &'a [HostStatus],
    /// When they were asked.
    pub now: Timestamp,
}

/// Two runs, and what differs between them.
pub struct Compared<'a> {
    /// The earlier run.
    pub before: &'a Header,
    /// The later run.
    pub after: &'a Header,
    /// What differs.
    pub diff: &'a Diff,
}

/// What is known of a run beside its hosts.
#[derive(Debug, Clone)]
pub struct Head {
    /// `audit`, `plan`, `apply`, `patch` or `enrol`.
    pub verb: String,
    /// The environment; none for the machine that palisade runs on.
    pub environment: Option<Environment>,
    /// The run's id.
    pub run: Identifier,
    /// palisade's version.
    pub tool: String,
    /// The playbook's controls.
    pub controls: Vec<ControlLine>,
    /// The release that was installed, if one was.
    pub release: Option<ReleaseLine>,
    /// Connections to jump hosts, by host; of an enrolment alone.
    pub jump_connections: BTreeMap<HostName, u32>,
    /// Whether it was told to end before its time; then it failed, unless every host was done already.
    pub interrupted: bool,
    /// The folder of the evidence.
    pub evidence: Option<String>,
}

/// A run, as reports see it. Its hosts pass by one after the other, in the inventory's order.
#[derive(Debug)]
pub struct Report<H: ?Sized = dyn Hosts> {
    /// All but its hosts.
    pub head: Head,
    tally: Tally,
    hosts: H,
}

impl<H: Hosts> Report<H> {
    /// Of these hosts.
    pub fn new(head: Head, hosts: H) -> Self {
        Self { head, tally: hosts.tally(), hosts }
    }
}

impl Report<RecordFile> {
    /// What a record says, as the run itself showed it.
    pub fn of(record: RecordFile) -> Self {
        let (run, evidence) = (record.run.clone(), record.folder.display().to_string());
        let head = Head {
            verb: run.header.verb,
            environment: Some(run.header.environment),
            run: run.header.run,
            tool: run.header.tool,
            controls: run.header.controls,
            release: run.release,
            jump_connections: run.end.jump_connections,
            interrupted: run.end.interrupted,
            evidence: Some(evidence),
        };
        Self::new(head, record)
    }
}

impl<H: Hosts + ?Sized> Report<H> {
    /// Its hosts.
    pub fn hosts(&self) -> &H {
        &self.hosts
    }

    /// Its counts.
    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    /// The exit code.
    pub fn exit(&self) -> u8 {
        self.tally.exit(&self.head.verb, self.head.interrupted)
    }
}

/// The state of a run's record, and of the one before it, in words.
fn record_state(run: &StoredRun) -> String {
    let schema = run.header.get("schema").and_then(serde_json::Value::as_u64);
    let itself = match (run.intact, run.footer.is_some()) {
        (true, _) if schema.is_none_or(|schema| schema > u64::from(SCHEMA)) => "of a newer palisade",
        (true, true) => "whole",
        (true, false) => "truncated",
        (false, _) => "changed since",
    };
    match &run.chain {
        Chain::Unbroken => itself.to_owned(),
        Chain::Gone(before) => format!("{itself}; the one before it is gone: {}", visible(before)),
        Chain::Other(before) => format!("{itself}; the one before it is another now: {}", visible(before)),
    }
}
