//! Whether a release may be installed in an environment now. Pure: what the calendar, the notices and the hosts of the
//! environment before say comes in, and every gate that refuses says what, why, since when, and what to do.
//!
//! dev takes a release at any time; test one that every host of dev completed; prod one that every host of test
//! completed and that stood there for a while, within a window, announced early enough. Each is compared by the
//! digest of its file, so that what is promoted is what was tested. A freeze holds in the environments that it
//! names. An emergency does without window, soak and notice, and never without promotion or in a freeze.

use std::fmt;

use jiff::{SignedDuration, Timestamp, Zoned};
use serde::Serialize;

use super::Release;
use super::notice::Notice;
use crate::calendar::{Plan, Span};
use crate::domain::{Digest, Environment, HostName};
use crate::journal::{Journal, Reason, State};
use crate::kinds::releases::History;

/// A host, and what it keeps of releases; `Err` says why nothing is known.
pub type HostHistory = (HostName, Result<History, String>);

/// Everything that the gates ask about.
pub struct GateInput<'a> {
    /// The moment that is judged.
    pub now: Timestamp,
    /// Where it would be installed.
    pub environment: Environment,
    /// When releases come.
    pub plan: &'a Plan,
    /// The release.
    pub release: &'a Release,
    /// The digest of its file.
    pub file: &'a Digest,
    /// The notices of the project, each with a good signature; those of other releases may be among them.
    pub notices: &'a [Notice],
    /// Every host of the environment before, and what it keeps of releases, or why nothing is known. Not looked at for
    /// dev, which has none before it.
    pub before: &'a [HostHistory],
    /// Why it does not wait, where it is an emergency.
    pub emergency: Option<&'a Reason>,
}

/// Which gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Gate {
    /// Every host of the environment before completed this very file.
    Promotion,
    /// It stood there long enough.
    Soak,
    /// The environment is not frozen.
    Freeze,
    /// A window is open.
    Window,
    /// Administrators were told of this window early enough.
    Notice,
}

impl Gate {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Promotion => "promotion",
            Self::Soak => "soak",
            Self::Freeze => "freeze",
            Self::Window => "window",
            Self::Notice => "notice",
        }
    }

    /// Whether it asks anything of what goes to `environment`, in an emergency or not.
    pub fn asks(self, environment: Environment, emergency: bool) -> bool {
        match self {
            Self::Promotion => environment != Environment::Dev,
            Self::Freeze => true,
            Self::Soak | Self::Window | Self::Notice => environment == Environment::Prod && !emergency,
        }
    }
}

/// A gate that is shut.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Refusal {
    /// The gate.
    pub gate: Gate,
    /// What is wrong, and since or until when.
    pub why: String,
    /// What to do.
    pub fix: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.gate.as_str(), self.why)
    }
}

/// The environment from which `environment` takes releases; none for dev.
pub fn before(environment: Environment) -> Option<Environment> {
    match environment {
        Environment::Dev => None,
        Environment::Test => Some(Environment::Dev),
        Environment::Prod => Some(Environment::Test),
    }
}

/// Every gate that is shut. Only where there is none may anything be touched.
pub fn refuse(input: &GateInput<'_>) -> Vec<Refusal> {
    let asks = |gate: Gate| gate.asks(input.environment, input.emergency.is_some());
    let mut refusals = Vec::new();
    if let Some(before) = before(input.environment).filter(|_| asks(Gate::Promotion)) {
        let promoted = promotion(input, before);
        match promoted {
            Err(all) => refusals.extend(all),
            Ok(since) if asks(Gate::Soak) => refusals.extend(soak(input, before, since)),
            Ok(_) => {}
        }
    }
    let freeze = freeze(input);
    let frozen = freeze.is_some();
    refusals.extend(freeze.filter(|_| asks(Gate::Freeze)));
    if asks(Gate::Window) {
        match window(input) {
            Ok(window) => refusals.extend(notice(input, &window).filter(|_| asks(Gate::Notice))),
            // The freeze says it better.
            Err(refusal) => refusals.extend(Some(refusal).filter(|_| !frozen)),
        }
    }
    refusals
}

/// Since when the last host has had it; or every host that has not.
fn promotion(input: &GateInput<'_>, before: Environment) -> Result<Timestamp, Vec<Refusal>> {
    let id = &input.release.id;
    let mut refusals = Vec::new();
    let mut refuse = |why: String, fix: String| refusals.push(Refusal { gate: Gate::Promotion, why, fix });
    let mut since = None;
    for (host, history) in input.before {
        let complete = format!("palisade patch apply {before} --release {id} --limit {host}");
        let journal = match history {
            Err(reason) => {
                let fix = format!("let it answer: palisade patch status {before} --limit {host}");
                refuse(format!("{host} of {before} does not say whether it completed {id}: {reason}"), fix);
                continue;
            }
            Ok(history) => history.of(id),
        };
        let journal = match journal {
            None => {
                refuse(format!("{host} of {before} never had {id}"), complete);
                continue;
            }
            Some(Err(broken)) => {
                let fix = format!("look at /var/lib/palisade/releases/{id}/journal on {host}");
                refuse(format!("{host} of {before} cannot show that it completed {id}: {broken}"), fix);
                continue;
            }
            Some(Ok(journal)) => journal,
        };
        match completed(journal, input) {
            Ok(at) => since = since.max(Some(at)),
            Err((why, fix)) => refuse(format!("{host} of {before} {why}"), fix.unwrap_or(complete)),
        }
    }
    if input.before.is_empty() {
        refuse(
            format!("there is no host of {before} that could have completed {id}"),
            format!(
                "declare and enrol one in inventories/{before}.yaml: nothing reaches {} untested",
                input.environment
            ),
        );
    }
    match since {
        Some(since) if refusals.is_empty() => Ok(since),
        _ => Err(refusals),
    }
}

/// When a host completed this very file; or what it did instead, and what to do where completing it is not enough.
fn completed(journal: &Journal, input: &GateInput<'_>) -> Result<Timestamp, (String, Option<String>)> {
    let id = &input.release.id;
    match journal.state() {
        State::Untouched => Err((format!("never began {id}"), None)),
        State::Underway { after, since } => {
            Err((format!("is not done with {id}: the last that is known is `{after}`, {}", utc(since)), None))
        }
        State::Failed { word, reason, since } => {
            Err((format!("failed with {id} {} ({word}): {reason}", utc(since)), None))
        }
        State::Completed(completion) if completion.sha256 != *input.file => Err((
            format!(
                "completed another file of the name {id}, {}: {} there, {} here",
                utc(completion.at),
                short(&completion.sha256),
                short(input.file)
            ),
            Some(format!(
                "promote the file that was tested: take releases/{id}.yaml of {} from the repository's history",
                short(&completion.sha256)
            )),
        )),
        State::Completed(completion) if completion.at < input.release.planned => Err((
            format!(
                "says that it completed {id} {}, before it was planned ({})",
                utc(completion.at),
                utc(input.release.planned)
            ),
            Some("one of the clocks was wrong: palisade audit --control time shows whose".to_owned()),
        )),
        State::Completed(completion) => Ok(completion.at),
    }
}

fn soak(input: &GateInput<'_>, before: Environment, since: Timestamp) -> Option<Refusal> {
    let soak = SignedDuration::try_from(input.plan.soak).unwrap_or(SignedDuration::MAX);
    let until = since.checked_add(soak).unwrap_or(Timestamp::MAX);
    (input.now < until).then(|| {
        let stood = input.now.duration_since(since).max(SignedDuration::ZERO);
        Refusal {
            gate: Gate::Soak,
            why: format!(
                "{before} has had it since {}, for {} of {} hours",
                utc(since),
                stood.as_hours(),
                soak.as_hours()
            ),
            fix: format!("wait until {}, or {EMERGENCY}", shown(&input.plan.timezone.shows(until))),
        }
    })
}

/// How window, soak and notice are lifted.
const EMERGENCY: &str = "do without in an emergency: --emergency --reason TEXT";

fn freeze(input: &GateInput<'_>) -> Option<Refusal> {
    let freeze = input.plan.frozen(input.environment, input.now)?;
    Some(Refusal {
        gate: Gate::Freeze,
        why: format!(
            "{} is frozen from {} to {}: {}",
            input.environment, freeze.from, freeze.to, freeze.reason
        ),
        fix: "wait until it is over; an emergency does not lift it: shorten it in inventories/fleet.yaml, with whoever \
              declared it"
            .to_owned(),
    })
}

/// The window that is open.
fn window(input: &GateInput<'_>) -> Result<Span, Refusal> {
    let environment = input.environment;
    let open = input.plan.open(input.now);
    let obstacle = open.as_ref().and_then(|span| input.plan.in_the_way(environment, span));
    let why = match (open, obstacle) {
        (Some(open), None) => return Ok(open),
        (_, Some(obstacle)) => format!("this weekend's window is not used: {obstacle}"),
        (None, None) => format!("{environment} is worked on within a window, and none is open"),
    };
    let fix = match input.plan.next_window(environment, input.now) {
        Some(next) => format!("wait for {}, or {EMERGENCY}", shown(&next.opens)),
        None => format!("the calendar has no window any more: correct it, or {EMERGENCY}"),
    };
    Err(Refusal { gate: Gate::Window, why, fix })
}

fn notice(input: &GateInput<'_>, window: &Span) -> Option<Refusal> {
    let GateInput { environment, release, file, .. } = input;
    let announce = format!("palisade patch announce {environment} --release {} --next-window", release.id);
    let by = window.notice_by(input.plan.notice);
    let hours = input.plan.notice.as_secs() / 3600;
    let told = input.notices.iter().filter(|notice| notice.tells(release, file, *environment, window));
    let first = told.map(|notice| notice.sent).min();
    let why = match first {
        Some(sent) if sent <= by.timestamp() => return None,
        Some(sent) => format!(
            "administrators were told {}, less than {hours} hours before the window opened {}",
            utc(sent),
            shown(&window.opens)
        ),
        None => format!(
            "nobody was told that {} comes in the window that opened {}: no signed record says so",
            release.id,
            shown(&window.opens)
        ),
    };
    Some(Refusal {
        gate: Gate::Notice,
        why,
        fix: format!("announce it for the next window: {announce}; or {EMERGENCY}"),
    })
}

fn utc(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M UTC").to_string()
}

fn shown(at: &Zoned) -> String {
    at.strftime("%a %Y-%m-%d %H:%M %Z").to_string()
}

fn short(digest: &Digest) -> &str {
    digest.as_str().get(..12).unwrap_or_default()
}

#[cfg(test)]
mod tests;
