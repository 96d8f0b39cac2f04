//! Runs as JSON documents: audits, plans, changes, installations of releases and enrolments. Hosts are written as they
//! pass by.

use std::collections::BTreeMap;
use std::io;
use std::marker::PhantomData;

use jiff::Timestamp;
use serde::ser::{Error as _, SerializeSeq as _};
use serde::{Serialize, Serializer};

use crate::domain::{ControlId, Digest, Environment, HostName, Identifier, ReleaseId};
use crate::plan::{HostPlan, Judged};
use crate::record::{
    ControlLine, Cost, EnrolSummary, Enrolled, HostEntry, HostResult, HostState, Installed, SCHEMA, Summary,
};
use crate::report::Report;
use crate::resource::Verdict;
use crate::transaction::Ended;
use crate::waiver::Exception;

/// An audit, a plan or an apply.
#[derive(Serialize, schemars::JsonSchema)]
pub(super) struct RunDocument<'a> {
    /// Version of the document's format.
    schema: u32,
    /// Version of palisade.
    tool: &'a str,
    /// Verb of the run: `audit`, `plan` or `apply`.
    verb: &'a str,
    /// Environment of the run; none for the machine that palisade runs on.
    environment: Option<Environment>,
    /// Id of the run.
    run: &'a Identifier,
    /// Exit code of the run.
    exit: u8,
    /// True where the run was told to end before its time.
    interrupted: bool,
    /// Counts of hosts and verdicts.
    summary: Summary,
    /// Controls that were judged, in the playbook's order.
    controls: &'a [ControlLine],
    /// Outcomes of the hosts, in the inventory's order.
    #[schemars(with = "Vec<JudgedHost<'static>>")]
    hosts: EachHost<'a, JudgedHost<'static>>,
    /// Folder of the run's record; none where no record is kept.
    evidence: Option<&'a str>,
}

/// The outcome of a host in an audit, a plan or an apply.
#[derive(Serialize, schemars::JsonSchema)]
pub(super) struct JudgedHost<'a> {
    /// Name of the host.
    host: &'a HostName,
    /// End of the host's part.
    #[serde(flatten)]
    state: &'a HostState,
    /// Verdicts of the controls that apply to the host, in the playbook's order.
    controls: Vec<JudgedControl<'a>>,
    /// Planned changes of the host; not in an audit.
    #[serde(skip_serializing_if = "Option::is_none")]
    plan: Option<Planned<'a>>,
    /// Sessions and connections that ended with the access of closed accounts and listeners.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    ended: &'a [Ended],
    /// Connections, execs, bytes.
    cost: Cost,
    /// Duration of the host's part, in milliseconds.
    milliseconds: u64,
    /// Time of the last look at the host.
    at: Timestamp,
}

/// The planned changes of a host; none where it could not be asked.
#[derive(Serialize, schemars::JsonSchema)]
#[serde(transparent)]
struct Planned<'a>(Option<&'a HostPlan>);

/// The verdict of a control on a host.
#[derive(Serialize, schemars::JsonSchema)]
pub(super) struct JudgedControl<'a> {
    /// Id of the control.
    id: ControlId,
    /// Title of the control.
    title: Option<&'a str>,
    /// Severity of the control.
    severity: Option<&'a str>,
    /// Verdict in one word: `compliant`, `drift`, `not-applicable`, `unknown` or `waived`.
    verdict: &'static str,
    /// Verdicts of the resources that the control stands for.
    evidence: Vec<&'a Judged>,
    /// Waiver that bears on the control.
    #[serde(skip_serializing_if = "Option::is_none")]
    waiver: Option<&'a Exception>,
}

/// The installation of a release.
#[derive(Serialize, schemars::JsonSchema)]
pub(super) struct InstallDocument<'a> {
    /// Version of the document's format.
    schema: u32,
    /// Version of palisade.
    tool: &'a str,
    /// Always `patch`.
    verb: &'a str,
    /// Name of the release.
    release: Option<&'a ReleaseId>,
    /// Digest of the release's file.
    sha256: Option<&'a Digest>,
    /// Environment of the run.
    environment: Option<Environment>,
    /// Id of the run.
    run: &'a Identifier,
    /// Exit code of the run.
    exit: u8,
    /// True where the run was told to end before its time.
    interrupted: bool,
    /// Outcomes of the hosts, in the inventory's order.
    #[schemars(with = "Vec<InstalledHost<'static>>")]
    hosts: EachHost<'a, InstalledHost<'static>>,
    /// Folder of the run's record.
    evidence: Option<&'a str>,
}

/// The outcome of a host on which a release was installed.
#[derive(Serialize, schemars::JsonSchema)]
pub(super) struct InstalledHost<'a> {
    /// Name of the host.
    host: &'a HostName,
    /// End of the host's part.
    #[serde(flatten)]
    state: &'a HostState,
    /// Effect of the release on the host.
    installed: &'a Installed,
    /// Connections, execs, bytes.
    cost: Cost,
    /// Duration of the host's part, in milliseconds.
    milliseconds: u64,
}

/// An enrolment.
#[derive(Serialize, schemars::JsonSchema)]
pub(super) struct EnrolDocument<'a> {
    /// Version of the document's format.
    schema: u32,
    /// Version of palisade.
    tool: &'a str,
    /// Always `enrol`.
    verb: &'a str,
    /// Environment of the run.
    environment: Option<Environment>,
    /// Id of the run.
    run: &'a Identifier,
    /// Exit code of the run.
    exit: u8,
    /// Counts of hosts by state.
    summary: EnrolSummary,
    /// Outcomes of the hosts, in the inventory's order.
    #[schemars(with = "Vec<Enrolled>")]
    hosts: EachHost<'a, Enrolled>,
    /// Connections to jump hosts, by host.
    jump_connections: &'a BTreeMap<HostName, u32>,
    /// Folder of the run's record.
    evidence: Option<&'a str>,
}

impl<'a> RunDocument<'a> {
    /// Of a report.
    pub(super) fn of(report: &'a Report) -> Self {
        let head = &report.head;
        Self {
            schema: SCHEMA,
            tool: &head.tool,
            verb: &head.verb,
            environment: head.environment,
            run: &head.run,
            exit: report.exit(),
            interrupted: head.interrupted,
            summary: report.tally().summary,
            controls: &head.controls,
            hosts: EachHost::of(report),
            evidence: head.evidence.as_deref(),
        }
    }
}

impl<'a> InstallDocument<'a> {
    /// Of a report.
    pub(super) fn of(report: &'a Report) -> Self {
        let head = &report.head;
        Self {
            schema: SCHEMA,
            tool: &head.tool,
            verb: &head.verb,
            release: head.release.as_ref().map(|release| &release.id),
            sha256: head.release.as_ref().map(|release| &release.sha256),
            environment: head.environment,
            run: &head.run,
            exit: report.exit(),
            interrupted: head.interrupted,
            hosts: EachHost::of(report),
            evidence: head.evidence.as_deref(),
        }
    }
}

impl<'a> EnrolDocument<'a> {
    /// Of a report.
    pub(super) fn of(report: &'a Report) -> Self {
        let head = &report.head;
        Self {
            schema: SCHEMA,
            tool: &head.tool,
            verb: &head.verb,
            environment: head.environment,
            run: &head.run,
            exit: report.exit(),
            summary: report.tally().enrolment,
            hosts: EachHost::of(report),
            jump_connections: &head.jump_connections,
            evidence: head.evidence.as_deref(),
        }
    }
}

/// The document of one host.
trait HostDocument {
    /// With what it borrows.
    type Of<'h>: Serialize;

    /// Of a host of a report; none where the report's hosts are of another sort.
    fn of<'h>(report: &'h Report, host: HostEntry<'h>) -> Option<Self::Of<'h>>;
}

impl HostDocument for JudgedHost<'static> {
    type Of<'h> = JudgedHost<'h>;

    fn of<'h>(report: &'h Report, host: HostEntry<'h>) -> Option<JudgedHost<'h>> {
        let HostEntry::Judged(result) = host else { return None };
        Some(JudgedHost {
            host: &result.host,
            state: &result.state,
            controls: controls(report, result),
            plan: (report.head.verb != "audit").then_some(Planned(result.plan.as_ref())),
            ended: &result.ended,
            cost: result.cost,
            milliseconds: result.milliseconds,
            at: result.at,
        })
    }
}

fn controls<'h>(report: &'h Report, result: &'h HostResult) -> Vec<JudgedControl<'h>> {
    let control = |(id, verdict): (ControlId, Verdict)| {
        let line = report.head.controls.iter().find(|line| line.id == id);
        JudgedControl {
            title: line.map(|line| line.title.as_str()),
            severity: line.map(|line| line.severity.as_str()),
            verdict: verdict.word(),
            evidence: result.judged.iter().filter(|judged| judged.controls.contains(&id)).collect(),
            waiver: result.waivers.iter().find(|waiver| waiver.control == id),
            id,
        }
    };
    result.verdicts().into_iter().map(control).collect()
}

impl HostDocument for InstalledHost<'static> {
    type Of<'h> = InstalledHost<'h>;

    fn of<'h>(_report: &'h Report, host: HostEntry<'h>) -> Option<InstalledHost<'h>> {
        let HostEntry::Installed(result, installed) = host else { return None };
        let HostResult { host, state, cost, milliseconds, .. } = result;
        Some(InstalledHost { host, state, installed, cost: *cost, milliseconds: *milliseconds })
    }
}

impl HostDocument for Enrolled {
    type Of<'h> = &'h Enrolled;

    fn of<'h>(_report: &'h Report, host: HostEntry<'h>) -> Option<&'h Enrolled> {
        match host {
            HostEntry::Enrolled(enrolled) => Some(enrolled),
            _ => None,
        }
    }
}

/// The hosts of a report, each made a document when its turn comes.
struct EachHost<'a, D> {
    report: &'a Report,
    document: PhantomData<D>,
}

impl<'a, D> EachHost<'a, D> {
    fn of(report: &'a Report) -> Self {
        Self { report, document: PhantomData }
    }
}

impl<D: HostDocument> Serialize for EachHost<'_, D> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut sequence = serializer.serialize_seq(None)?;
        let mut unwritten = None;
        let read = self.report.hosts().each(&mut |host| {
            // A visitor says that it ends, and not why: that is the serializer's own error.
            let mut write = |document: D::Of<'_>| {
                sequence.serialize_element(&document).map_err(|error| {
                    unwritten = Some(error);
                    io::Error::from(io::ErrorKind::WriteZero)
                })
            };
            D::of(self.report, host).map_or(Ok(()), &mut write)
        });
        match (unwritten, read) {
            (Some(error), _) => Err(error),
            (None, Err(error)) => Err(S::Error::custom(error)),
            (None, Ok(())) => sequence.end(),
        }
    }
}
