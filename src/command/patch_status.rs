//! `palisade patch status`: which release each host has, and whether it is overdue. Read-only.

use std::fmt::Write as _;

use comfy_table::{Table, presets};
use jiff::Timestamp;
use serde_json::json;

use super::Common;
use super::ground::Beginning;
use super::signals::unless_interrupted;
use crate::calendar::{Plan, Turn};
use crate::domain::Environment;
use crate::failure::Failure;
use crate::fleet::{Beside, Kept};
use crate::release::status::{Answered, HostStatus, Known, exit};
use crate::resource::Unread;
use crate::resource::releases::Timeliness;
use crate::text::visible;
use crate::ui::{Printer, Volume};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// dev, test or prod.
    #[arg(value_name = "ENV", value_parser = super::environment())]
    environment: Environment,
}

/// Pending updates of a host that are named without --verbose.
const NAMED: usize = 5;

pub(super) fn run(args: &Args, common: &Common, printer: Printer) -> Result<u8, Failure> {
    let beginning = Beginning::new(common, args.environment, printer)?;
    let Some(plan) = beginning.project.fleet.release.clone() else {
        return Err(Failure::refused("inventories/fleet.yaml says nothing of releases")
            .hint("add `release:` with first, timezone, window, notice and order"));
    };
    let beginning = beginning.with_a_key()?;
    let turns = plan.turns(args.environment, beginning.began);
    let answers = unless_interrupted(beginning.run.releases(&beginning.jobs, Beside::Updates))?;
    let now = crate::fleet::now();
    let all: Vec<HostStatus> = answers
        .into_iter()
        .map(|(host, answer)| match answer {
            Err(reason) => HostStatus::silent(host, reason),
            Ok(Kept { history, updates }) => {
                let enrolled = beginning.project.identities.hosts.get(&host).map(|one| one.enrolled);
                let updates = updates.unwrap_or_else(|| Err(Unread("it was not asked for".to_owned())));
                HostStatus::answered(host, (&turns, enrolled), &history, &updates, now)
            }
        })
        .collect();
    let whole = printer.volume() >= Volume::Verbose;
    printer.text(&words(&all, (args.environment, &plan, &turns), whole, now))?;
    printer.json(&json!({
        "environment": args.environment,
        "at": now,
        "cycle_days": plan.cycle_weeks * 7,
        "turns": turns,
        "hosts": all,
        "exit": exit(&all),
    }))?;
    Ok(exit(&all))
}

/// The table, and below it what concerns single hosts.
fn words(
    all: &[HostStatus],
    (environment, plan, turns): (Environment, &Plan, &[Turn]),
    whole: bool,
    now: Timestamp,
) -> String {
    let mut text = String::new();
    let day = |at: Timestamp| plan.timezone.shows(at).strftime("%a %Y-%m-%d %H:%M %Z").to_string();
    if let Some(due) = turns.iter().rev().find(|turn| turn.closes <= now) {
        let _ = writeln!(text, "{environment}: release {} was due {}", due.release, day(due.closes));
    }
    if let Some(next) = turns.iter().find(|turn| now < turn.closes) {
        let word = if next.opens <= now { "is being installed until" } else { "is due" };
        let _ = writeln!(text, "{environment}: release {} {word} {}", next.release, day(next.closes));
    }
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(["HOST", "RELEASE", "AGE", "STANDING", "PENDING"]);
    let cycle = plan.cycle_weeks * 7;
    for status in all {
        let host = status.host.to_string();
        table.add_row(match &status.known {
            Known::Silent { .. } => {
                [host, "?".to_owned(), "?".to_owned(), "unknown".to_owned(), "?".to_owned()]
            }
            Known::Answered(answered) => {
                let release = answered
                    .standing
                    .has
                    .as_ref()
                    .map_or_else(|| "-".to_owned(), |has| has.release.to_string());
                let age = answered
                    .age_days
                    .map_or_else(|| "-".to_owned(), |days| format!("{days} of {cycle} days"));
                [host, release, age, timeliness(&answered.standing.timeliness, &day), pending(answered)]
            }
        });
    }
    text.push('\n');
    for line in table.to_string().lines() {
        let _ = writeln!(text, " {}", line.trim_end());
    }
    let told: Vec<(&HostStatus, Vec<String>)> = all
        .iter()
        .map(|status| (status, more(status, whole)))
        .filter(|(_, lines)| !lines.is_empty())
        .collect();
    for (status, lines) in told {
        let _ = writeln!(text, "\n {}", status.host);
        for line in lines {
            let _ = writeln!(text, "   {}", visible(&line));
        }
    }
    text
}

fn timeliness(timeliness: &Timeliness, day: &impl Fn(Timestamp) -> String) -> String {
    match timeliness {
        Timeliness::Current => "current".to_owned(),
        Timeliness::NotDue => "nothing due yet".to_owned(),
        Timeliness::Overdue { since, .. } => format!("overdue since {}", day(*since)),
        Timeliness::Unknown { .. } => "unknown".to_owned(),
    }
}

fn pending(answered: &Answered) -> String {
    let mut words = match (&answered.security, answered.others) {
        (Some(security), Some(others)) => match (security.len(), others) {
            (0, 0) => "nothing".to_owned(),
            (0, others) => format!("no security, {others} other"),
            (security, 0) => format!("{security} security"),
            (security, others) => format!("{security} security, {others} other"),
        },
        _ => "unknown".to_owned(),
    };
    if answered.reboot.is_some() || answered.standing.unfinished.iter().any(|one| one.awaits_reboot) {
        words.push_str(", reboot");
    }
    words
}

/// What the table has no room for.
fn more(status: &HostStatus, whole: bool) -> Vec<String> {
    let answered = match &status.known {
        Known::Silent { reason, .. } => return vec![format!("unknown: {reason}")],
        Known::Answered(answered) => answered,
    };
    let mut lines: Vec<String> = status
        .emergencies()
        .map(|(release, reason)| match reason {
            Some(reason) => format!("release {release} came out of turn: {reason}"),
            None => format!("release {release} came out of turn"),
        })
        .collect();
    if let Timeliness::Overdue { release, .. } = &answered.standing.timeliness {
        lines.push(format!("overdue: release {release}"));
    }
    lines.extend(answered.standing.unfinished.iter().map(|one| one.words.clone()));
    lines.extend(answered.pending_unknown.iter().map(|why| format!("what is pending is not known: {why}")));
    lines.extend(answered.reboot.clone());
    let security = answered.security.as_deref().unwrap_or_default();
    let named = if whole { security.len() } else { NAMED };
    lines.extend(security.iter().take(named).map(|update| format!("security: {update}")));
    if security.len() > named {
        lines.push(format!("and {} more security updates (--verbose names them)", security.len() - named));
    }
    lines
}
