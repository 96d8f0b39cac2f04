//! From what a run found to what people and programs read. It judges nothing: it counts, orders and words.

mod block;
mod plan_text;
mod text;

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Value, json};

pub use plan_text::{Depth, plan, scripts};
pub use text::{audit, change, hints};

use crate::domain::{ControlId, Environment, Identifier};
use crate::plan;
use crate::record::{ControlLine, HostResult, HostState, RunRecord};
use crate::resource::Verdict;

/// How a report is laid out for a terminal.
#[derive(Debug, Clone, Copy)]
pub struct View {
    /// Characters on a line.
    pub width: usize,
    /// Everything, however long.
    pub all: bool,
}

/// A run, as reports see it.
#[derive(Debug, Clone)]
pub struct Report {
    /// `audit`, `plan` or `apply`.
    pub verb: String,
    /// Which environment; none for the machine that palisade runs on.
    pub environment: Option<Environment>,
    /// The run's id.
    pub run: Identifier,
    /// palisade's version.
    pub tool: String,
    /// The playbook's controls.
    pub controls: Vec<ControlLine>,
    /// One per host, in the inventory's order.
    pub results: Vec<HostResult>,
    /// Whether it was told to end before its time; then it failed, unless every host was done already.
    pub interrupted: bool,
    /// Where the evidence lies.
    pub evidence: Option<String>,
}

/// The counts that every report begins with. `total` is hosts × controls; `evaluated` those with a verdict that says
/// something: compliant, drift, or drift that is waived.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Hosts that were selected.
    pub hosts: usize,
    /// Verdicts that were asked for.
    pub total: usize,
    /// Of which evaluated.
    pub evaluated: usize,
    /// As declared.
    pub compliant: usize,
    /// Not as declared.
    pub drift: usize,
    /// Not read.
    pub unknown: usize,
    /// Where the question does not arise.
    pub not_applicable: usize,
    /// Not as declared, and accepted until a day.
    pub waived: usize,
}

impl Report {
    /// What a record says, as the run itself showed it. `evidence` is where the record lies.
    pub fn of(record: RunRecord, evidence: String) -> Self {
        let RunRecord { header, hosts, end } = record;
        Self {
            verb: header.verb,
            environment: Some(header.environment),
            run: header.run,
            tool: header.tool,
            controls: header.controls,
            results: hosts,
            interrupted: end.interrupted,
            evidence: Some(evidence),
        }
    }

    /// The verdict of each control on one host, in the playbook's order.
    pub fn verdicts(&self, result: &HostResult) -> Vec<(ControlId, Verdict)> {
        plan::verdicts(&result.controls, &result.judged, &result.waivers)
    }

    /// The counts.
    pub fn summary(&self) -> Summary {
        let mut summary = Summary { hosts: self.results.len(), ..Summary::default() };
        for (_, verdict) in self.results.iter().flat_map(|result| self.verdicts(result)) {
            summary.total += 1;
            match verdict {
                Verdict::Compliant { .. } => summary.compliant += 1,
                Verdict::Drift { .. } => summary.drift += 1,
                Verdict::Unknown { .. } => summary.unknown += 1,
                Verdict::NotApplicable { .. } => summary.not_applicable += 1,
                Verdict::Waived { .. } => summary.waived += 1,
            }
        }
        summary.evaluated = summary.compliant + summary.drift + summary.waived;
        summary
    }

    /// The exit code: the first of 1, 5, 6, 4, 3 that holds, else 0.
    pub fn exit(&self) -> u8 {
        let any = |wanted: fn(&HostState) -> bool| self.results.iter().any(|result| wanted(&result.state));
        let summary = self.summary();
        // What is declared is not what a release is about: what it made worse is a failure of the host's.
        let judges = self.verb != "patch";
        let undone = |state: &HostState| !matches!(state, HostState::Answered | HostState::Changed);
        let cut_short = self.interrupted && self.results.iter().any(|result| undone(&result.state));
        if cut_short || any(|state| matches!(state, HostState::Failed { .. })) {
            1
        } else if any(|state| matches!(state, HostState::RolledBack { .. })) {
            5
        } else if any(|state| matches!(state, HostState::Refused { .. })) || self.obstructed() {
            6
        } else if any(|state| {
            matches!(
                state,
                HostState::Unreachable { .. } | HostState::Incomplete { .. } | HostState::NotStarted { .. }
            )
        }) || (judges && summary.unknown > 0)
        {
            4
        } else if (judges && summary.drift > 0) || (self.verb == "plan" && self.changes()) {
            3
        } else {
            0
        }
    }

    fn changes(&self) -> bool {
        self.results.iter().any(|result| result.plan.as_ref().is_some_and(|plan| !plan.is_empty()))
    }

    fn obstructed(&self) -> bool {
        self.verb == "plan"
            && self.results.iter().any(|result| {
                result.plan.as_ref().is_some_and(|plan| {
                    plan.obstacles.iter().any(|obstacle| !matches!(obstacle, plan::Obstacle::Unread { .. }))
                })
            })
    }

    /// One JSON document.
    pub fn json(&self) -> Value {
        let by_id: BTreeMap<&ControlId, &ControlLine> =
            self.controls.iter().map(|line| (&line.id, line)).collect();
        let hosts: Vec<Value> = self
            .results
            .iter()
            .map(|result| {
                let controls: Vec<Value> = self
                    .verdicts(result)
                    .into_iter()
                    .map(|(id, verdict)| {
                        let evidence: Vec<Value> = result
                            .judged
                            .iter()
                            .filter(|judged| judged.controls.contains(&id))
                            .map(|judged| json!(judged))
                            .collect();
                        let line = by_id.get(&id);
                        let mut control = json!({
                            "id": id,
                            "title": line.map(|line| &line.title),
                            "severity": line.map(|line| &line.severity),
                            "verdict": verdict.word(),
                            "evidence": evidence,
                        });
                        let waiver = result.waivers.iter().find(|waiver| waiver.control == id);
                        if let (Some(fields), Some(waiver)) = (control.as_object_mut(), waiver) {
                            fields.insert("waiver".to_owned(), json!(waiver));
                        }
                        control
                    })
                    .collect();
                let mut host = serde_json::Map::new();
                host.insert("host".to_owned(), json!(result.host));
                if let Value::Object(state) = json!(result.state) {
                    host.extend(state);
                }
                host.insert("controls".to_owned(), json!(controls));
                if self.verb != "audit" {
                    host.insert("plan".to_owned(), json!(result.plan));
                }
                if !result.ended.is_empty() {
                    host.insert("ended".to_owned(), json!(result.ended));
                }
                host.insert("cost".to_owned(), json!(result.cost));
                host.insert("milliseconds".to_owned(), json!(result.milliseconds));
                host.insert("at".to_owned(), json!(result.at));
                Value::Object(host)
            })
            .collect();
        json!({
            "schema": crate::record::SCHEMA,
            "tool": self.tool,
            "verb": self.verb,
            "environment": self.environment,
            "run": self.run,
            "exit": self.exit(),
            "interrupted": self.interrupted,
            "summary": self.summary(),
            "controls": self.controls,
            "hosts": hosts,
            "evidence": self.evidence,
        })
    }
}
