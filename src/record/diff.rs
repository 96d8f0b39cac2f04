//! Two runs compared: what became better, worse, new or gone, by control and host. Of the earlier run it keeps a byte for
//! each verdict, and of the later one what differs; findings stand in the records.

use std::collections::{BTreeMap, HashMap};
use std::io;

use serde::Serialize;

use super::{Header, HostEntry, HostResult, Hosts};
use crate::domain::{ControlId, HostName};
use crate::resource::Verdict;

/// Verbs whose runs judge hosts by what is declared.
const JUDGED: [&str; 3] = ["audit", "plan", "apply"];

/// A verdict in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Word {
    /// As declared.
    Compliant,
    /// Of a control that does not apply.
    NotApplicable,
    /// Not as declared, and accepted.
    Waived,
    /// Not as declared.
    Drift,
    /// Not read.
    Unknown,
}

impl Word {
    fn of(verdict: &Verdict) -> Self {
        match verdict {
            Verdict::Compliant { .. } => Self::Compliant,
            Verdict::NotApplicable { .. } => Self::NotApplicable,
            Verdict::Waived { .. } => Self::Waived,
            Verdict::Drift { .. } => Self::Drift,
            Verdict::Unknown { .. } => Self::Unknown,
        }
    }

    /// The word, as in reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Compliant => "compliant",
            Self::NotApplicable => "not-applicable",
            Self::Waived => "waived",
            Self::Drift => "drift",
            Self::Unknown => "unknown",
        }
    }

    /// How bad it is: unknown before drift before what is accepted, as of the resources of a control.
    fn weight(self) -> u8 {
        match self {
            Self::Compliant | Self::NotApplicable => 0,
            Self::Waived => 1,
            Self::Drift => 2,
            Self::Unknown => 3,
        }
    }
}

/// The direction of a difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    /// A verdict that is worse in the later run.
    Worse,
    /// A verdict that the earlier run does not have.
    New,
    /// A verdict that is another one, and neither better nor worse.
    Changed,
    /// A verdict that is better in the later run.
    Better,
    /// A verdict that the later run does not have.
    Gone,
}

impl Direction {
    /// All of them, in the order in which they are shown.
    pub const ALL: [Self; 5] = [Self::Worse, Self::New, Self::Changed, Self::Better, Self::Gone];

    /// The word, as in reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Worse => "worse",
            Self::New => "new",
            Self::Changed => "changed",
            Self::Better => "better",
            Self::Gone => "gone",
        }
    }

    fn of(before: Option<Word>, after: Option<Word>) -> Option<Self> {
        match (before, after) {
            (None, None) => None,
            (None, Some(_)) => Some(Self::New),
            (Some(_), None) => Some(Self::Gone),
            (Some(before), Some(after)) if before == after => None,
            (Some(before), Some(after)) => Some(match before.weight().cmp(&after.weight()) {
                std::cmp::Ordering::Less => Self::Worse,
                std::cmp::Ordering::Equal => Self::Changed,
                std::cmp::Ordering::Greater => Self::Better,
            }),
        }
    }
}

/// Hosts on which the verdict of a control differs in the same way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Difference {
    /// Direction of the difference.
    pub change: Direction,
    /// Id of the control.
    pub control: ControlId,
    /// Verdict in the earlier run; none where it has none.
    pub before: Option<Word>,
    /// Verdict in the later run; none where it has none.
    pub after: Option<Word>,
    /// Names of the hosts, in the later run's order.
    pub hosts: Vec<HostName>,
}

/// Counts of verdicts, by the direction of their difference.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct DiffSummary {
    /// Number of verdicts that are the same.
    pub same: usize,
    /// Number of verdicts that are worse.
    pub worse: usize,
    /// Number of verdicts that only the later run has.
    pub new: usize,
    /// Number of verdicts that are others, and neither better nor worse.
    pub changed: usize,
    /// Number of verdicts that are better.
    pub better: usize,
    /// Number of verdicts that only the earlier run has.
    pub gone: usize,
}

/// What differs between two runs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Diff {
    /// Counts of verdicts.
    pub summary: DiffSummary,
    /// Differences: the worse ones first, then by control.
    pub differences: Vec<Difference>,
}

/// Why two runs are not compared.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Incomparable {
    /// A run that judges nothing.
    #[error("{0} is a run of `{1}`, which judges no controls: audits, plans and applies are compared")]
    Verb(String, String),
    /// Runs of two environments.
    #[error("{0} is about {1}, and {2} about {3}")]
    Environment(String, String, String, String),
}

impl Diff {
    /// From the `earlier` run to the `later` one. Hosts of each pass by once.
    pub fn between(
        (before, earlier): (&Header, &dyn Hosts),
        (after, later): (&Header, &dyn Hosts),
    ) -> io::Result<Self> {
        let mut controls = Controls::default();
        for line in after.controls.iter().chain(&before.controls) {
            controls.place(&line.id);
        }
        let mut known: BTreeMap<HostName, Vec<Option<Word>>> = BTreeMap::new();
        each(earlier, &mut |result| {
            known.insert(result.host.clone(), controls.words(result));
        })?;
        let mut found = Found::default();
        each(later, &mut |result| {
            let before = known.remove(&result.host).unwrap_or_default();
            found.host(&result.host, &before, &controls.words(result));
        })?;
        for (host, before) in &known {
            found.host(host, before, &[]);
        }
        let differences = found.groups.into_iter().filter_map(|((change, place, before, after), hosts)| {
            let control = controls.ids.get(place)?.clone();
            Some(Difference { change, control, before, after, hosts })
        });
        Ok(Self { summary: found.summary, differences: differences.collect() })
    }

    /// 3 where something is worse, or new and not as declared; else 0.
    pub fn exit(&self) -> u8 {
        let bad = |one: &Difference| {
            let is_drift = one.after.is_some_and(|after| after >= Word::Drift);
            one.change == Direction::Worse || one.change == Direction::New && is_drift
        };
        if self.differences.iter().any(bad) { 3 } else { 0 }
    }
}

/// Whether two runs can be compared.
pub fn comparable(before: &Header, after: &Header) -> Result<(), Incomparable> {
    for header in [before, after] {
        if !JUDGED.contains(&header.verb.as_str()) {
            return Err(Incomparable::Verb(header.run.to_string(), header.verb.clone()));
        }
    }
    if before.environment != after.environment {
        return Err(Incomparable::Environment(
            before.run.to_string(),
            before.environment.to_string(),
            after.run.to_string(),
            after.environment.to_string(),
        ));
    }
    Ok(())
}

fn each(hosts: &dyn Hosts, visit: &mut dyn FnMut(&HostResult)) -> io::Result<()> {
    hosts.each(&mut |host| {
        if let HostEntry::Judged(result) = host {
            visit(result);
        }
        Ok(())
    })
}

/// Controls, each with its place.
#[derive(Default)]
struct Controls {
    ids: Vec<ControlId>,
    places: HashMap<ControlId, usize>,
}

impl Controls {
    fn place(&mut self, id: &ControlId) -> usize {
        if let Some(place) = self.places.get(id) {
            return *place;
        }
        let place = self.ids.len();
        self.ids.push(id.clone());
        self.places.insert(id.clone(), place);
        place
    }

    /// The verdicts of a host, by the places of their controls.
    fn words(&mut self, result: &HostResult) -> Vec<Option<Word>> {
        let mut words = Vec::with_capacity(self.ids.len());
        for (id, verdict) in result.verdicts() {
            let place = self.place(&id);
            if words.len() <= place {
                words.resize(place + 1, None);
            }
            if let Some(word) = words.get_mut(place) {
                *word = Some(Word::of(&verdict));
            }
        }
        words
    }
}

/// A direction, the place of a control, and its verdicts before and after.
type Kind = (Direction, usize, Option<Word>, Option<Word>);

/// What differs, as it is found.
#[derive(Default)]
struct Found {
    summary: DiffSummary,
    groups: BTreeMap<Kind, Vec<HostName>>,
}

impl Found {
    fn host(&mut self, host: &HostName, before: &[Option<Word>], after: &[Option<Word>]) {
        for place in 0..before.len().max(after.len()) {
            let at = |words: &[Option<Word>]| words.get(place).copied().flatten();
            let (before, after) = (at(before), at(after));
            let count = match Direction::of(before, after) {
                None if before.is_none() => continue,
                None => &mut self.summary.same,
                Some(direction) => {
                    self.groups.entry((direction, place, before, after)).or_default().push(host.clone());
                    match direction {
                        Direction::Worse => &mut self.summary.worse,
                        Direction::New => &mut self.summary.new,
                        Direction::Changed => &mut self.summary.changed,
                        Direction::Better => &mut self.summary.better,
                        Direction::Gone => &mut self.summary.gone,
                    }
                }
            };
            *count += 1;
        }
    }
}
