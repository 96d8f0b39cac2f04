//! What `palisade patch status` says of a host: which release it has, how old that is, whether it is overdue, what is pending.
//! Pure. Whether it is overdue, [`standing`] says, as the `patching` control does.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::Serialize;

use crate::calendar::Turn;
use crate::domain::{HostName, ReleaseId, UnitName};
use crate::journal::Reason;
use crate::kinds::releases::{Emergency, History, Standing, Timeliness, standing};
use crate::kinds::updates::{self, Stale};
use crate::resource::Unread;

/// One host against the calendar.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct HostStatus {
    /// The host.
    pub host: HostName,
    /// How it stands; `Err` says why nothing is known of it.
    #[serde(flatten)]
    pub known: Known,
}

/// What is known of a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[serde(untagged)]
pub enum Known {
    /// It answered.
    Answered(Box<Answered>),
    /// It did not, or not as the host that was enrolled.
    Silent {
        /// Always `unknown`.
        standing: &'static str,
        /// The reason.
        reason: String,
    },
}

/// What a host answered, and what it means.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Answered {
    /// Its releases.
    #[serde(flatten)]
    pub standing: Standing,
    /// Whole days since its newest regular release was completed.
    pub age_days: Option<i64>,
    /// Security updates that its apt would install, `package version → version`; none where that is not known.
    pub security: Option<Vec<String>>,
    /// Other updates; none where that is not known.
    pub others: Option<usize>,
    /// Reason for which it is not known what is pending.
    pub pending_unknown: Option<String>,
    /// Reason for a reboot that is due.
    pub reboot: Option<String>,
    /// Programs that run files that were replaced, but for the services of `denied`.
    pub old_code: Vec<Stale>,
    /// Services that run such files, and that no release restarts.
    pub denied: BTreeSet<UnitName>,
}

impl HostStatus {
    /// Of a host that did not answer.
    pub fn silent(host: HostName, reason: String) -> Self {
        Self { host, known: Known::Silent { standing: "unknown", reason } }
    }

    /// Of a host with this history at `now`, that was enrolled then, by the turns of its environment; `never` holds the
    /// services that no release restarts.
    pub fn answered(
        host: HostName,
        (turns, enrolled): (&[Turn], Option<Timestamp>),
        (history, updates): (&History, &Result<updates::Answer, Unread>),
        never: &BTreeSet<UnitName>,
        now: Timestamp,
    ) -> Self {
        let standing = standing(turns, enrolled, history, now);
        let age_days =
            standing.has.as_ref().map(|has| (now.duration_since(has.completion.at).as_hours() / 24).max(0));
        let (pending, pending_unknown) = match updates {
            Err(unread) => (None, Some(unread.to_string())),
            Ok(answer) => match answer.says_nothing(now) {
                Some(why) => (None, Some(why)),
                None => (Some(answer), None),
            },
        };
        let security = pending.map(|answer| {
            let all = answer.pending.iter().filter(|update| update.security);
            all.map(|update| format!("{} {}", update.package, update.versions)).collect()
        });
        let is_denied =
            |stale: &&Stale| stale.service.as_ref().is_some_and(|service| service.is_among(never));
        let old_code = updates.iter().flat_map(|answer| &answer.stale);
        let denied = old_code.clone();
        let answered = Answered {
            standing,
            age_days,
            security,
            others: pending.map(|answer| answer.pending.iter().filter(|update| !update.security).count()),
            pending_unknown,
            reboot: updates.as_ref().ok().and_then(updates::reboot),
            old_code: old_code.filter(|stale| !is_denied(stale)).cloned().collect(),
            denied: denied
                .filter(|stale| is_denied(stale))
                .filter_map(|stale| stale.service.clone())
                .collect(),
        };
        Self { host, known: Known::Answered(Box::new(answered)) }
    }

    /// Whether it is overdue.
    pub fn is_overdue(&self) -> bool {
        match &self.known {
            Known::Answered(answered) => matches!(answered.standing.timeliness, Timeliness::Overdue { .. }),
            Known::Silent { .. } => false,
        }
    }

    /// Whether something of it is not known: its releases, or what is pending.
    pub fn is_unknown(&self) -> bool {
        match &self.known {
            Known::Answered(answered) => {
                matches!(answered.standing.timeliness, Timeliness::Unknown { .. })
                    || answered.pending_unknown.is_some()
            }
            Known::Silent { .. } => true,
        }
    }

    /// What it did without window, soak and notice: release and reason.
    pub fn emergencies(&self) -> impl Iterator<Item = (&ReleaseId, Option<&Reason>)> {
        let all: &[Emergency] = match &self.known {
            Known::Answered(answered) => &answered.standing.emergencies,
            Known::Silent { .. } => &[],
        };
        all.iter().map(|one| (&one.release, one.reason.as_ref()))
    }
}

/// The documented exit code: what is not known weighs more than what is overdue.
pub fn exit(all: &[HostStatus]) -> u8 {
    if all.iter().any(HostStatus::is_unknown) {
        4
    } else if all.iter().any(HostStatus::is_overdue) {
        3
    } else {
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(index: Option<&str>) -> updates::Answer {
        updates::Answer {
            source: true,
            index: index.map(|at| at.parse().unwrap()),
            pending: vec![
                updates::Update { package: "openssl".into(), versions: "3.0 → 3.1".into(), security: true },
                updates::Update { package: "less".into(), versions: "1 → 2".into(), security: false },
            ],
            held: Vec::new(),
            broken: Vec::new(),
            container: None,
            running: "6.1.0-1-amd64".into(),
            newest: Some("6.1.0-2-amd64".into()),
            asked: false,
            stale: vec![
                stale("sleep", None),
                stale("a", Some("db@1.service")),
                stale("b", Some("web.service")),
            ],
        }
    }

    fn stale(program: &str, service: Option<&str>) -> Stale {
        Stale { program: program.to_owned(), pid: 7, service: service.map(|unit| unit.parse().unwrap()) }
    }

    fn status(updates: &Result<updates::Answer, Unread>, closes: &str) -> HostStatus {
        let turn = Turn {
            release: "2026-11-28".parse().unwrap(),
            opens: "2026-11-28T21:00:00Z".parse().unwrap(),
            closes: closes.parse().unwrap(),
        };
        let now = "2026-12-01T00:00:00Z".parse().unwrap();
        let never = BTreeSet::from(["db@.service".parse().unwrap()]);
        let kept = (&History::default(), updates);
        HostStatus::answered("web-1".parse().unwrap(), (&[turn], None), kept, &never, now)
    }

    #[test]
    fn what_is_unknown_weighs_more_than_what_is_overdue() {
        let (past, future) = ("2026-11-29T01:00:00Z", "2026-12-27T01:00:00Z");
        let fresh = || Ok(answer(Some("2026-11-30T00:00:00Z")));
        let silent = HostStatus::silent("db-1".parse().unwrap(), "no route".to_owned());
        assert_eq!(exit(&[]), 0);
        assert_eq!(exit(&[status(&fresh(), future)]), 0);
        assert_eq!(exit(&[status(&fresh(), past), status(&fresh(), future)]), 3);
        assert_eq!(exit(&[status(&fresh(), past), silent]), 4);
        for unknown in [
            Err(Unread("apt said nothing".to_owned())),
            Ok(answer(None)),
            Ok(answer(Some("2026-11-01T00:00:00Z"))),
        ] {
            assert_eq!(exit(&[status(&unknown, past)]), 4);
        }
    }

    #[test]
    fn pending_updates_and_reboots_are_told_apart() {
        let Known::Answered(told) =
            status(&Ok(answer(Some("2026-11-30T00:00:00Z"))), "2026-12-27T01:00:00Z").known
        else {
            panic!("it answered")
        };
        assert_eq!(told.security.unwrap(), ["openssl 3.0 → 3.1"]);
        assert_eq!((told.others, told.age_days), (Some(1), None));
        assert!(told.reboot.unwrap().contains("6.1.0-2-amd64 is installed"));
        let old: Vec<String> = told.old_code.iter().map(ToString::to_string).collect();
        assert_eq!(old, ["sleep (pid 7)", "b (pid 7, web.service)"]);
        assert_eq!(told.denied.iter().map(UnitName::as_str).collect::<Vec<_>>(), ["db@1.service"]);
    }
}
