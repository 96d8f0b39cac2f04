//! Which releases a host has, by the journals that it keeps of them, and whether it is overdue: [`standing`] says so to the
//! `patching` control, to `palisade patch status`, and to nobody else differently. It installs nothing.
//!
//! A host is overdue when the window of a release was over since the host was enrolled, and neither that release nor a
//! later regular one was completed there. A release out of turn takes the place of none.

mod declare;

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::calendar::Turn;
use crate::domain::ReleaseId;
use crate::journal::{self, Broken, Completion, Journal, Reason, State};
use crate::resource::{Defeated, Frame, Kind, Question, Reading, Step, Unread, Verdict, parts};
use crate::shell::{Arg, Perl};
use crate::text::from_base64;

/// The releases that a host shall have. One per host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Releases {
    /// The turns of its environment around today, oldest first; none where the inventory does not say when releases come.
    pub turns: Option<Vec<Turn>>,
    /// Time at which the host was enrolled; releases that were due before it do not count.
    #[serde(default)]
    pub enrolled: Option<Timestamp>,
}

/// What a host keeps of each release, by name; those that nobody began are there too.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[serde(transparent)]
pub struct History(BTreeMap<ReleaseId, Result<Journal, Broken>>);

/// A release that was completed on a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Completed {
    /// The release.
    pub release: ReleaseId,
    /// How it was completed, and when.
    #[serde(flatten)]
    pub completion: Completion,
}

/// A release that was begun on a host and is not done, or whose journal cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Unfinished {
    /// The release.
    pub release: ReleaseId,
    /// State of the release; none where its journal is broken.
    pub state: Option<State>,
    /// True where the host waits for a reboot that was asked for.
    pub awaits_reboot: bool,
    /// State in words.
    pub words: String,
}

/// Something that did without window, soak and notice, and has not been followed by a regular release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Emergency {
    /// The release.
    pub release: ReleaseId,
    /// Why, as it was given; none where the host was not told.
    pub reason: Option<Reason>,
}

/// Whether a host has what it shall have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[serde(tag = "standing", rename_all = "kebab-case")]
pub enum Timeliness {
    /// The release whose window was over last is there, or a later one.
    Current,
    /// No window was over yet since the host was enrolled.
    NotDue,
    /// The window of `release` was over, and it is not there.
    Overdue {
        /// The newest such.
        release: ReleaseId,
        /// End of its window.
        since: Timestamp,
    },
    /// The journal that would say it cannot be read.
    Unknown {
        /// The reason.
        reason: String,
    },
}

/// How a host stands against the calendar.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Standing {
    /// Whether it is in time.
    #[serde(flatten)]
    pub timeliness: Timeliness,
    /// The newest regular release that was completed.
    pub has: Option<Completed>,
    /// The release of which the window comes next, or is open.
    pub next: Option<Turn>,
    /// Releases later than that, out of turn ones too, that are not done.
    pub unfinished: Vec<Unfinished>,
    /// Releases that did without window, soak and notice since.
    pub emergencies: Vec<Emergency>,
}

impl History {
    /// What it keeps of `release`; none where there is no journal of it.
    pub fn of(&self, release: &ReleaseId) -> Option<&Result<Journal, Broken>> {
        self.0.get(release)
    }

    /// The same for all, oldest first.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&ReleaseId, &Result<Journal, Broken>)> {
        self.0.iter()
    }
}

impl FromIterator<(ReleaseId, Result<Journal, Broken>)> for History {
    fn from_iter<I: IntoIterator<Item = (ReleaseId, Result<Journal, Broken>)>>(all: I) -> Self {
        Self(all.into_iter().collect())
    }
}

/// How a host with this history stands at `now`, by the turns of its environment since it was enrolled.
pub fn standing(turns: &[Turn], enrolled: Option<Timestamp>, history: &History, now: Timestamp) -> Standing {
    let due = turns.iter().rev().find(|turn| turn.closes <= now);
    let due = due.filter(|turn| enrolled.is_none_or(|enrolled| enrolled < turn.closes));
    let next = turns.iter().find(|turn| now < turn.closes).cloned();
    let has = history.iter().rev().filter(|(id, _)| !id.is_emergency()).find_map(|(id, kept)| {
        let completion = kept.as_ref().ok()?.completion()?;
        Some(Completed { release: id.clone(), completion })
    });
    let later = |id: &ReleaseId, kept: &Result<Journal, Broken>| {
        has.as_ref().is_none_or(|has| *id > has.release || is_after(kept, has.completion.at))
    };
    let unfinished: Vec<Unfinished> = history
        .iter()
        .filter(|(id, kept)| later(id, kept))
        .filter_map(|(id, kept)| unfinished(id, kept))
        .collect();
    let regular = history.iter().rev().filter(|(id, _)| !id.is_emergency()).find_map(|(id, kept)| {
        let journal = kept.as_ref().ok().filter(|journal| journal.emergency().is_none())?;
        Some((id, journal.completion()?.at))
    });
    let emergencies = history
        .iter()
        .filter(|(id, kept)| regular.is_none_or(|(regular, at)| *id > regular || is_after(kept, at)))
        .filter_map(|(id, kept)| {
            let reason = kept.as_ref().ok().and_then(Journal::emergency).cloned();
            (reason.is_some() || id.is_emergency()).then(|| Emergency { release: id.clone(), reason })
        })
        .collect();
    let timeliness = match due {
        None => Timeliness::NotDue,
        Some(due) if has.as_ref().is_some_and(|has| has.release >= due.release) => Timeliness::Current,
        // A journal that cannot be read may be the one that says that it was completed.
        Some(due) => match unfinished.iter().find(|one| one.state.is_none() && one.release >= due.release) {
            Some(broken) => Timeliness::Unknown { reason: broken.words.clone() },
            None => Timeliness::Overdue { release: due.release.clone(), since: due.closes },
        },
    };
    Standing { timeliness, has, next, unfinished, emergencies }
}

/// Whether something was done with a release later than at `moment`. Names do not tell: a regular release bears the day of its
/// window in prod, which may be weeks to come when dev has it, and one out of turn the day on which it was planned.
fn is_after(kept: &Result<Journal, Broken>, moment: Timestamp) -> bool {
    kept.as_ref().is_ok_and(|journal| journal.entries().last().is_some_and(|last| last.at > moment))
}

fn unfinished(id: &ReleaseId, kept: &Result<Journal, Broken>) -> Option<Unfinished> {
    let (state, awaits_reboot, words) = match kept {
        Err(broken) => (None, false, format!("release {id}: {broken}")),
        Ok(journal) => {
            let words = match journal.state() {
                State::Completed(_) | State::Untouched => return None,
                State::Failed { word, reason, since } => {
                    format!("release {id} failed {} ({word}): {reason}", moment(since))
                }
                State::Underway { after, since } => {
                    format!(
                        "release {id} is not done: the last that is known is `{after}`, {}",
                        moment(since)
                    )
                }
            };
            (Some(journal.state()), journal.awaits_reboot(), words)
        }
    };
    Some(Unfinished { release: id.clone(), state, awaits_reboot, words })
}

/// For people, in UTC.
fn moment(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M UTC").to_string()
}

impl Standing {
    /// What keeps the host from being as it shall be, each on its own.
    pub fn findings(&self) -> Vec<String> {
        let Timeliness::Overdue { release, since } = &self.timeliness else { return Vec::new() };
        let mut findings =
            vec![format!("release {release} is overdue: its window was over {}", moment(*since))];
        findings.extend(self.unfinished.iter().map(|one| one.words.clone()));
        findings
    }

    /// What is worth knowing all the same.
    pub fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if let Some(Completed { release, completion }) = &self.has {
            let (at, by) = (moment(completion.at), &completion.by);
            notes.push(format!("has release {release}, completed {at} by {by}"));
        }
        if matches!(self.timeliness, Timeliness::NotDue) {
            notes.push(match &self.next {
                Some(next) => format!(
                    "no window was over since the host was enrolled: release {} is due {}",
                    next.release,
                    moment(next.closes)
                ),
                None => "no window was over since the host was enrolled".to_owned(),
            });
        }
        notes.extend(self.emergencies.iter().map(|one| match &one.reason {
            Some(reason) => format!("release {} came out of turn: {reason}", one.release),
            None => format!("release {} came out of turn", one.release),
        }));
        notes.extend(self.unfinished.iter().map(|one| one.words.clone()));
        notes
    }
}

impl Kind for Releases {
    type Answer = History;

    const STAYS: bool = true;

    fn question(_all: &[&Self]) -> Question {
        question()
    }

    fn read(all: &[&Self], frame: &Frame) -> Vec<Reading<History>> {
        let reading = read(frame);
        all.iter().map(|_| reading.clone()).collect()
    }

    fn judge(&self, answer: &History, now: Timestamp) -> Verdict {
        let Some(turns) = &self.turns else {
            let reason = "no inventory says when releases come (`release:` in inventories/fleet.yaml)";
            return Verdict::NotApplicable { reason: reason.to_owned() };
        };
        let standing = standing(turns, self.enrolled, answer, now);
        match &standing.timeliness {
            Timeliness::Unknown { reason } => Verdict::Unknown { reason: reason.clone() },
            Timeliness::Overdue { .. } => Verdict::Drift { findings: standing.findings() },
            Timeliness::Current | Timeliness::NotDue => Verdict::Compliant { notes: standing.notes() },
        }
    }

    fn remedy(&self, _answer: &History) -> Result<Vec<Step>, Defeated> {
        Ok(Vec::new())
    }

    fn name(&self) -> String {
        "releases".to_owned()
    }
}

/// Asks for a [`History`]: the journals byte by byte, since a line without its end means something.
pub fn question() -> Question {
    let body = Perl::new(include_str!("question.pl"))
        .given("folder", [Arg::word(journal::DIRECTORY)])
        .given("file", [Arg::word(journal::FILE)])
        .into();
    Question { label: "releases", body, seconds: 20, cap: 4 << 20 }
}

/// The answer.
pub fn read(frame: &Frame) -> Reading<History> {
    let part = parts::succeeded(frame, "journals")?;
    let mut lines: Vec<&str> = part.lines().collect();
    if lines.pop() != Some("looked") {
        return Err(Unread("the host did not say which releases it has".to_owned()));
    }
    let mut history = BTreeMap::new();
    for line in lines {
        let foreign = || {
            Unread(format!(
                "{} holds what palisade did not put there: {}",
                journal::DIRECTORY,
                parts::line(line)
            ))
        };
        let (word, rest) = line.split_once(' ').ok_or_else(foreign)?;
        let (id, bytes) = match word {
            "journal" => rest.split_once(' ').ok_or_else(foreign)?,
            "none" => (rest, ""),
            _ => return Err(foreign()),
        };
        let id: ReleaseId = id.parse().map_err(|_| foreign())?;
        let bytes = from_base64(bytes).ok_or_else(foreign)?;
        if history.insert(id, Journal::parse(&bytes)).is_some() {
            return Err(foreign());
        }
    }
    Ok(History(history))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOOT: &str = "11111111-2222-3333-4444-555555555555";

    fn turns() -> Vec<Turn> {
        let turn = |release: &str, opens: &str, closes: &str| Turn {
            release: release.parse().unwrap(),
            opens: opens.parse().unwrap(),
            closes: closes.parse().unwrap(),
        };
        vec![
            turn("2026-11-28", "2026-11-28T21:00:00Z", "2026-11-29T01:00:00Z"),
            turn("2026-12-26", "2026-12-26T21:00:00Z", "2026-12-27T01:00:00Z"),
        ]
    }

    /// A release by its name, and how its journal ends.
    fn history(all: &[(&str, &str)]) -> History {
        let digest = "a".repeat(64);
        let kept = |(id, end): &(&str, &str)| {
            let begun = format!("begun {digest} alice r-1");
            let events: Vec<&str> = match *end {
                "completed" => vec![&begun, "installed", "checked", "completed"],
                "hasty" => vec![&begun, "emergency exploited", "installed", "checked", "completed"],
                "failed" => vec![&begun, "failed disk-full no space left on /var"],
                "begun" => vec![&begun],
                "" => vec![],
                _ => vec!["completed"],
            };
            let lines = events.iter().map(|event| format!("1795903200 {BOOT} {event}\n"));
            let text = lines.collect::<Vec<_>>().concat();
            (id.parse().unwrap(), Journal::parse(text.as_bytes()))
        };
        all.iter().map(kept).collect()
    }

    fn word(enrolled: &str, all: &[(&str, &str)], now: &str) -> String {
        let standing = standing(&turns(), enrolled.parse().ok(), &history(all), now.parse().unwrap());
        match standing.timeliness {
            Timeliness::Current => "current".to_owned(),
            Timeliness::NotDue => "not due".to_owned(),
            Timeliness::Overdue { release, .. } => format!("overdue {release}"),
            Timeliness::Unknown { reason } => reason,
        }
    }

    #[test]
    fn a_host_is_overdue_once_a_window_was_over_without_its_release() {
        let (early, open, over, next) =
            ("2026-11-28T20:59:59Z", "2026-11-29T00:59:59Z", "2026-11-29T01:00:00Z", "2026-12-27T01:00:00Z");
        for (enrolled, all, now, expected) in [
            ("2026-11-01T00:00:00Z", &[][..], early, "not due"),
            ("2026-11-01T00:00:00Z", &[], open, "not due"),
            ("2026-11-01T00:00:00Z", &[], over, "overdue 2026-11-28"),
            ("never", &[], over, "overdue 2026-11-28"),
            ("2026-11-29T01:00:00Z", &[], over, "not due"),
            ("2026-11-29T01:00:00Z", &[], next, "overdue 2026-12-26"),
            ("2026-11-01T00:00:00Z", &[("2026-11-28", "completed")], over, "current"),
            ("2026-11-01T00:00:00Z", &[("2026-11-28", "hasty")], over, "current"),
            ("2026-11-01T00:00:00Z", &[("2026-12-26", "completed")], over, "current"),
            ("2026-11-01T00:00:00Z", &[("2026-11-28", "completed")], next, "overdue 2026-12-26"),
            ("2026-11-01T00:00:00Z", &[("2026-12-01-emergency", "completed")], over, "overdue 2026-11-28"),
            ("2026-11-01T00:00:00Z", &[("2026-11-28", "failed")], over, "overdue 2026-11-28"),
            ("2026-11-01T00:00:00Z", &[("2026-11-28", "begun")], over, "overdue 2026-11-28"),
            ("2026-11-01T00:00:00Z", &[("2026-11-28", "")], over, "overdue 2026-11-28"),
        ] {
            assert_eq!(word(enrolled, all, now), expected, "{all:?} at {now}");
        }
        let broken = word("never", &[("2026-11-28", "nonsense")], over);
        assert!(broken.contains("release 2026-11-28: its journal is not as palisade writes it"), "{broken}");
        assert_eq!(
            word("never", &[("2026-11-28", "nonsense"), ("2026-12-26", "completed")], over),
            "current"
        );
        assert_eq!(word("never", &[("2026-10-31", "nonsense")], over), "overdue 2026-11-28");
    }

    #[test]
    fn what_came_out_of_turn_is_shown_until_the_next_regular_release() {
        let shown = |all: &[(&str, &str)]| {
            let standing = standing(&turns(), None, &history(all), "2027-01-01T00:00:00Z".parse().unwrap());
            standing.emergencies.iter().map(|one| one.release.to_string()).collect::<Vec<_>>()
        };
        let both = [("2026-11-28", "completed"), ("2026-12-03-emergency", "completed")];
        assert_eq!(shown(&both), ["2026-12-03-emergency"]);
        assert_eq!(shown(&[both[0], both[1], ("2026-12-26", "failed")]), ["2026-12-03-emergency"]);
        assert_eq!(
            shown(&[both[0], both[1], ("2026-12-26", "hasty")]),
            ["2026-12-03-emergency", "2026-12-26"]
        );
        assert_eq!(shown(&[both[0], both[1], ("2026-12-26", "completed")]), Vec::<String>::new());
    }

    #[test]
    fn what_was_done_later_is_known_by_its_time_and_not_by_its_name() {
        let digest = "a".repeat(64);
        let kept = |id: &str, at: i64, events: &[&str]| {
            let begun = format!("{at} {BOOT} begun {digest} alice r-1\n");
            let lines =
                events.iter().map(|event| format!("{at} {BOOT} {event}\n")).collect::<Vec<_>>().concat();
            (id.parse().unwrap(), Journal::parse((begun + &lines).as_bytes()))
        };
        let done = ["installed", "checked", "completed"];
        let now = "2026-11-24T00:00:00Z".parse().unwrap();
        let standing = |out_of_turn: i64, how: &[&str]| {
            let history: History =
                [kept("2026-12-26", 2000, &done), kept("2026-11-23-emergency", out_of_turn, how)]
                    .into_iter()
                    .collect();
            standing(&turns(), None, &history, now)
        };
        let later = standing(2001, &["failed apt no space"]);
        assert_eq!((later.unfinished.len(), later.emergencies.len()), (1, 1));
        assert_eq!(standing(2001, &done).emergencies.len(), 1);
        let before = standing(1999, &["failed apt no space"]);
        assert_eq!(
            (before.unfinished.len(), before.emergencies.len()),
            (0, 0),
            "the regular one took its place"
        );
    }

    #[test]
    fn what_is_not_done_is_told() {
        let all = [("2026-11-28", "completed"), ("2026-12-26", "failed")];
        let standing = standing(&turns(), None, &history(&all), "2026-12-20T00:00:00Z".parse().unwrap());
        assert_eq!(standing.timeliness, Timeliness::Current);
        assert_eq!(standing.next.as_ref().map(|turn| turn.release.as_str()), Some("2026-12-26"));
        assert!(standing.notes().iter().any(|note| note.contains("failed 2026-11-28 22:00 UTC (disk-full)")));
    }
}
