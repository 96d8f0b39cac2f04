//! From what a run found to what people and programs read: a page is what there is to show, and a renderer, one for each
//! format, writes it. Nothing here judges; it counts, orders and words.

pub mod json;
pub mod text;

use std::collections::BTreeMap;
use std::io;

use crate::domain::{Environment, HostName, Identifier};
use crate::record::{ControlLine, Hosts, ReleaseLine, Tally};
use crate::store::RecordFile;

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
