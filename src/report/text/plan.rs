//! A plan for a terminal: what is cut off, steps by phase, diffs, what stands in the way; and the exact shell.

use std::cell::Cell;
use std::fmt::Write as _;
use std::io;

use similar::TextDiff;

use super::block::{blocks, obstacle, rank, shown};
use super::evidence::evidence;
use super::judged::phase_word;
use crate::domain::ControlId;
use crate::plan::{HostPlan, Obstacle};
use crate::record::{HostResult, HostState};
use crate::report::{Depth, Report, View};
use crate::resource::{Change, FileState, KernelValue, Phase, SecretFile, SecretState, Step};
use crate::style::{BAD, BOLD, DIM, GOOD, WARN, counted, wrapped};
use crate::text::{visible, visible_block};

/// Every host's plan.
pub(super) fn plan(report: &Report, view: View, depth: Depth) -> io::Result<String> {
    let order = |result: &HostResult| match (&result.state, &result.plan) {
        (HostState::Answered, Some(plan)) if !plan.obstacles.is_empty() => 5,
        (HostState::Answered, Some(plan)) if plan.is_empty() => 9,
        (HostState::Answered, Some(_)) => 7,
        _ => rank(result),
    };
    let counts = Cell::new((0, 0, 0));
    let mut text = blocks(report, view, order, |result| {
        if let Some(plan) = &result.plan {
            let (changing, steps, cuts) = counts.get();
            let changes = usize::from(!plan.is_empty());
            counts.set((changing + changes, steps + plan.steps.len(), cuts + plan.cuts.len()));
        }
        let mut body = String::new();
        match (&result.state, &result.plan) {
            (HostState::Answered, Some(plan)) => host_plan(&mut body, plan, view, depth),
            _ => obstacle(&mut body, result, view),
        }
        body
    })?;
    let (changing, steps, cuts) = counts.get();
    let _ = write!(
        text,
        "{BOLD}{changing} of {} would change, {} in all{BOLD:#}",
        counted(report.tally().summary.hosts, "host"),
        counted(steps, "step")
    );
    if cuts > 0 {
        let _ = write!(text, "{BOLD},{BOLD:#} {BAD}{BOLD}{} cut off{BOLD:#}{BAD:#}", counted(cuts, "thing"));
    }
    text.push('\n');
    evidence(&mut text, report);
    Ok(text)
}

fn host_plan(text: &mut String, plan: &HostPlan, view: View, depth: Depth) {
    for obstacle in &plan.obstacles {
        in_the_way(text, obstacle, view);
    }
    if !plan.blocked.is_empty() {
        let names: Vec<&str> = plan.blocked.iter().map(ControlId::as_str).collect();
        let line = format!("not enforced until then: {}", names.join(", "));
        let _ = writeln!(text, "{DIM}{}{DIM:#}", wrapped(&line, 4, 4, view.width));
    }
    if plan.is_empty() && plan.obstacles.is_empty() {
        let _ = writeln!(text, "  {GOOD}= nothing to change{GOOD:#}");
    }
    if !plan.cuts.is_empty() {
        let _ = writeln!(text, "  {BAD}{BOLD}will be cut off{BOLD:#}{BAD:#}");
        for cut in &plan.cuts {
            let line = wrapped(&shown(cut, view), 6, 6, view.width);
            let _ = writeln!(text, "    {BAD}x{BAD:#} {}", line.trim_start());
        }
    }
    for phase in [Phase::Package, Phase::Widen, Phase::Narrow] {
        let steps = plan.phase(phase);
        if steps.is_empty() {
            continue;
        }
        let _ = writeln!(text, "  {BOLD}{}{BOLD:#} {DIM}{}{DIM:#}", phase_word(phase), phase_says(phase));
        for step in &steps {
            let line = wrapped(&shown(&step.summary, view), 6, 6, view.width);
            let _ = writeln!(text, "    {WARN}~{WARN:#} {}", line.trim_start());
            if depth == Depth::Diffs && !shown_already(&steps, &step.change) {
                diff(text, &step.change);
            }
        }
    }
}

fn in_the_way(text: &mut String, obstacle: &Obstacle, view: View) {
    let (style, what, hint) = match obstacle {
        Obstacle::Unread { resource, reason } => (
            WARN,
            format!("? {}: {}", visible(resource), visible(reason)),
            "what depends on it is not changed while this is so".to_owned(),
        ),
        Obstacle::Defeated { what, hint } => (BAD, format!("! {}", visible(what)), visible(hint)),
        Obstacle::Conflict { path } => (
            BAD,
            format!("! two resources want different things of {path}"),
            "decide on one of them, in the playbook".to_owned(),
        ),
    };
    let _ = writeln!(text, "{style}{}{style:#}", wrapped(&what, 2, 4, view.width));
    let _ = writeln!(text, "{DIM}{}{DIM:#}", wrapped(&hint, 4, 4, view.width));
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
        Change::Kernel { values } => {
            for KernelValue { parameter, before, after } in values {
                let (key, before, after) = (parameter.key(), visible(before), visible(after));
                let _ = writeln!(text, "      {DIM}{key}: {before} becomes {after}{DIM:#}");
            }
            return;
        }
        Change::Secret { before, after, .. } => {
            let _ = writeln!(text, "      {DIM}{}{DIM:#}", secret(before, after));
            return;
        }
        Change::Package { .. } | Change::Account { .. } | Change::Unit { .. } | Change::Bans => return,
    };
    match change {
        Change::File { before: FileState::Absent, after: FileState::Present(file), .. } => {
            let count = counted(file.content.lines().count(), "line");
            let _ = writeln!(
                text,
                "      {DIM}new file, {} {}:{}, {count}{DIM:#}",
                file.mode, file.owner, file.group
            );
        }
        Change::File { before: FileState::Present(before), after: FileState::Present(after), .. }
            if (before.mode, &before.owner, &before.group) != (after.mode, &after.owner, &after.group) =>
        {
            let _ = writeln!(
                text,
                "      {DIM}{} {}:{} becomes {} {}:{}{DIM:#}",
                before.mode, before.owner, before.group, after.mode, after.owner, after.group
            );
        }
        _ => {}
    }
    if old == new {
        return;
    }
    let compared = TextDiff::from_lines(old.as_str(), new.as_str());
    let mut unified = compared.unified_diff();
    unified.context_radius(2);
    // Where there is only one side, its name stands in the step already.
    if !old.is_empty() && !new.is_empty() {
        unified.header(&format!("{name} (now)"), &format!("{name} (planned)"));
    }
    for line in visible_block(&unified.to_string().replace('\t', "    ")).lines() {
        let style = match line.chars().next() {
            Some('+') => GOOD,
            Some('-') => BAD,
            Some('@') if old.is_empty() || new.is_empty() => continue,
            _ => DIM,
        };
        let _ = writeln!(text, "      {style}{line}{style:#}");
    }
}

/// What becomes of a secret's file: everything but what it holds.
fn secret(before: &SecretState, after: &SecretFile) -> String {
    let whose = |file: &SecretFile| format!("{} {}:{}", file.mode, file.owner, file.group);
    match before {
        SecretState::Absent => format!("new file, {}; its content is not shown", whose(after)),
        SecretState::Present(before) => {
            let content = if before.mac == after.mac { "the same content" } else { "other content" };
            if whose(before) == whose(after) {
                format!("{content}, which is not shown")
            } else {
                format!("{content}, which is not shown; {} becomes {}", whose(before), whose(after))
            }
        }
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
pub(super) fn scripts(parts: &[(String, String)]) -> String {
    let mut text = String::new();
    for (title, body) in parts {
        let _ = writeln!(text, "{BOLD}# {}{BOLD:#}", visible(title));
        let _ = writeln!(text, "{}", visible_block(body));
    }
    text
}
