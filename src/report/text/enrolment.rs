//! An enrolment for a terminal: the outcome of each host, in the inventory's order.

use std::fmt::Write as _;
use std::io;
use std::time::Duration;

use super::evidence::evidence;
use crate::record::{EnrolState, Enrolled, HostEntry};
use crate::report::{Report, View};
use crate::style::{BAD, BOLD, DIM, GOOD, WARN, wrapped};
use crate::text::visible;

/// Every host's enrolment.
pub(super) fn enrolment(report: &Report, view: View) -> io::Result<String> {
    let mut text = String::new();
    report.hosts().each(&mut |host| {
        if let HostEntry::Enrolled(enrolled) = host {
            one(&mut text, enrolled, view.width);
        }
        Ok(())
    })?;
    text.push('\n');
    evidence(&mut text, report);
    Ok(text)
}

fn one(text: &mut String, enrolled: &Enrolled, width: usize) {
    let (style, sign) = match enrolled.state {
        EnrolState::Enrolled | EnrolState::Unchanged => (GOOD, "✓"),
        EnrolState::Unreachable { .. } => (WARN, "?"),
        EnrolState::Refused { .. } | EnrolState::Failed { .. } => (BAD, "✗"),
    };
    let distribution = enrolled.distribution.as_deref().map_or_else(String::new, visible);
    let _ = writeln!(
        text,
        "{style}{sign}{style:#} {BOLD}{}{BOLD:#}  {style}{}{style:#}  {DIM}{distribution}{DIM:#}",
        enrolled.host,
        enrolled.state.word()
    );
    let mut line = |name: &str, what: &str| {
        let what = wrapped(&visible(what), 16, 16, width);
        let _ = writeln!(text, "      {DIM}{name:<10}{DIM:#}{}", what.trim_start());
    };
    match &enrolled.state {
        EnrolState::Refused { reason, hint } => {
            line("why", reason);
            line("hint", hint);
        }
        EnrolState::Unreachable { reason } | EnrolState::Failed { reason } => line("why", reason),
        EnrolState::Enrolled | EnrolState::Unchanged => {}
    }
    if let Some(print) = &enrolled.fingerprint {
        line("host key", &print.to_string());
    }
    if !enrolled.changes.is_empty() {
        line("changed", &enrolled.changes.join(", "));
    }
    if let Some(milliseconds) = enrolled.rollback_milliseconds {
        let seconds = Duration::from_millis(milliseconds).as_secs_f64();
        line("rehearsed", &format!("it took a change back by itself in {seconds:.1} s"));
    }
}
