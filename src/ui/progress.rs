//! A run's events on standard error, while it goes on: on a terminal one moving line per host at work, elsewhere plain
//! lines. What a person must not miss (a host that goes back) stays on the screen.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal as _, Write as _};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anstyle::{AnsiColor, Style};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::Volume;
use crate::domain::HostName;
use crate::event::{Event, Sink, Stage};
use crate::resource::Phase;
use crate::text::visible;

const BOLD: Style = Style::new().bold();
const DIM: Style = Style::new().dimmed();
const GOOD: Style = Style::new().fg_color(Some(anstyle::Color::Ansi(AnsiColor::Green)));
const BAD: Style = Style::new().fg_color(Some(anstyle::Color::Ansi(AnsiColor::Red)));
const WARN: Style = Style::new().fg_color(Some(anstyle::Color::Ansi(AnsiColor::Yellow)));

/// Shows events. One per run.
pub struct Progress {
    volume: Volume,
    bars: Option<MultiProgress>,
    hosts: Mutex<BTreeMap<HostName, ProgressBar>>,
}

impl Progress {
    /// On a terminal with moving lines, elsewhere with plain ones.
    pub fn new(volume: Volume) -> Self {
        let moving = volume >= Volume::Normal && io::stderr().is_terminal();
        Self { volume, bars: moving.then(MultiProgress::new), hosts: Mutex::new(BTreeMap::new()) }
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

    fn moving(&self, host: &HostName, message: String) {
        let Some(bars) = &self.bars else { return };
        let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        let bar = hosts.entry(host.clone()).or_insert_with(|| {
            let bar = bars.add(ProgressBar::new_spinner());
            if let Ok(style) = ProgressStyle::with_template("{spinner} {prefix:.bold} {msg} {elapsed:.dim}") {
                bar.set_style(style);
            }
            bar.set_prefix(host.to_string());
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        });
        bar.set_message(message);
    }

    fn still(&self, host: &HostName) {
        let bar = self.hosts.lock().unwrap_or_else(PoisonError::into_inner).remove(host);
        if let Some(bar) = bar {
            bar.finish_and_clear();
        }
    }
}

impl Sink for Progress {
    fn emit(&self, event: Event) {
        let normal = self.volume >= Volume::Normal;
        match event {
            Event::Started { verb, hosts } => {
                if normal {
                    self.line(&format!(
                        "{DIM}{verb}: {hosts} host{}{DIM:#}",
                        if hosts == 1 { "" } else { "s" }
                    ));
                }
            }
            Event::Asking { host } => self.moving(&host, "asking".to_owned()),
            Event::Asked { host, summary, good } | Event::Finished { host, summary, good } => {
                self.still(&host);
                if normal {
                    let style = if good { GOOD } else { WARN };
                    self.line(&format!("{BOLD}{host}{BOLD:#} {style}{}{style:#}", visible(&summary)));
                }
            }
            Event::Stage { host, phase, stage } => {
                let words = stage_words(phase, stage);
                self.moving(&host, words.clone());
                if normal && self.bars.is_none() || self.volume >= Volume::Verbose {
                    self.line(&format!("{BOLD}{host}{BOLD:#} {DIM}{words}{DIM:#}"));
                }
            }
            Event::GoingBack { host, tx, why, at_most } => {
                self.line(&format!(
                    "{BAD}{BOLD}{host}: not confirmed{BOLD:#}{BAD:#} {}\n{BAD}{host} goes back by itself{BAD:#}, in {} s at \
                     the latest {DIM}(transaction {tx}){DIM:#}",
                    visible(&why),
                    at_most.as_secs()
                ));
            }
            Event::Waiting { host, seconds_left } => {
                self.moving(&host, format!("waiting for it to go back, {seconds_left} s left"));
            }
            Event::Held { host, seconds_left } => {
                self.moving(&host, format!("waiting until it is free, {seconds_left} s more at most"));
            }
            Event::Back { host, after } => {
                self.still(&host);
                self.line(&format!(
                    "{GOOD}{BOLD}{host} is back{BOLD:#}{GOOD:#} after {}.{} s: nothing is lost, and it can be entered",
                    after.as_secs(),
                    after.subsec_millis() / 100
                ));
            }
            Event::Note { text } => {
                if normal {
                    self.line(&visible(&text));
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
