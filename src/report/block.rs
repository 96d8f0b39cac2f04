//! Hosts as blocks of text: a heading and what there is to say. Hosts of which the same is to be said share a block,
//! and those that need somebody come first.

use std::collections::HashMap;
use std::fmt::Write as _;

use super::{Report, View};
use crate::domain::{Environment, HostName};
use crate::fleet::{HostResult, HostState};
use crate::resource::Verdict;
use crate::style::{BAD, BOLD, DIM, WARN, counted, wrapped};
use crate::text::visible;

/// Names in a heading, before they are counted.
const MOST_NAMES: usize = 12;

/// Every host's block. `rank` orders them, the lowest first; `body` is what there is to say.
pub(super) fn blocks<'r>(
    report: &'r Report,
    view: View,
    rank: impl Fn(&'r HostResult) -> u8,
    body: impl Fn(&'r HostResult) -> String,
) -> String {
    let mut places: HashMap<(u8, String), usize> = HashMap::new();
    let mut groups: Vec<(u8, Vec<&HostResult>)> = Vec::new();
    for result in &report.results {
        let rank = rank(result);
        let place = *places.entry((rank, body(result))).or_insert(groups.len());
        match groups.get_mut(place) {
            Some((_, results)) => results.push(result),
            None => groups.push((rank, vec![result])),
        }
    }
    let mut groups: Vec<(u8, usize, String, Vec<&HostResult>)> = places
        .into_iter()
        .filter_map(|((rank, body), place)| {
            let (_, results) = groups.get_mut(place)?;
            Some((rank, place, body, std::mem::take(results)))
        })
        .collect();
    groups.sort_by_key(|(rank, place, ..)| (*rank, *place));
    groups.iter().fold(String::new(), |mut text, (_, _, body, results)| {
        let _ = writeln!(text, "{}\n{body}", heading(report, results, view));
        text
    })
}

/// How much a host needs somebody: what failed first, what is as declared last.
pub(super) fn rank(report: &Report, result: &HostResult) -> u8 {
    match &result.state {
        HostState::Failed { .. } => 0,
        HostState::RolledBack { .. } => 1,
        HostState::Refused { .. } => 2,
        HostState::Unreachable { .. } => 3,
        HostState::Incomplete { .. } => 4,
        HostState::NotStarted { .. } => 5,
        HostState::Answered | HostState::Changed => {
            let verdicts = report.verdicts(result);
            let any = |wanted: fn(&Verdict) -> bool| verdicts.iter().any(|(_, verdict)| wanted(verdict));
            if any(|verdict| matches!(verdict, Verdict::Unknown { .. })) {
                6
            } else if any(|verdict| matches!(verdict, Verdict::Drift { .. })) {
                7
            } else if any(|verdict| matches!(verdict, Verdict::Waived { .. })) {
                8
            } else {
                9
            }
        }
    }
}

fn heading(report: &Report, results: &[&HostResult], view: View) -> String {
    let names: Vec<&HostName> = results.iter().map(|result| &result.host).collect();
    let most = if view.all { usize::MAX } else { MOST_NAMES };
    let names = wrapped(&listed(&names, most), 0, 0, view.width);
    let place = report.environment.map_or("this machine", Environment::as_str);
    let facts = format!("{place}, {}", cost(results));
    let last = names.lines().last().map_or(0, |line| line.chars().count());
    // Two blanks, where both fit on one line.
    if last + 2 + facts.len() <= view.width {
        format!("{BOLD}{names}{BOLD:#}  {DIM}{facts}{DIM:#}")
    } else {
        format!("{BOLD}{names}{BOLD:#}\n  {DIM}{facts}{DIM:#}")
    }
}

/// `a, b and c`; `a, b and 7 more`.
pub(super) fn listed(names: &[&HostName], most: usize) -> String {
    let name = |name: &&HostName| name.to_string();
    match names {
        [] => String::new(),
        [one] => name(one),
        many if many.len() > most => {
            let shown: Vec<String> = many.iter().take(most).map(name).collect();
            format!("{} and {} more", shown.join(", "), many.len() - shown.len())
        }
        [first @ .., last] => {
            format!("{} and {last}", first.iter().map(name).collect::<Vec<_>>().join(", "))
        }
    }
}

/// What the block's hosts cost: the most of any of them.
fn cost(results: &[&HostResult]) -> String {
    let most = |of: fn(&HostResult) -> u64| results.iter().map(|result| of(result)).max().unwrap_or(0);
    let count = |of: fn(&HostResult) -> u64, noun| counted(usize::try_from(most(of)).unwrap_or(0), noun);
    let connections = count(|result| result.cost.connections.into(), "connection");
    let execs = count(|result| result.cost.execs.into(), "exec");
    let milliseconds = most(|result| result.milliseconds);
    let seconds = format!("{}.{} s", milliseconds / 1000, (milliseconds % 1000) / 100);
    let each = if results.len() > 1 { "each at most " } else { "" };
    format!("{each}{connections}, {execs}, {seconds}")
}

/// What stands for verdicts where there are none.
pub(super) fn obstacle(text: &mut String, result: &HostResult, view: View) {
    let (style, word, reason) = match &result.state {
        HostState::Unreachable { reason } => (WARN, "? unreachable", reason),
        HostState::Refused { reason, .. } => (BAD, "! refused", reason),
        _ => return,
    };
    let _ = writeln!(text, "  {style}{word}{style:#}");
    let _ = writeln!(text, "{}", wrapped(&visible(reason), 6, 6, view.width));
}

/// Process ids differ from host to host and from boot to boot; who needs them asks for everything.
pub(super) fn shown(line: &str, view: View) -> String {
    let mut line = visible(line);
    if view.all {
        return line;
    }
    let mut from = 0;
    while let Some(at) = line.get(from..).and_then(|rest| rest.find(" (pid ")).map(|at| from + at) {
        let inside = line.get(at + 6..).unwrap_or_default();
        let digits = inside.bytes().take_while(u8::is_ascii_digit).count();
        if digits > 0 && inside.as_bytes().get(digits) == Some(&b')') {
            line.replace_range(at..at + 7 + digits, "");
        } else {
            from = at + 1;
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn process_ids_are_for_the_curious() {
        let all = View { width: 80, all: true };
        let some = View { width: 80, all: false };
        let line = "by nc (pid 51), sshd (pid 7) and (pid x)";
        assert_eq!(shown(line, some), "by nc, sshd and (pid x)");
        assert_eq!(shown(line, all), line);
    }

    #[test]
    fn many_names_are_counted() {
        let names: Vec<HostName> = ["a", "b", "c"].iter().map(|name| name.parse().expect("a name")).collect();
        let names: Vec<&HostName> = names.iter().collect();
        assert_eq!(listed(&names, 3), "a, b and c");
        assert_eq!(listed(&names, 2), "a, b and 1 more");
        assert_eq!(listed(&names[..1], 1), "a");
    }
}
