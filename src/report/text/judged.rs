//! Audits and applies for a terminal. Styles are ANSI; the printer strips them where they are not wanted.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io;

use super::block::{blocks, obstacle, rank, shown};
use super::evidence::evidence;
use crate::domain::ControlId;
use crate::plan::Judged;
use crate::record::{Holds, HostResult, HostState};
use crate::report::{Report, View};
use crate::resource::{Phase, Verdict};
use crate::style::{BAD, BOLD, DIM, GOOD, WARN, counted, wrapped};
use crate::text::visible;
use crate::transaction::Ended;

/// Findings of one control on one host, before they are counted.
const MOST_FINDINGS: usize = 8;

/// A title is not broken into less than this.
const NARROW_TITLE: usize = 45;

/// Verdicts per host and control.
pub(super) fn audit(report: &Report, view: View) -> io::Result<String> {
    worst_first(report, view, |body, result| {
        obstacle(body, result, view);
        // Of a host that gave no answer, or none that counts, the same would be said of every control.
        if !matches!(result.state, HostState::Unreachable { .. } | HostState::Refused { .. }) {
            controls(body, report, result, view);
        }
    })
}

/// What an apply did, per host.
pub(super) fn change(report: &Report, view: View) -> io::Result<String> {
    worst_first(report, view, |body, result| {
        outcome(body, result, view);
        match &result.state {
            HostState::Unreachable { .. } => {}
            HostState::Answered | HostState::Changed => left_over(body, report, result, view),
            _ if view.all => controls(body, report, result, view),
            // How it stands is what an audit is for; here it would hide what happened.
            _ => in_short(body, result, view),
        }
    })
}

/// A block per host, those that need somebody first, and the summary below.
fn worst_first(report: &Report, view: View, write: impl Fn(&mut String, &HostResult)) -> io::Result<String> {
    let body = |result: &HostResult| {
        let mut body = String::new();
        write(&mut body, result);
        body
    };
    let mut text = blocks(report, view, rank, body)?;
    summary(&mut text, report);
    Ok(text)
}

fn outcome(text: &mut String, result: &HostResult, view: View) {
    let mut line = |style: anstyle::Style, head: &str, details: &[(&str, &str)]| {
        let _ = writeln!(text, "  {style}{head}{style:#}");
        for (name, what) in details {
            let rest = wrapped(&visible(what), 13, 13, view.width);
            let _ = writeln!(text, "      {DIM}{name:<7}{DIM:#}{}", rest.trim_start());
        }
    };
    match &result.state {
        HostState::Answered => line(GOOD, "= nothing to change", &[]),
        HostState::Changed => {
            let ended: Vec<String> = result.ended.iter().flat_map(Ended::told).collect();
            let mut details: Vec<(&str, &str)> = ended.iter().map(|what| ("ended", what.as_str())).collect();
            // What stands in the way of some controls is in nobody else's.
            let plan = result.plan.as_ref();
            let left: Vec<String> =
                plan.into_iter().flat_map(|plan| &plan.obstacles).map(ToString::to_string).collect();
            details.extend(left.iter().map(|what| ("left", what.as_str())));
            let style = if left.is_empty() { GOOD } else { WARN };
            line(style, "+ changed, and confirmed over a new connection", &details);
        }
        HostState::Refused { reason, .. } => {
            line(BAD, "! refused, nothing was changed", &[("why", reason)]);
        }
        HostState::Incomplete { reason } => line(WARN, "? not changed", &[("why", reason)]),
        HostState::RolledBack { phase, reason, holds } => line(
            BAD,
            &format!("< not confirmed, and taken back ({})", phase_word(*phase)),
            &[("why", reason), ("holds", holds_text(*holds))],
        ),
        HostState::Failed { reason, holds } => {
            line(BAD, "! failed", &[("why", reason), ("holds", holds.map_or("not known", holds_text))]);
        }
        HostState::NotStarted { reason } => {
            line(WARN, "- not started, nothing was changed", &[("why", reason)]);
        }
        HostState::Unreachable { reason } => {
            line(WARN, "? unreachable, nothing was changed", &[("why", reason)]);
        }
    }
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

fn sign(verdict: &Verdict) -> (anstyle::Style, &'static str) {
    match verdict {
        Verdict::Compliant { .. } => (GOOD, "✓"),
        Verdict::Drift { .. } => (BAD, "✗"),
        Verdict::Unknown { .. } => (WARN, "?"),
        Verdict::NotApplicable { .. } => (DIM, "-"),
        Verdict::Waived { .. } => (WARN, "~"),
    }
}

/// After a change: one line where all is well, else what is left.
fn left_over(text: &mut String, report: &Report, result: &HostResult, view: View) {
    let verdicts = result.verdicts();
    let left = |verdict: &Verdict| matches!(verdict, Verdict::Drift { .. } | Verdict::Unknown { .. });
    if view.all || verdicts.iter().any(|(_, verdict)| left(verdict)) {
        controls(text, report, result, view);
    } else {
        let _ = writeln!(text, "  {GOOD}✓{GOOD:#} {}", counts(&verdicts));
    }
}

/// `3 controls compliant, 1 waived`.
fn counts(verdicts: &[(ControlId, Verdict)]) -> String {
    let count = |word: &str| verdicts.iter().filter(|(_, verdict)| verdict.word() == word).count();
    let others = ["drift", "unknown", "waived", "not-applicable"];
    let others = others.iter().map(|word| (count(word), word)).filter(|(count, _)| *count > 0);
    let mut parts = vec![format!("{} compliant", counted(count("compliant"), "control"))];
    parts.extend(others.map(|(count, word)| format!("{count} {}", word.replace('-', " "))));
    parts.join(", ")
}

/// What needs somebody by name, the rest counted.
fn in_short(text: &mut String, result: &HostResult, view: View) {
    let verdicts = result.verdicts();
    let named = |word: &str| {
        let ids: Vec<&str> = verdicts
            .iter()
            .filter(|(_, verdict)| verdict.word() == word)
            .map(|(id, _)| id.as_str())
            .collect();
        (!ids.is_empty()).then(|| format!("{word} in {}", ids.join(", ")))
    };
    let rest: Vec<(ControlId, Verdict)> = verdicts
        .iter()
        .filter(|(_, verdict)| !matches!(verdict.word(), "drift" | "unknown"))
        .cloned()
        .collect();
    let mut parts: Vec<String> = [named("unknown"), named("drift")].into_iter().flatten().collect();
    if !rest.is_empty() {
        parts.push(counts(&rest));
    }
    // Broken into lines before it is coloured: colours have no width.
    let mut lines = wrapped(&parts.join("; "), 13, 13, view.width);
    for (word, style) in [("unknown", WARN), ("drift", BAD)] {
        lines = lines.replacen(&format!("{word} in "), &format!("{style}{word}{style:#} in "), 1);
    }
    let _ = writeln!(text, "      {DIM}stands {DIM:#}{}", lines.trim_start());
}

fn controls(text: &mut String, report: &Report, result: &HostResult, view: View) {
    let verdicts = result.verdicts();
    let ids = report.head.controls.iter().map(|line| line.id.as_str().len()).max().unwrap_or(0);
    let words = verdicts.iter().map(|(_, verdict)| verdict.word().len()).max().unwrap_or(0).max(9);
    for (id, verdict) in &verdicts {
        let (style, sign) = sign(verdict);
        let title =
            report.head.controls.iter().find(|line| line.id == *id).map_or("", |line| line.title.as_str());
        // Beside the verdict where there is room, else under it.
        let column = 4 + ids + 2 + words + 2;
        let beside = view.width >= column + NARROW_TITLE;
        let indent = if beside { column } else { 4 };
        let title = wrapped(&visible(title), indent, indent, view.width);
        let title = if beside { format!("  {}", title.trim_start()) } else { format!("\n{title}") };
        let _ = writeln!(
            text,
            "  {style}{sign}{style:#} {BOLD}{:<ids$}{BOLD:#}  {style}{:<words$}{style:#}{title}",
            id.as_str(),
            verdict.word(),
        );
        if let Verdict::Waived { owner, reason, expires, .. } = &verdict {
            let line = format!("accepted by {} until {expires}: {}", visible(owner), visible(reason));
            let _ = writeln!(text, "{WARN}{}{WARN:#}", wrapped(&line, 6, 8, view.width));
        }
        let dim = if matches!(verdict, Verdict::Compliant { .. } | Verdict::NotApplicable { .. }) {
            DIM
        } else {
            anstyle::Style::new()
        };
        let mut lines: Vec<Cow<'_, str>> = Vec::new();
        let elsewhere = said_above(result, &verdicts, id);
        let repeated = |line: &str| {
            elsewhere.iter().any(|(judged, _)| match &judged.verdict {
                Verdict::Drift { findings } => findings.iter().any(|finding| finding == line),
                _ => false,
            })
        };
        lines.extend(
            lines_of(result, id, verdict)
                .into_iter()
                .filter(|line| !repeated(line))
                .map(|line| Cow::Borrowed(line.as_str())),
        );
        lines.extend(elsewhere.iter().map(|(judged, above)| {
            Cow::Owned(format!(
                "it needs the {} as declared, and {above} says above what differs",
                judged.resource
            ))
        }));
        let most = if view.all { usize::MAX } else { MOST_FINDINGS };
        for line in lines.iter().take(most) {
            let _ = writeln!(text, "{dim}{}{dim:#}", wrapped(&shown(line, view), 6, 8, view.width));
        }
        if lines.len() > most {
            let _ = writeln!(text, "      {DIM}and {} more (-v shows all){DIM:#}", lines.len() - most);
        }
    }
}

/// What drifted of a control that one above it stands for too, and has said: the same twice makes nobody wiser.
fn said_above<'a>(
    result: &'a HostResult,
    verdicts: &'a [(ControlId, Verdict)],
    id: &ControlId,
) -> Vec<(&'a Judged, &'a ControlId)> {
    let above: Vec<&ControlId> = verdicts
        .iter()
        .take_while(|(other, _)| other != id)
        .filter(|(_, verdict)| matches!(verdict, Verdict::Drift { .. }))
        .map(|(other, _)| other)
        .collect();
    let drifted = result
        .judged
        .iter()
        .filter(|one| one.controls.contains(id) && matches!(one.verdict, Verdict::Drift { .. }));
    drifted
        .filter_map(|judged| {
            let first = above.iter().find(|other| judged.controls.contains(other))?;
            Some((judged, *first))
        })
        .collect()
}

fn lines_of<'a>(result: &'a HostResult, id: &ControlId, verdict: &'a Verdict) -> Vec<&'a String> {
    match verdict {
        Verdict::Drift { findings } => findings.iter().chain(noted(result, id)).collect(),
        Verdict::Waived { findings, .. } => findings.iter().collect(),
        Verdict::Unknown { .. } => behind(result, id),
        Verdict::NotApplicable { reason } => vec![reason],
        Verdict::Compliant { notes } => notes.iter().collect(),
    }
}

/// What the compliant resources of a control noted: a stray listener matters most where nothing cuts it off yet.
fn noted<'a>(result: &'a HostResult, id: &ControlId) -> impl Iterator<Item = &'a String> {
    let judged = result.judged.iter().filter(move |judged| judged.controls.contains(id));
    judged
        .filter_map(|judged| match &judged.verdict {
            Verdict::Compliant { notes } => Some(notes),
            _ => None,
        })
        .flatten()
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
    let summary = report.tally().summary;
    let _ = write!(
        text,
        "{BOLD}{}, {} of {} verdicts evaluated{BOLD:#}:",
        counted(summary.hosts, "host"),
        summary.evaluated,
        summary.total,
    );
    let counts = [
        (summary.compliant, GOOD, "compliant"),
        (summary.drift, BAD, "drift"),
        (summary.unknown, WARN, "unknown"),
    ];
    let counts = counts.map(|(count, style, word)| {
        let style = if count == 0 { DIM } else { style };
        format!("{style}{count} {word}{style:#}")
    });
    let _ = write!(text, " {}", counts.join(", "));
    for (count, word) in [(summary.not_applicable, "not applicable"), (summary.waived, "waived")] {
        if count > 0 {
            let _ = write!(text, ", {count} {word}");
        }
    }
    text.push('\n');
    evidence(text, report);
}
