//! `palisade demo`: the whole story on throwaway hosts. What is told, and how, is shown here; what happens stands in
//! [`crate::demo`].
#![expect(
    clippy::disallowed_methods,
    reason = "the demo runs this very program, and says how long things took"
)]

use std::fmt::Write as _;
use std::io::{self, IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use serde_json::json;

use super::lab::Distribution;
use crate::demo::{self, CHAPTERS, DemoError, Moment, NAME, Options, Shown, Told};
use crate::failure::{Failure, Kind};
use crate::lab::LabEvent;
use crate::style::{BOLD, DIM, GOOD, WARN, wrapped};
use crate::ui::{Format, Printer, Volume};

/// Watch the whole story on throwaway Debian hosts: enrol, audit, plan, apply, and a network that fails in between.
///
/// Needs Linux and root. It installs what the lab lacks on this machine, and takes everything else away again.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  palisade demo\n  palisade demo --keep      leave the hosts, to go on with them\n\n\
    Exit codes: 0 everything that the demo promises was seen, 1 something was not."
)]
pub struct Args {
    /// Leave the hosts and their project, and say how to enter them and how to take them down.
    #[arg(long)]
    keep: bool,
    /// Which distribution the hosts run.
    #[arg(long, value_enum, default_value_t = Distribution::Both)]
    suite: Distribution,
    /// The folder that holds labs, and the bases that they stand on.
    #[arg(long, value_name = "DIR", default_value = DEFAULT_PLACE)]
    lab_dir: PathBuf,
}

const DEFAULT_PLACE: &str = "/var/cache/palisade/lab";

/// Runs the verb.
pub fn run(args: &Args, printer: &Printer) -> Result<u8, Failure> {
    crate::lab::available().map_err(Failure::from)?;
    let palisade = std::env::current_exe()
        .map_err(|error| Failure::from(anyhow::anyhow!("this program cannot find itself: {error}")))?;
    let shown = match (printer.volume(), printer.format()) {
        (Volume::Quiet, _) => Shown::Silent,
        (_, Format::Json) => Shown::Aside,
        (_, Format::Text) => Shown::Aloud,
    };
    let options = Options {
        place: args.lab_dir.clone(),
        suites: args.suite.suites(),
        keep: args.keep,
        palisade,
        shown,
    };
    let teller = Teller::new(*printer);
    teller.open(args);
    let interrupted = Arc::new(AtomicBool::new(false));
    watch_for_signals(&interrupted)?;
    let told = demo::run(&options, &|moment| teller.tell(&moment), &interrupted);
    match told {
        Ok(told) => {
            teller.line(&ending(args, &told));
            printer.json(&json!({
                "verb": "demo",
                "seen": told.seen,
                "seconds": told.took.as_secs_f64(),
                "evidence": told.evidence,
                "runs": told.runs,
            }))?;
            Ok(0)
        }
        Err(error) => Err(failure(args, error)),
    }
}

fn failure(args: &Args, error: DemoError) -> Failure {
    match error {
        DemoError::Interrupted => Failure::from(anyhow::anyhow!("interrupted; everything was taken down")),
        DemoError::Lab(error) => Failure::from(error),
        error @ (DemoError::NotSeen { .. } | DemoError::Failed { .. }) => {
            let failure = Failure::new(Kind::Failed, error);
            if args.keep {
                failure.hint(format!("the hosts are still there: {}", lab_command(args, "status")))
            } else {
                failure.hint("palisade demo --keep leaves the hosts, to look at")
            }
        }
    }
}

/// Sets `interrupted` when a person or the system wants this to end.
fn watch_for_signals(interrupted: &Arc<AtomicBool>) -> Result<(), Failure> {
    use tokio::signal::unix::{SignalKind, signal};
    let interrupted = Arc::clone(interrupted);
    let failed = |error: io::Error| Failure::from(anyhow::anyhow!("signals cannot be watched for: {error}"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
    let mut signals = {
        let _guard = runtime.enter();
        [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()]
            .into_iter()
            .map(signal)
            .collect::<io::Result<Vec<_>>>()
            .map_err(failed)?
    };
    std::thread::spawn(move || {
        runtime.block_on(async {
            let waiting = signals.iter_mut().map(|signal| Box::pin(signal.recv()));
            futures::future::select_all(waiting).await;
        });
        interrupted.store(true, Ordering::SeqCst);
    });
    Ok(())
}

/// Shows moments. The story is what the demo is for, and goes to standard output; where that is for one document, to
/// standard error.
struct Teller {
    printer: Printer,
    begun: Instant,
    /// Whether the last moment was a command line: several of them stand together.
    commands: AtomicBool,
}

impl Teller {
    fn new(printer: Printer) -> Self {
        Self { printer, begun: Instant::now(), commands: AtomicBool::new(false) }
    }

    fn line(&self, text: &str) {
        match (self.printer.volume(), self.printer.format()) {
            (Volume::Quiet, _) => {}
            (_, Format::Json) => self.printer.say(text),
            // Whoever no longer reads misses the rest of the story; the hosts are still to be taken down.
            (_, Format::Text) => drop(self.printer.text(&format!("{text}\n"))),
        }
    }

    fn paragraph(&self, text: &str, indent: usize) -> String {
        wrapped(text, indent, indent, self.printer.width())
    }

    fn open(&self, args: &Args) {
        let missing = crate::lab::missing_packages();
        let left = if args.keep { "The hosts stay." } else { "All of it is taken down in the end." };
        self.line(&format!(
            "{BOLD}palisade demo{BOLD:#}\n{}\n{}\n{DIM}{}{DIM:#}",
            self.paragraph(
                "Four throwaway Debian servers come up on this machine: dev, test, and in prod a web server with a \
                 database behind it. They are enrolled, audited, made what their inventory declares, and audited \
                 again; then one of them loses its network in the middle of a change, and goes back by itself.",
                0
            ),
            self.paragraph(
                &format!(
                    "It installs on this machine: {}. It keeps the bases of the hosts in {}, for the next time, and \
                     uses a network of its own. {left}",
                    if missing.is_empty() { "nothing, all it needs is there".to_owned() } else { missing.join(" ") },
                    args.lab_dir.display(),
                ),
                0
            ),
            self.paragraph("About one minute; the first time about four. Ctrl-C takes everything down.", 0),
        ));
    }

    fn tell(&self, moment: &Moment) {
        let seconds = self.begun.elapsed().as_secs();
        let after_command = self.commands.swap(matches!(moment, Moment::Command(_)), Ordering::SeqCst);
        match moment {
            Moment::Chapter { number, title, says } => self.line(&format!(
                "\n\n{BOLD}{number}/{CHAPTERS}  {title}{BOLD:#}  {DIM}{seconds} s{DIM:#}\n{}",
                self.paragraph(says, 5)
            )),
            Moment::Command(command) => {
                let apart = if after_command { "" } else { "\n" };
                self.line(&format!("{apart}{BOLD}$ {command}{BOLD:#}"));
            }
            Moment::Lab(LabEvent::Detail(line)) => self.printer.detail(&format!("  {line}")),
            Moment::Lab(event) => self.line(&format!("  {DIM}{event}{DIM:#}")),
            Moment::Text(text) => self.line(text),
            Moment::Meanwhile(text) => {
                // A verb's moving line may stand there.
                if io::stderr().is_terminal() {
                    drop(io::stderr().write_all(b"\r\x1b[2K"));
                }
                self.line(&format!("{WARN}{BOLD}>>{BOLD:#}{WARN:#} {WARN}{text}{WARN:#}"));
            }
            Moment::Seen(what) => self.line(&format!("{GOOD}{BOLD}✓{BOLD:#} {what}{GOOD:#}")),
        }
    }
}

fn ending(args: &Args, told: &Told) -> String {
    let mut text = format!(
        "\n{GOOD}{BOLD}All {} things were seen, in {:.0} s.{BOLD:#}{GOOD:#}\n\n",
        told.seen.len(),
        told.took.as_secs_f64()
    );
    let _ = writeln!(text, "Evidence      {} runs in {}/runs", told.runs, told.evidence.display());
    match &told.kept {
        Some(variables) => {
            text.push_str("The hosts are still there. To go on with them:\n");
            for (name, value) in variables {
                let _ = writeln!(text, "  export {name}={value}");
            }
            let _ = writeln!(text, "  palisade audit prod");
            let _ = writeln!(
                text,
                "  {:<44}{DIM}a root shell on a host{DIM:#}",
                lab_command(args, "shell web-1")
            );
            let _ = writeln!(
                text,
                "  {:<44}{DIM}take them down{DIM:#}",
                lab_command(args, &format!("down {NAME}"))
            );
        }
        None => {
            let _ = writeln!(
                text,
                "              {DIM}palisade runs --project {}{DIM:#}",
                told.evidence.display()
            );
        }
    }
    text.push_str("What to do next\n");
    for (command, says) in [
        ("palisade init my-servers", "an inventory to make yours"),
        ("palisade check --project my-servers", "is it well-formed? contacts nothing"),
        ("palisade lab up --from my-servers", "practise on a copy of it"),
        ("palisade enrol dev --project my-servers", "then the real thing; --help says how"),
    ] {
        let _ = writeln!(text, "  {command:<44}{DIM}{says}{DIM:#}");
    }
    text.trim_end().to_owned()
}

fn lab_command(args: &Args, rest: &str) -> String {
    if args.lab_dir.as_os_str() == DEFAULT_PLACE {
        format!("palisade lab {rest}")
    } else {
        format!("palisade lab --lab-dir {} {rest}", args.lab_dir.display())
    }
}
