//! A run's events on standard error, while it goes on. On a terminal one moving line says who is still to answer, and
//! one more for each host at work what it does; they go when the report comes. Elsewhere there are plain lines. What a
//! person must not miss (a host that goes back) stays on the screen.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, IsTerminal as _, Write as _};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::{Printer, Volume};
use crate::domain::HostName;
use crate::event::{Event, Sink, Stage};
use crate::resource::Phase;
use crate::style::{BAD, BOLD, DIM, GOOD, WARN, counted, wrapped};
use crate::text::visible;

/// Shows events. One per run.
pub struct Progress {
    printer: Printer,
    bars: Option<MultiProgress>,
    /// Whether the report comes to the same terminal, and says what answers amount to.
    report_follows: bool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    verb: &'static str,
    total: usize,
    answered: usize,
    waiting: BTreeSet<HostName>,
    asking: Option<ProgressBar>,
    at_work: BTreeMap<HostName, ProgressBar>,
    went_back: BTreeSet<HostName>,
}

/// Names on the line of those that are still to answer.
const NAMED: usize = 4;
/// Moving lines at most; hosts beyond are at work unseen.
const MOST_LINES: usize = 16;

impl Progress {
    /// On a terminal with moving lines, elsewhere with plain ones.
    pub fn new(printer: Printer) -> Self {
        let terminal = io::stderr().is_terminal();
        let moving = printer.volume() >= Volume::Normal && terminal;
        Self {
            printer,
            bars: moving.then(MultiProgress::new),
            report_follows: moving && io::stdout().is_terminal(),
            state: Mutex::default(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A line that stays.
    fn line(&self, text: &str) {
        let write = || {
            let _ = writeln!(anstream::stderr().lock(), "{text}");
        };
        match &self.bars {
            // MultiProgress's own println says nothing off a terminal, so write between its drawings.
            Some(bars) => bars.suspend(write),
            None => write(),
        }
    }

    /// A host's line that stays, and what there is more to say under it.
    fn host_line(&self, style: anstyle::Style, sign: &str, host: &HostName, what: &str, more: &str) {
        let column = host.as_str().chars().count() + 4;
        let width = self.printer.width();
        let first = wrapped(&visible(what), column, column, width);
        let mut text =
            format!("{style}{sign}{style:#} {BOLD}{host}{BOLD:#}  {style}{}{style:#}", first.trim_start());
        if !more.is_empty() {
            text.push('\n');
            text.push_str(&wrapped(&visible(more), column, column, width));
        }
        self.line(&text);
    }

    fn spinner(&self, template: &str) -> Option<ProgressBar> {
        let bar = self.bars.as_ref()?.add(ProgressBar::new_spinner());
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.tick_chars("⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏ "));
        }
        bar.enable_steady_tick(Duration::from_millis(120));
        Some(bar)
    }

    /// Who is still to answer.
    fn show_asking(&self, state: &mut State) {
        if state.waiting.is_empty() {
            if let Some(bar) = state.asking.take() {
                bar.finish_and_clear();
            }
            return;
        }
        if state.asking.is_none() {
            state.asking = self.spinner("{spinner:.cyan} {msg} {elapsed:.dim}");
        }
        let Some(bar) = &state.asking else { return };
        let names: Vec<String> = state.waiting.iter().take(NAMED).map(ToString::to_string).collect();
        let more = state.waiting.len().saturating_sub(NAMED);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let total = state.total.max(state.answered + state.waiting.len());
        bar.set_message(format!(
            "{}: {} of {} answered, waiting for {}{more}",
            state.verb,
            state.answered,
            counted(total, "host"),
            names.join(", ")
        ));
    }

    /// What a host does now.
    fn show_work(&self, host: &HostName, what: String) {
        let mut state = self.state();
        if !state.at_work.contains_key(host)
            && state.at_work.len() < MOST_LINES
            && let Some(bar) = self.spinner("{spinner:.cyan} {prefix:.bold}  {msg} {elapsed:.dim}")
        {
            bar.set_prefix(host.to_string());
            state.at_work.insert(host.clone(), bar);
        }
        if let Some(bar) = state.at_work.get(host) {
            bar.set_message(what);
        }
    }

    /// A host is done; how long it took, where that was watched.
    fn end_work(&self, host: &HostName) -> Option<Duration> {
        let bar = self.state().at_work.remove(host)?;
        bar.finish_and_clear();
        Some(bar.elapsed())
    }

    fn asked(&self, host: &HostName, summary: &str, good: bool) {
        let mut state = self.state();
        state.waiting.remove(host);
        state.answered += 1;
        self.show_asking(&mut state);
        drop(state);
        if self.printer.volume() >= Volume::Normal && !self.report_follows {
            let (style, sign) = if good { (GOOD, "✓") } else { (WARN, "·") };
            self.host_line(style, sign, host, summary, "");
        }
    }

    fn finished(&self, host: &HostName, summary: &str, good: bool) {
        let took = self.end_work(host);
        // That it goes back was said, and why.
        if self.state().went_back.contains(host) || self.printer.volume() < Volume::Normal {
            return;
        }
        let took = took.map_or_else(String::new, |took| format!(", after {} s", took.as_secs()));
        let (style, sign) = if good { (GOOD, "✓") } else { (BAD, "✗") };
        self.host_line(style, sign, host, &format!("{summary}{took}"), "");
    }
}

impl Drop for Progress {
    /// A run that ends before its time leaves no moving line behind.
    fn drop(&mut self) {
        let mut state = self.state();
        let lines = std::mem::take(&mut state.at_work).into_values().chain(state.asking.take());
        lines.for_each(|bar| bar.finish_and_clear());
    }
}

impl Sink for Progress {
    fn emit(&self, event: Event) {
        let normal = self.printer.volume() >= Volume::Normal;
        match event {
            Event::Started { verb, hosts } => {
                let mut state = self.state();
                (state.verb, state.total) = (verb, hosts);
                drop(state);
                if normal && self.bars.is_none() {
                    self.line(&format!("{DIM}{verb}: {}{DIM:#}", counted(hosts, "host")));
                }
            }
            Event::Asking { host } => {
                let mut state = self.state();
                state.waiting.insert(host);
                self.show_asking(&mut state);
            }
            Event::Asked { host, summary, good } => self.asked(&host, &summary, good),
            Event::Finished { host, summary, good } => self.finished(&host, &summary, good),
            Event::Stage { host, phase, stage } => {
                let words = stage_words(phase, stage);
                if normal && self.bars.is_none() || self.printer.volume() >= Volume::Verbose {
                    self.line(&format!("  {BOLD}{host}{BOLD:#}  {DIM}{words}{DIM:#}"));
                }
                self.show_work(&host, words);
            }
            Event::GoingBack { host, tx, why, at_most } => {
                self.state().went_back.insert(host.clone());
                let more = format!(
                    "It takes the change back by itself, within about {} s; nothing has to be done (transaction \
                     {tx}).",
                    at_most.as_secs()
                );
                self.host_line(BAD, "✗", &host, &format!("not confirmed: {why}"), &more);
            }
            Event::Waiting { host, seconds_left } => {
                self.show_work(
                    &host,
                    match seconds_left {
                        0 => "its time is over: waiting until it can be reached".to_owned(),
                        left => format!("waiting for it to go back, {left} s left"),
                    },
                );
            }
            Event::Held { host, seconds_left } => {
                self.show_work(&host, format!("waiting until it is free, {seconds_left} s more at most"));
            }
            Event::Stuck { host } => {
                let what = "could not put everything back yet; it tries again every few seconds";
                self.host_line(BAD, "✗", &host, what, "");
            }
            Event::Back { host, after } => {
                self.end_work(&host);
                let seconds = after.as_secs_f64();
                self.host_line(
                    GOOD,
                    "✓",
                    &host,
                    &format!("is back, seen {seconds:.1} s later: nothing is lost, and it can be entered"),
                    "",
                );
            }
            Event::Note { text } => {
                if normal {
                    self.line(&format!(
                        "{DIM}{}{DIM:#}",
                        wrapped(&visible(&text), 0, 2, self.printer.width())
                    ));
                }
            }
        }
    }
}

fn stage_words(phase: Phase, stage: Stage) -> String {
    let phase = match phase {
        Phase::Package => "",
        Phase::Widen => "widen: ",
        Phase::Narrow => "narrow: ",
    };
    let stage = match stage {
        Stage::Preflight => "pre-flight checks over a new connection",
        Stage::Installing => "installing packages",
        Stage::Arming => "journal written, arming the rollback",
        Stage::Validating => "staging and validating",
        Stage::Switching => "switching",
        Stage::Verifying => "verifying over new connections",
        Stage::Confirming => "confirming",
    };
    format!("{phase}{stage}")
}
