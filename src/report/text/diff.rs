//! Two runs compared, for a terminal: the differences by direction, the worse ones first, hosts that differ alike together.

use std::fmt::Write as _;

use super::block::listed;
use crate::domain::HostName;
use crate::record::{Direction, Header, Word};
use crate::report::{Compared, View};
use crate::style::{BAD, BOLD, DIM, GOOD, WARN, counted, wrapped};

/// Names of hosts, before they are counted.
const MOST_NAMES: usize = 12;

/// What differs.
pub(super) fn diff(compared: &Compared<'_>, view: View) -> String {
    let Compared { before, after, diff } = compared;
    let mut text = format!(
        "{BOLD}{}{BOLD:#}  {DIM}{} to {}{DIM:#}\n",
        after.environment,
        heading(before),
        heading(after)
    );
    let differences = &diff.differences;
    let ids = differences.iter().map(|one| one.control.as_str().len()).max().unwrap_or(0);
    for direction in Direction::ALL {
        let mut those = differences.iter().filter(|one| one.change == direction).peekable();
        if those.peek().is_none() {
            continue;
        }
        let style = style(direction);
        let _ = writeln!(text, "{style}{BOLD}{}{BOLD:#}{style:#}", direction.as_str());
        for one in those {
            let verdicts = match (one.before.map(Word::as_str), one.after.map(Word::as_str)) {
                (Some(before), Some(after)) => format!("{before} to {after}"),
                (None, Some(word)) | (Some(word), None) => word.to_owned(),
                (None, None) => String::new(),
            };
            let hosts: Vec<&HostName> = one.hosts.iter().collect();
            let most = if view.all { usize::MAX } else { MOST_NAMES };
            let names = wrapped(&listed(&hosts, most), 6, 6, view.width);
            let _ = writeln!(
                text,
                "  {BOLD}{:<ids$}{BOLD:#}  {style}{verdicts}{style:#}  {DIM}{}{DIM:#}\n{names}",
                one.control.as_str(),
                counted(hosts.len(), "host"),
            );
        }
    }
    let summary = diff.summary;
    let counts = [
        (summary.worse, "worse"),
        (summary.new, "new"),
        (summary.changed, "changed"),
        (summary.better, "better"),
        (summary.gone, "gone"),
        (summary.same, "the same"),
    ];
    let counts: Vec<String> = counts
        .iter()
        .filter(|(count, word)| *count > 0 || matches!(*word, "worse" | "the same"))
        .map(|(count, word)| format!("{count} {word}"))
        .collect();
    let total = summary.worse + summary.new + summary.changed + summary.better + summary.gone + summary.same;
    let _ = writeln!(text, "{BOLD}{}:{BOLD:#} {}", counted(total, "verdict"), counts.join(", "));
    text
}

/// A run in a heading: its verb and when it began.
fn heading(header: &Header) -> String {
    format!("{} of {}", header.verb, header.began.strftime("%Y-%m-%d %H:%M UTC"))
}

fn style(direction: Direction) -> anstyle::Style {
    match direction {
        Direction::Worse => BAD,
        Direction::New | Direction::Changed | Direction::Gone => WARN,
        Direction::Better => GOOD,
    }
}
