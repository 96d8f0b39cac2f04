//! What to do next after a run, for whoever ran it.

use super::block::listed;
use crate::domain::HostName;
use crate::report::Report;

/// Host names in a command that a person is to repeat.
const MOST_TYPED: usize = 24;

/// What to do next, in whole sentences, a line each.
pub fn hints(report: &Report) -> Vec<String> {
    let Some(environment) = report.head.environment else { return Vec::new() };
    let tally = report.tally();
    // More than fit into a command are named by the report, and asked again with all others.
    let limit = |names: &[&HostName]| match names.len() {
        0..=MOST_TYPED => {
            format!(" --limit {}", names.iter().map(ToString::to_string).collect::<Vec<_>>().join(","))
        }
        _ => String::new(),
    };
    let mut hints = Vec::new();
    let failed: Vec<&HostName> = tally.lost.iter().collect();
    if !failed.is_empty() {
        hints.push(format!(
            "how {} stands is not known: try `palisade status {environment}{}`; if nobody can log in, use the \
             provider's rescue system",
            listed(&failed, 6),
            limit(&failed)
        ));
    }
    let back: Vec<&HostName> = tally.rolled_back.iter().collect();
    if !back.is_empty() {
        hints.push(format!(
            "nothing is lost on {}: find out why the change could not be seen to work, then look with \
             `palisade audit {environment}{}`, and apply again",
            listed(&back, 6),
            limit(&back)
        ));
    }
    let unreachable: Vec<&HostName> = tally.unreachable.iter().collect();
    if !unreachable.is_empty() {
        hints.push(format!(
            "{} could not be reached: look at the provider's console, then `palisade {} {environment}{}`",
            listed(&unreachable, 6),
            report.head.verb,
            limit(&unreachable)
        ));
    }
    let waiting: Vec<&HostName> = tally.not_started.iter().collect();
    if !waiting.is_empty() {
        hints.push(format!("apply again once that works: {} not started yet", are(&waiting)));
    }
    match report.head.verb.as_str() {
        "audit" if tally.summary.drift > 0 => {
            hints.push(format!("`palisade plan {environment}` shows what would change"));
        }
        "plan" if report.exit() == 3 => hints.push(format!(
            "`palisade apply {environment}` makes it so; `palisade plan {environment} --out FILE` keeps this plan for \
             `apply --plan FILE`"
        )),
        _ => {}
    }
    hints
}

/// `web-1 is`, `web-1 and web-2 are`.
fn are(names: &[&HostName]) -> String {
    format!("{} {}", listed(names, 6), if names.len() == 1 { "is" } else { "are" })
}
