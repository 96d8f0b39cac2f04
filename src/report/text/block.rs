//! Hosts as blocks of text: a heading and what there is to say. Hosts of which the same is to be said share a block,
//! and those that need somebody come first.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::io;

use crate::domain::{Environment, HostName};
use crate::record::{HostEntry, HostResult, HostState};
use crate::report::{Report, View};
use crate::resource::Verdict;
use crate::style::{BAD, BOLD, DIM, WARN, counted, wrapped};
use crate::text::visible;

/// Names in a heading, before they are counted.
const MOST_NAMES: usize = 12;

/// Hosts of which the same is said.
#[derive(Default)]
struct Block {
    hosts: Vec<HostName>,
    cost: Most,
}

/// Every host's block. `rank` orders them, the lowest first; `body` is what there is to say.
pub(super) fn blocks(
    report: &Report,
    view: View,
    rank: impl Fn(&HostResult) -> u8,
    body: impl Fn(&HostResult) -> String,
) -> io::Result<String> {
    let mut places: HashMap<(u8, String), usize> = HashMap::new();
    let mut blocks: Vec<Block> = Vec::new();
    report.hosts().each(&mut |host| {
        let (HostEntry::Judged(result) | HostEntry::Installed(result, _)) = host else { return Ok(()) };
        let rank = rank(result);
        let place = *places.entry((rank, body(result))).or_insert(blocks.len());
        if place == blocks.len() {
            blocks.push(Block::default());
        }
        if let Some(block) = blocks.get_mut(place) {
            block.hosts.push(result.host.clone());
            block.cost.add(result);
        }
        Ok(())
    })?;
    let mut sorted: Vec<(u8, usize, String)> =
        places.into_iter().map(|((rank, body), place)| (rank, place, body)).collect();
    sorted.sort_by_key(|(rank, place, _)| (*rank, *place));
    Ok(sorted.iter().fold(String::new(), |mut text, (_, place, body)| {
        if let Some(block) = blocks.get(*place) {
            let _ = writeln!(text, "{}\n{body}", heading(report, block, view));
        }
        text
    }))
}

/// How much a host needs somebody: what failed first, what is as declared last.
pub(super) fn rank(result: &HostResult) -> u8 {
    match &result.state {
        HostState::Failed { .. } => 0,
        HostState::RolledBack { .. } => 1,
        HostState::Refused { .. } => 2,
        HostState::Unreachable { .. } => 3,
        HostState::Incomplete { .. } => 4,
        HostState::NotStarted { .. } => 5,
        HostState::Answered | HostState::Changed => {
            let verdicts = result.verdicts();
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

fn heading(report: &Report, block: &Block, view: View) -> String {
    let names: Vec<&HostName> = block.hosts.iter().collect();
    let most = if view.all { usize::MAX } else { MOST_NAMES };
    let names = wrapped(&listed(&names, most), 0, 0, view.width);
    let place = report.head.environment.map_or("this machine", Environment::as_str);
    let facts = format!("{place}, {}", block.cost.words(block.hosts.len()));
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

/// What a block's hosts cost: the most of any of them.
#[derive(Default)]
struct Most {
    connections: u32,
    execs: u32,
    milliseconds: u64,
}

impl Most {
    fn add(&mut self, result: &HostResult) {
        self.connections = self.connections.max(result.cost.connections);
        self.execs = self.execs.max(result.cost.execs);
        self.milliseconds = self.milliseconds.max(result.milliseconds);
    }

    fn words(&self, hosts: usize) -> String {
        let count = |count: u32, noun| counted(usize::try_from(count).unwrap_or(usize::MAX), noun);
        let (connections, execs) = (count(self.connections, "connection"), count(self.execs, "exec"));
        let (seconds, tenths) = (self.milliseconds / 1000, (self.milliseconds % 1000) / 100);
        let each = if hosts > 1 { "each at most " } else { "" };
        format!("{each}{connections}, {execs}, {seconds}.{tenths} s")
    }
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
