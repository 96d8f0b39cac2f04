//! What the gates ask about, gathered: the calendar, the signed notices of the project, and what the hosts of the
//! environment before keep of the release. [`gates::refuse`] decides; here its answer becomes a failure.
#![expect(clippy::disallowed_methods, reason = "records of notices are files of the project")]

use std::fs;

use jiff::Timestamp;

use super::announce;
use super::signed::Signed;
use crate::command::inputs::RunInputs;
use crate::command::signals::unless_interrupted;
use crate::command::{Common, environment_inventory};
use crate::domain::{Environment, HostName};
use crate::failure::{Failure, Kind};
use crate::fleet::{Answers, Before, declared_keys};
use crate::journal::Reason;
use crate::project::Project;
use crate::release::gates::{self, Gate, GateInput, HostHistory};
use crate::release::notice::Notice;
use crate::release::{DIRECTORY, Release};
use crate::ui::Printer;

/// Refuses (exit 6) where a gate is shut for `signed` in `environment` at `now`; nothing there is touched, and the hosts of the
/// environment before are only asked what they have of it: one connection and one exec each. Gives their answers; none where
/// there is no environment before.
pub(super) fn pass(
    common: &Common,
    (project, environment): (&Project, Environment),
    signed: &Signed,
    emergency: Option<&Reason>,
    now: Timestamp,
    printer: Printer,
) -> Result<Option<Answers<Before>>, Failure> {
    let Some(plan) = &project.fleet.release else {
        return Err(Failure::refused("inventories/fleet.yaml says nothing of releases")
            .hint("add `release:` with first, timezone, window, notice and order"));
    };
    let notices = if Gate::Notice.asks(environment, emergency.is_some()) {
        notices(project, &signed.release, environment, now)?
    } else {
        Vec::new()
    };
    let answers = match gates::before(environment) {
        None => None,
        Some(before) => {
            let inputs = there(common, project, environment, before, printer)?;
            Some(unless_interrupted(inputs.run.before(&inputs.jobs, &signed.release.id))?)
        }
    };
    let history = |(host, answer): &(HostName, Result<Before, String>)| {
        (host.clone(), answer.as_ref().map(|before| before.history.clone()).map_err(Clone::clone))
    };
    let before: Vec<HostHistory> = answers.iter().flatten().map(history).collect();
    let refusals = gates::refuse(&GateInput {
        now,
        environment,
        plan,
        release: &signed.release,
        file: &signed.file,
        notices: &notices,
        before: &before,
        emergency,
    });
    if refusals.is_empty() {
        return Ok(answers);
    }
    let mut lines: Vec<String> = refusals.iter().map(ToString::to_string).collect();
    lines.insert(0, format!("{} may not be installed in {environment}", signed.release.id));
    let mut failure = Failure::new(Kind::Gate, anyhow::anyhow!("{}", lines.join("\n  ")));
    let mut said: Vec<String> = Vec::new();
    for refusal in refusals {
        if !said.contains(&refusal.fix) {
            failure = failure.hint(refusal.fix.clone());
            said.push(refusal.fix);
        }
    }
    Err(failure)
}

/// The notices of `release` for `environment` that somebody with access signed. One that nobody did is refused, and not
/// left out: an edited record is worth a look.
fn notices(
    project: &Project,
    release: &Release,
    environment: Environment,
    now: Timestamp,
) -> Result<Vec<Notice>, Failure> {
    let begins = format!("{}.{environment}.", release.id);
    let entries = fs::read_dir(project.root.join(DIRECTORY)).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| name.starts_with(&begins) && name.ends_with(".notice.json"))
        .collect();
    names.sort();
    let mut notices = Vec::new();
    for name in names {
        notices.extend(announce::kept(project, environment, &format!("{DIRECTORY}/{name}"), now)?);
    }
    Ok(notices)
}

/// A run that asks all hosts of `before` about what goes to `environment`. They are asked as the same person; a machine
/// account, which belongs to one environment, asks as that of the other.
fn there(
    common: &Common,
    project: &Project,
    environment: Environment,
    before: Environment,
    printer: Printer,
) -> Result<RunInputs, Failure> {
    let there = environment_inventory(project, before)?;
    let here = environment_inventory(project, environment)?;
    let machine = here.automation.as_ref().filter(|machine| common.person.as_ref() == Some(&machine.user));
    let person = match (&common.person, machine, &there.automation) {
        (Some(given), Some(_), Some(other)) if declared_keys(&project.fleet, there, given).is_none() => {
            Some(other.user.clone())
        }
        (given, ..) => given.clone(),
    };
    let asked = Common { person, limit: None, controls: Vec::new(), ..common.clone() };
    RunInputs::of(Project::read(&common.project)?, &asked, before, printer)
        .and_then(RunInputs::with_a_key)
        .map_err(|failure| {
            failure.hint(format!(
                "{environment} takes a release that every host of {before} completed: they are asked"
            ))
        })
}
