//! Reports for a terminal. Styles are ANSI; the printer strips them where they are not wanted.

use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};

use super::Report;
use crate::domain::{ControlId, Environment};
use crate::fleet::{Holds, HostResult, HostState};
use crate::resource::{Phase, Verdict};
use crate::text::visible;

pub(super) const BOLD: Style = Style::new().bold();
pub(super) const DIM: Style = Style::new().dimmed();
pub(super) const GOOD: Style = Style::new().fg_color(Some(anstyle::Color::Ansi(AnsiColor::Green)));
pub(super) const BAD: Style = Style::new().fg_color(Some(anstyle::Color::Ansi(AnsiColor::Red)));
pub(super) const WARN: Style = Style::new().fg_color(Some(anstyle::Color::Ansi(AnsiColor::Yellow)));

/// Verdicts per host and control.
pub fn audit(report: &Report, verbose: bool) -> String {
    let mut text = String::new();
    for result in &report.results {
        host_heading(&mut text, report, result);
        if answered(&result.state) {
            controls(&mut text, report, result, verbose);
        }
        text.push('\n');
    }
    summary(&mut text, report);
    text
}

/// What an apply did, per host.
pub fn change(report: &Report, verbose: bool) -> String {
    let mut text = String::new();
    for result in &report.results {
        host_heading(&mut text, report, result);
        outcome(&mut text, result);
        if answered(&result.state) {
            controls(&mut text, report, result, verbose);
        }
        text.push('\n');
    }
    summary(&mut text, report);
    text
}

fn answered(state: &HostState) -> bool {
    !matches!(state, HostState::Unreachable { .. })
}

pub(super) fn host_heading(text: &mut String, report: &Report, result: &HostResult) {
    let seconds = format!("{}.{} s", result.milliseconds / 1000, (result.milliseconds % 1000) / 100);
    let _ = writeln!(
        text,
        "{BOLD}{}{BOLD:#} {DIM}{}, {} connection{}, {} exec{}, {seconds}{DIM:#}",
        result.host,
        report.environment.map_or("this machine", Environment::as_str),
        result.cost.connections,
        plural(result.cost.connections),
        result.cost.execs,
        plural(result.cost.execs),
    );
    match &result.state {
        HostState::Unreachable { reason } => {
            let _ = writeln!(text, "  {WARN}? unreachable{WARN:#}  {}", visible(reason));
        }
        HostState::Refused { reason, .. } if report.verb != "apply" => {
            let _ = writeln!(text, "  {BAD}! refused{BAD:#}  {}", visible(reason));
        }
        _ => {}
    }
}

fn plural(count: u32) -> &'static str {
    if count == 1 { "" } else { "s" }
}

fn outcome(text: &mut String, result: &HostResult) {
    let _ = match &result.state {
        HostState::Answered => writeln!(text, "  {GOOD}= nothing to change{GOOD:#}"),
        HostState::Changed => {
            writeln!(text, "  {GOOD}+ changed, seen to work over a new connection, confirmed{GOOD:#}")
        }
        HostState::Refused { reason, .. } => writeln!(text, "  {BAD}! refused{BAD:#}  {}", visible(reason)),
        HostState::Incomplete { reason } => {
            writeln!(text, "  {WARN}? not changed{WARN:#}  {}", visible(reason))
        }
        HostState::RolledBack { phase, reason, holds } => writeln!(
            text,
            "  {BAD}< taken back{BAD:#} in {}: {}\n    the host holds {}",
            phase_word(*phase),
            visible(reason),
            holds_text(*holds)
        ),
        HostState::Failed { reason, holds } => writeln!(
            text,
            "  {BAD}! failed{BAD:#}  {}\n    {}",
            visible(reason),
            holds.map_or_else(
                || "what the host holds is not known".to_owned(),
                |holds| format!("the host holds {}", holds_text(holds))
            )
        ),
        HostState::NotStarted { reason } => {
            writeln!(text, "  {WARN}- not started{WARN:#}  {}", visible(reason))
        }
        HostState::Unreachable { .. } => Ok(()),
    };
}

fn holds_text(holds: Holds) -> &'static str {
    match holds {
        Holds::Old => "what it held before the run",
        Holds::Widened => "the widened state: old and new access both work",
        Holds::New => "the new state",
    }
}

pub(super) fn phase_word(phase: Phase) -> &'static str {
    match phase {
        Phase::Package => "package",
        Phase::Widen => "widen",
        Phase::Narrow => "narrow",
    }
}

fn controls(text: &mut String, report: &Report, result: &HostResult, verbose: bool) {
    for (id, verdict) in report.verdicts(result) {
        let (style, sign) = match verdict {
            Verdict::Compliant { .. } => (GOOD, "✓"),
            Verdict::Drift { .. } => (BAD, "✗"),
            Verdict::Unknown { .. } => (WARN, "?"),
            Verdict::NotApplicable { .. } => (DIM, "-"),
            Verdict::Waived { .. } => (WARN, "~"),
        };
        let title = report.controls.iter().find(|line| line.id == id).map_or("", |line| line.title.as_str());
        let _ = writeln!(
            text,
            "  {style}{sign} {:<14}{:<15}{style:#} {}",
            id.as_str(),
            verdict.word(),
            visible(title)
        );
        if let Verdict::Waived { owner, reason, expires, .. } = &verdict {
            let _ = writeln!(
                text,
                "      {WARN}accepted by {} until {expires}:{WARN:#} {}",
                visible(owner),
                visible(reason)
            );
        }
        let lines: Vec<&String> = match &verdict {
            Verdict::Drift { findings } | Verdict::Waived { findings, .. } => findings.iter().collect(),
            Verdict::Unknown { reason } | Verdict::NotApplicable { reason } => vec![reason],
            Verdict::Compliant { notes } => notes.iter().collect(),
        };
        let lines = if matches!(verdict, Verdict::Unknown { .. }) { behind(result, &id) } else { lines };
        let most = if verbose { usize::MAX } else { 12 };
        for line in lines.iter().take(most) {
            let _ = writeln!(text, "      {}", visible(line));
        }
        if lines.len() > most {
            let _ = writeln!(text, "      {DIM}and {} more (-v shows all){DIM:#}", lines.len() - most);
        }
    }
}

/// All that is known of a control that is unknown as a whole: what could not be read, and what drifted all the same.
fn behind<'a>(result: &'a HostResult, id: &ControlId) -> Vec<&'a String> {
    let judged = || result.judged.iter().filter(|judged| judged.controls.contains(id));
    let unread = judged().filter_map(|judged| match &judged.verdict {
        Verdict::Unknown { reason } => Some(reason),
        _ => None,
    });
    let found = judged().filter_map(|judged| match &judged.verdict {
        Verdict::Drift { findings } => Some(findings),
        _ => None,
    });
    let mut lines: Vec<&String> = unread.chain(found.flatten()).collect();
    lines.dedup();
    lines
}

fn summary(text: &mut String, report: &Report) {
    let summary = report.summary();
    let _ = writeln!(
        text,
        "{BOLD}{} host{}, {} of {} verdicts evaluated{BOLD:#}: {GOOD}{} compliant{GOOD:#}, {BAD}{} drift{BAD:#}, \
         {WARN}{} unknown{WARN:#}, {} not applicable, {} waived",
        summary.hosts,
        if summary.hosts == 1 { "" } else { "s" },
        summary.evaluated,
        summary.total,
        summary.compliant,
        summary.drift,
        summary.unknown,
        summary.not_applicable,
        summary.waived
    );
    if let Some(path) = &report.evidence {
        let _ = writeln!(text, "{DIM}evidence: {}{DIM:#}", visible(path));
    }
}
