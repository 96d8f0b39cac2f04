//! The release that each host has, for a terminal: a table, and below it what concerns single hosts.

use std::fmt::Write as _;

use comfy_table::Table;
use jiff::Timestamp;

use super::table::plain;
use crate::calendar::away;
use crate::kinds::releases::Timeliness;
use crate::release::status::{Answered, HostStatus, Known};
use crate::report::{Releases, View};
use crate::text::visible;

/// Pending updates of a host, and what still runs old code there, that are named without --verbose: so many of each.
const NAMED: usize = 5;

/// The table, and below it what concerns single hosts.
pub(super) fn releases(releases: &Releases<'_>, view: View) -> String {
    let Releases { environment, plan, turns, hosts, now } = *releases;
    let mut text = String::new();
    let day = |at: Timestamp| plan.timezone.shows(at).strftime("%a %Y-%m-%d %H:%M %Z").to_string();
    if let Some(due) = turns.iter().rev().find(|turn| turn.closes <= now) {
        let (due, closed) = (&due.release, due.closes);
        let _ = writeln!(text, "{environment}: release {due} was due {}, {}", day(closed), away(now, closed));
    }
    if let Some(next) = turns.iter().find(|turn| now < turn.closes) {
        let word = if next.opens <= now { "is being installed until" } else { "is due" };
        let (next, closes) = (&next.release, next.closes);
        let _ = writeln!(text, "{environment}: release {next} {word} {}, {}", day(closes), away(now, closes));
    }
    let mut table = Table::new();
    table.set_header(["HOST", "RELEASE", "AGE", "STANDING", "PENDING"]);
    let cycle = plan.cycle_weeks * 7;
    for status in hosts {
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
                let mut standing = timeliness(&answered.standing.timeliness, &day);
                if !answered.standing.emergencies.is_empty() {
                    standing.push_str(", emergency");
                }
                [host, release, age, standing, pending(answered)]
            }
        });
    }
    text.push('\n');
    text.push_str(&plain(table, 1));
    let told: Vec<(&HostStatus, Vec<String>)> = hosts
        .iter()
        .map(|status| (status, more(status, view.all)))
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
    } else if !(answered.old_code.is_empty() && answered.denied.is_empty()) {
        words.push_str(", restarts");
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
    lines.extend(
        answered
            .denied
            .iter()
            .map(|unit| format!("{unit} needs a restart, and no release restarts it (release.deny_restart)")),
    );
    lines.extend(some(&answered.old_code, whole, "still runs what an update replaced"));
    lines.extend(some(answered.security.as_deref().unwrap_or_default(), whole, "security update"));
    lines
}

/// `what: item`, line by line: the first few, or all of them.
fn some(items: &[impl ToString], whole: bool, what: &str) -> Vec<String> {
    let named = if whole { items.len() } else { NAMED };
    let mut lines: Vec<String> =
        items.iter().take(named).map(|item| format!("{what}: {}", item.to_string())).collect();
    if items.len() > named {
        lines.push(format!("and {} more (--verbose names them)", items.len() - named));
    }
    lines
}
