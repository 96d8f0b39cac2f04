//! The JSON Schema of what `--format json` prints, by verb.

use serde_json::{Map, Value, json};

use super::{calendar, checked, diff, failed, hosts, inventory, release, releases, run, runs, status};
use crate::schema::schema_of;

/// A sort of document that `--format json` prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    /// Of `audit`, its report, and a merge of audits.
    Audit,
    /// Of `plan`, its report, and a merge of plans.
    Plan,
    /// Of `apply`, its report, and a merge of applies.
    Apply,
    /// Of `enrol` and its report.
    Enrol,
    /// Of `patch plan`.
    PatchPlan,
    /// Of `patch show`.
    PatchShow,
    /// Of `patch announce`.
    PatchAnnounce,
    /// Of `patch apply` and its report.
    PatchApply,
    /// Of `patch status`.
    PatchStatus,
    /// Of `approve`.
    Approve,
    /// Of `retire`.
    Retire,
    /// Of `status`.
    Status,
    /// Of `unlock`.
    Unlock,
    /// Of `runs`.
    Runs,
    /// Of `diff`.
    Diff,
    /// Of `check`.
    Check,
    /// Of `inventory`.
    Inventory,
    /// Of `calendar`.
    Calendar,
    /// Of any verb that failed.
    Error,
}

impl Output {
    /// All of them.
    pub const ALL: [Self; 19] = [
        Self::Audit,
        Self::Plan,
        Self::Apply,
        Self::Enrol,
        Self::PatchPlan,
        Self::PatchShow,
        Self::PatchAnnounce,
        Self::PatchApply,
        Self::PatchStatus,
        Self::Approve,
        Self::Retire,
        Self::Status,
        Self::Unlock,
        Self::Runs,
        Self::Diff,
        Self::Check,
        Self::Inventory,
        Self::Calendar,
        Self::Error,
    ];

    /// The word on the command line: the verb, with a dash for the blank between two words.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Audit => "audit",
            Self::Plan => "plan",
            Self::Apply => "apply",
            Self::Enrol => "enrol",
            Self::PatchPlan => "patch-plan",
            Self::PatchShow => "patch-show",
            Self::PatchAnnounce => "patch-announce",
            Self::PatchApply => "patch-apply",
            Self::PatchStatus => "patch-status",
            Self::Approve => "approve",
            Self::Retire => "retire",
            Self::Status => "status",
            Self::Unlock => "unlock",
            Self::Runs => "runs",
            Self::Diff => "diff",
            Self::Check => "check",
            Self::Inventory => "inventory",
            Self::Calendar => "calendar",
            Self::Error => "error",
        }
    }

    /// The schema.
    pub fn document(self) -> Value {
        let title = match self {
            Self::Error => "palisade VERB --format json, where it fails".to_owned(),
            verb => format!("palisade {} --format json", verb.as_str().replace('-', " ")),
        };
        let title = title.as_str();
        let run = |verb: &str| {
            let about = "A run: its hosts and the verdicts of their controls.";
            let mut schema = schema_of::<run::RunDocument<'static>>(title, about);
            of_verb(&mut schema, verb);
            schema
        };
        match self {
            Self::Audit => run("audit"),
            Self::Plan => run("plan"),
            Self::Apply => run("apply"),
            Self::Enrol => {
                let about = "An enrolment: the outcome of each host.";
                let mut schema = schema_of::<run::EnrolDocument<'static>>(title, about);
                of_verb(&mut schema, "enrol");
                schema
            }
            Self::PatchApply => {
                let about = "The installation of a release: the outcome of each host.";
                let mut schema = schema_of::<run::InstallDocument<'static>>(title, about);
                of_verb(&mut schema, "patch");
                schema
            }
            Self::PatchPlan => {
                schema_of::<release::PlannedDocument<'static>>(title, "A release that was planned.")
            }
            Self::PatchShow => {
                schema_of::<release::ShownDocument<'static>>(title, "A release, and who signed it.")
            }
            Self::PatchAnnounce => {
                schema_of::<release::AnnouncedDocument<'static>>(title, "A notice of a maintenance.")
            }
            Self::PatchStatus => {
                schema_of::<releases::ReleasesDocument<'static>>(title, "The release that each host has.")
            }
            Self::Approve => schema_of::<release::ApprovedDocument<'static>>(
                title,
                "A release that is signed for an environment.",
            ),
            Self::Retire => schema_of::<hosts::RetireDocument<'static>>(title, "Hosts that were forgotten."),
            Self::Unlock => schema_of::<hosts::UnlockDocument<'static>>(title, "A host that was unlocked."),
            Self::Status => schema_of::<status::StatusDocument<'static>>(title, "The holder of each host."),
            Self::Runs => schema_of::<runs::RunsDocument<'static>>(title, "The runs of a project."),
            Self::Diff => schema_of::<diff::DiffDocument<'static>>(title, "The differences of two runs."),
            Self::Check => schema_of::<checked::CheckDocument<'static>>(title, "A project without refusals."),
            Self::Inventory => {
                schema_of::<inventory::InventoryDocument<'static>>(title, "An environment of the inventory.")
            }
            Self::Calendar => schema_of::<calendar::CalendarDocument<'static>>(title, "The coming releases."),
            Self::Error => schema_of::<failed::FailureDocument<'static>>(title, "The failure of a verb."),
        }
    }
}

/// Names the one verb of a document that several verbs share.
fn of_verb(schema: &mut Value, verb: &str) {
    let place = schema.get_mut("properties").and_then(|properties| properties.get_mut("verb"));
    if let Some(Value::Object(fields)) = place {
        let about = json!("Verb of the run.");
        *fields = Map::from_iter([("description".to_owned(), about), ("const".to_owned(), json!(verb))]);
    }
}
