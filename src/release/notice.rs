//! The notice of a maintenance: for which window it is given, and what is kept of one that was sent. Pure.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{DIRECTORY, Release};
use crate::calendar::{Plan, Span};
use crate::domain::{Digest, Environment, ReleaseId, UserName};

/// Newest version of the record's shape.
pub const SCHEMA: u32 = 1;

/// A notice that was sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Notice {
    /// The version of its shape.
    pub schema: u32,
    /// Name of the release.
    pub release: ReleaseId,
    /// The digest of the release's file as it was then.
    pub sha256: Digest,
    /// Environment of the maintenance.
    pub environment: Environment,
    /// Beginning of the maintenance.
    pub opens: Timestamp,
    /// Latest end of the maintenance.
    pub closes: Timestamp,
    /// Time at which the server took the mail.
    pub sent: Timestamp,
    /// Account that sent it.
    pub by: UserName,
    /// Addresses of the receivers.
    pub to: Vec<String>,
    /// The mail's name.
    pub message: String,
    /// The server, and what it answered.
    pub server: String,
    /// Answer of the server.
    pub answer: String,
}

/// Why no notice can be given.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoNotice {
    /// The release is none of the calendar's.
    #[error("the calendar has no release {0}")]
    Unknown(ReleaseId),
    /// Its window cannot be announced early enough any more, or there is none.
    #[error("{why}")]
    TooLate {
        /// What happened to its window.
        why: String,
        /// The next one that can.
        next: Option<Box<Span>>,
    },
    /// No window is left in the years that the calendar looks ahead.
    #[error("there is no window in which {0} may be worked on")]
    Never(Environment),
}

/// The window for which notice of `release` in `environment` is given at `now`: its own; or with `next` the next one that
/// can still be announced early enough. A release out of turn has no window of its own, and takes the next.
pub fn window(
    plan: &Plan,
    release: &ReleaseId,
    environment: Environment,
    now: Timestamp,
    next: bool,
) -> Result<Span, NoNotice> {
    let earliest = now.checked_add(plan.notice).map_err(|_| NoNotice::Never(environment))?;
    let following = plan.next_window(environment, earliest);
    if next || release.is_emergency() {
        return following.ok_or(NoNotice::Never(environment));
    }
    let day = release.as_str().parse().ok();
    let planned = day.and_then(|day| plan.named(day)).ok_or_else(|| NoNotice::Unknown(release.clone()))?;
    let hours = plan.notice.as_secs() / 3600;
    match planned.window(environment) {
        Some(own) if own.opens.timestamp() >= earliest => Ok(own.clone()),
        Some(own) => Err(NoNotice::TooLate {
            why: format!(
                "the window of {release} in {environment} opens {}: less than {hours} hours are left, or none",
                own.opens.strftime("%a %Y-%m-%d %H:%M")
            ),
            next: following.map(Box::new),
        }),
        None => Err(NoNotice::TooLate {
            why: format!("{release} has no window in {environment}: holidays and freezes leave none"),
            next: following.map(Box::new),
        }),
    }
}

impl Notice {
    /// The path of the record of a notice for `window`, within a project.
    pub fn path(release: &ReleaseId, environment: Environment, window: &Span) -> String {
        format!("{DIRECTORY}/{release}.{environment}.{}.notice.json", window.opens.date())
    }

    /// Whether it told of this window, and of this very release.
    pub fn tells(&self, release: &Release, file: &Digest, environment: Environment, window: &Span) -> bool {
        self.schema == SCHEMA
            && self.release == release.id
            && self.sha256 == *file
            && self.environment == environment
            && (self.opens, self.closes) == (window.opens.timestamp(), window.closes.timestamp())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan() -> Plan {
        crate::inventory::parse(&crate::inventory::example()).unwrap().release.unwrap()
    }

    fn opens(release: &str, now: &str, next: bool) -> Result<String, NoNotice> {
        let now = now.parse().unwrap();
        window(&plan(), &release.parse().unwrap(), Environment::Prod, now, next)
            .map(|window| window.opens.strftime("%Y-%m-%d %H:%M").to_string())
    }

    #[test]
    fn notice_is_given_for_the_window_that_it_comes_early_enough_for() {
        // The window opens 2026-11-28 22:00 in Paris, 21:00 UTC; 48 hours earlier is the last moment.
        assert_eq!(opens("2026-11-28", "2026-11-26T21:00:00Z", false).as_deref(), Ok("2026-11-28 22:00"));
        let Err(NoNotice::TooLate { why, next }) = opens("2026-11-28", "2026-11-26T21:00:01Z", false) else {
            panic!("it is given")
        };
        assert!(why.contains("opens Sat 2026-11-28 22:00"), "{why}");
        assert_eq!(next.unwrap().opens.date().to_string(), "2026-12-05");
        assert_eq!(opens("2026-11-28", "2026-11-26T21:00:01Z", true).as_deref(), Ok("2026-12-05 22:00"));
        assert_eq!(
            opens("2026-11-23-emergency", "2026-11-23T12:00:00Z", false).as_deref(),
            Ok("2026-11-28 22:00")
        );
        assert!(matches!(opens("2026-11-29", "2026-11-23T12:00:00Z", false), Err(NoNotice::Unknown(_))));
    }
}
