//! Controls as values, and the selection of some of them.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{Framework, Promise, Proof, Reference};
use crate::domain::{ControlId, RoleName, TemplateName};
use crate::kinds::Declaration;

/// Where a project's playbooks stand.
pub const DIRECTORY: &str = "playbooks";

/// All controls, in the order in which they stand.
#[derive(Debug, Clone, Serialize)]
pub struct Playbook {
    /// Each id once.
    pub controls: Vec<Control>,
    /// Built-in controls that the project's own files leave out. Reports say so.
    pub left_out: Vec<ControlId>,
    /// Where each stands.
    #[serde(skip)]
    pub(super) places: BTreeMap<ControlId, Location>,
}

/// A file and a line of it, from 1.
pub(super) type Location = (String, usize);

impl Playbook {
    /// The control of this id.
    pub fn control(&self, id: &ControlId) -> Option<&Control> {
        self.controls.iter().find(|control| control.id == *id)
    }

    /// The file and the line of a control.
    pub fn place(&self, id: &ControlId) -> (&str, usize) {
        self.places.get(id).map_or((DIRECTORY, 1), |(file, line)| (file, *line))
    }

    /// The controls of these ids, in the playbook's order; all of them where there is no id. An id that no control has
    /// is refused.
    pub fn select(&self, ids: &[ControlId]) -> Result<Vec<&Control>, UnknownControl> {
        if let Some(unknown) = ids.iter().find(|id| self.control(id).is_none()) {
            let known = || self.controls.iter().map(|control| control.id.as_str());
            let fix = match crate::text::nearest(unknown.as_str(), known()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("there is: {}", known().collect::<Vec<_>>().join(", ")),
            };
            return Err(UnknownControl { id: unknown.clone(), fix });
        }
        Ok(self.controls.iter().filter(|control| ids.is_empty() || ids.contains(&control.id)).collect())
    }

    /// The controls that must be enforced together with `selected`, and are not among them: where keys lie and where sshd
    /// looks for them change in one transaction, or somebody is left outside.
    pub fn left_behind(&self, selected: &[Control]) -> Vec<&ControlId> {
        if !selected.iter().any(Control::decides_who_enters) {
            return Vec::new();
        }
        let others = self.controls.iter().filter(|control| control.decides_who_enters());
        others
            .filter(|control| !selected.iter().any(|one| one.id == control.id))
            .map(|control| &control.id)
            .collect()
    }

    /// Every template that a control names, with the control.
    pub fn templates(&self) -> impl Iterator<Item = (&TemplateName, &Control)> {
        self.controls.iter().flat_map(|control| {
            control.declarations().filter_map(move |declaration| Some((declaration.template()?, control)))
        })
    }
}

/// Why a selection of controls was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no control `{id}`; {fix}")]
pub struct UnknownControl {
    /// What was asked for.
    pub id: ControlId,
    /// What may have been meant.
    pub fix: String,
}

/// One promise made precise.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Control {
    /// By which it is called.
    pub id: ControlId,
    /// One sentence.
    pub title: String,
    /// The sentence of the security page that it serves.
    pub promise: Promise,
    /// How bad it is when it fails.
    pub severity: Severity,
    /// Why it is asked for.
    pub rationale: String,
    /// What frameworks ask for it.
    pub references: BTreeMap<Framework, Vec<Reference>>,
    /// Where it applies.
    pub hosts: Hosts,
    /// What palisade makes so, and keeps so.
    pub enforce: Vec<Declaration>,
    /// What palisade looks at only.
    pub check: Vec<Declaration>,
    /// What palisade observes from outside.
    pub prove: Vec<Proof>,
    /// What a person does about a failure.
    pub remediation: String,
    /// Whose it is.
    pub origin: Origin,
}

impl Control {
    /// Whether it enforces keys, or what sshd makes of them.
    fn decides_who_enters(&self) -> bool {
        // What the lockout needs of sshd says what is written down and who is slowed, not who gets in.
        let lockout = self.enforce.contains(&Declaration::Lockout(()));
        let excused = |one: &Declaration| lockout && matches!(one, Declaration::File(_));
        self.enforce.iter().any(|one| one.decides_access() && !excused(one))
    }

    /// What it enforces, then what it checks.
    pub fn declarations(&self) -> impl Iterator<Item = &Declaration> {
        self.enforce.iter().chain(&self.check)
    }
}

/// How bad a failure is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth knowing.
    Low,
    /// To be mended in time.
    Medium,
    /// To be mended soon.
    High,
    /// To be mended now.
    Critical,
}

impl Severity {
    /// The word in playbooks and reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }
}

/// Where a control applies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Hosts {
    /// On every host.
    All,
    /// On the hosts of a role.
    Role(RoleName),
}

/// Whose a control or template is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// As palisade comes.
    Builtin,
    /// The project's own.
    Project,
    /// Of the same name as a built-in one, and different.
    Changed,
}

impl Origin {
    /// The word in reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Builtin => "builtin",
            Self::Project => "project",
            Self::Changed => "changed",
        }
    }
}
