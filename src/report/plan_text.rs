//! A plan for a terminal: steps by phase, diffs, what is cut off, what stands in the way; and the exact shell.

use std::fmt::Write as _;

use similar::TextDiff;

use super::Report;
use super::text::{BAD, BOLD, DIM, GOOD, WARN, host_heading, phase_word};
use crate::fleet::HostState;
use crate::plan::{HostPlan, Obstacle};
use crate::resource::{Change, FileState, Phase, Step};
use crate::text::{visible, visible_block};

/// Every host's plan.
pub fn plan(report: &Report, short: bool) -> String {
    let mut text = String::new();
    for result in &report.results {
        host_heading(&mut text, report, result);
        if let (HostState::Answered, Some(plan)) = (&result.state, &result.plan) {
            host_plan(&mut text, plan, short);
        }
        text.push('\n');
    }
    let (changing, steps) = report
        .results
        .iter()
        .filter_map(|result| result.plan.as_ref())
        .fold((0_usize, 0_usize), |(hosts, steps), plan| {
            (hosts + usize::from(!plan.is_empty()), steps + plan.steps.len())
        });
    let _ = writeln!(
        text,
        "{BOLD}{} of {} hosts would change, {} steps in all{BOLD:#}",
        changing,
        report.results.len(),
        steps
    );
    text
}

fn host_plan(text: &mut String, plan: &HostPlan, short: bool) {
    for obstacle in &plan.obstacles {
        let _ = match obstacle {
            Obstacle::Unread { resource, reason } => {
                writeln!(
                    text,
                    "  {WARN}? {}{WARN:#}  {}; the host is not changed while this is so",
                    visible(resource),
                    visible(reason)
                )
            }
            Obstacle::Defeated { what, hint } => {
                writeln!(text, "  {BAD}! {}{BAD:#}\n    hint: {}", visible(what), visible(hint))
            }
            Obstacle::Conflict { path } => {
                writeln!(text, "  {BAD}! two resources want different things of {path}{BAD:#}")
            }
        };
    }
    if plan.is_empty() {
        let _ = writeln!(text, "  {GOOD}= nothing to change{GOOD:#}");
    }
    for phase in [Phase::Package, Phase::Widen, Phase::Narrow] {
        let steps = plan.phase(phase);
        if steps.is_empty() {
            continue;
        }
        let _ = writeln!(text, "  {BOLD}{}{BOLD:#} {DIM}{}{DIM:#}", phase_word(phase), phase_says(phase));
        for step in &steps {
            let _ = writeln!(text, "    {WARN}~{WARN:#} {}", visible(&step.summary));
            if !short && !shown_already(&steps, &step.change) {
                diff(text, &step.change);
            }
        }
    }
    if !plan.cuts.is_empty() {
        let _ = writeln!(text, "  {BAD}{BOLD}will be cut off{BOLD:#}{BAD:#}");
        for cut in &plan.cuts {
            let _ = writeln!(text, "    {BAD}x{BAD:#} {}", visible(cut));
        }
    }
}

/// The live rules are what the file holds: one diff is enough for both, where both begin from nothing.
fn shown_already(steps: &[Step], change: &Change) -> bool {
    let Change::Ruleset { before: None, load } = change else { return false };
    steps.iter().any(|step| match &step.change {
        Change::File { before: FileState::Absent, after: FileState::Present(file), .. } => {
            file.content.trim() == load.trim()
        }
        _ => false,
    })
}

fn phase_says(phase: Phase) -> &'static str {
    match phase {
        Phase::Package => "installed first, and not taken back",
        Phase::Widen => "old and new access both work; taken back unless confirmed",
        Phase::Narrow => "exactly as declared; taken back unless confirmed",
    }
}

fn diff(text: &mut String, change: &Change) {
    let (name, old, new) = match change {
        Change::File { path, before, after } => (path.to_string(), content(before), content(after)),
        Change::Ruleset { before, load } => {
            ("table inet palisade".to_owned(), before.clone().unwrap_or_default(), load.clone())
        }
        Change::Package { .. } | Change::Account { .. } | Change::Unit { .. } => return,
    };
    if let Change::File { before: FileState::Present(before), after: FileState::Present(after), .. } = change
        && (before.mode, &before.owner, &before.group) != (after.mode, &after.owner, &after.group)
    {
        let _ = writeln!(
            text,
            "      {DIM}{} {}:{} becomes {} {}:{}{DIM:#}",
            before.mode, before.owner, before.group, after.mode, after.owner, after.group
        );
    }
    if old == new {
        return;
    }
    let unified = TextDiff::from_lines(old.as_str(), new.as_str())
        .unified_diff()
        .context_radius(2)
        .header(&format!("{name} (now)"), &format!("{name} (planned)"))
        .to_string();
    for line in visible_block(&unified.replace('\t', "    ")).lines() {
        let style = match line.chars().next() {
            Some('+') => GOOD,
            Some('-') => BAD,
            _ => DIM,
        };
        let _ = writeln!(text, "      {style}{line}{style:#}");
    }
}

fn content(state: &FileState) -> String {
    match state {
        FileState::Present(file) => file.content.clone(),
        FileState::Absent => String::new(),
        FileState::Other { kind } => format!("({kind})\n"),
    }
}

/// The exact shell that a plan would run, per host, phase and part.
pub fn scripts(parts: &[(String, String)]) -> String {
    let mut text = String::new();
    for (title, body) in parts {
        let _ = writeln!(text, "{BOLD}# {}{BOLD:#}", visible(title));
        let _ = writeln!(text, "{}", visible_block(body));
    }
    text
}
