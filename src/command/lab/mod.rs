//! `palisade lab`: throwaway hosts, up, down, shown and entered. What a lab is stands in [`crate::lab`].

mod down;
mod shell;
mod status;
mod table;
mod up;

use std::path::PathBuf;

use clap::Subcommand;

pub(super) use up::Distribution;

use crate::failure::{Failure, Kind};
use crate::lab::{LabError, LabEvent, LabFolder};
use crate::ui::Printer;

/// Throwaway Debian hosts on this machine, to practise on (needs Linux and root).
///
/// Hosts come up as a provider delivers them: a vendor's account with sudo, passwords on, no firewall, a key that
/// someone left behind, a program that listens everywhere. The lab writes a project about them, on which every other
/// verb works; `lab up --from` makes that project a copy of yours, at the lab's own addresses and with its own keys.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  palisade lab up                      three hosts\n  palisade lab up --from inventories/  one for each of yours\n  palisade lab shell web-1 -- ss -tln\n  palisade lab down"
)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
    /// The folder that holds labs, and the bases that they stand on.
    #[arg(long, value_name = "DIR", default_value = "/var/cache/palisade/lab", global = true)]
    lab_dir: PathBuf,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Bring hosts up.
    Up(up::Args),
    /// Take a lab down, and remove everything that it left.
    Down(down::Args),
    /// Show the labs and their hosts.
    Status,
    /// Run a command inside a host as root, or a shell.
    Shell(shell::Args),
}

/// Runs the verb.
pub fn run(args: &Args, printer: &Printer) -> Result<u8, Failure> {
    let labs = LabFolder::new(&args.lab_dir);
    let sink = |event: &LabEvent| match event {
        LabEvent::Detail(line) => printer.detail(line),
        _ => printer.say(&event.to_string()),
    };
    match &args.verb {
        Verb::Up(args) => up::run(args, &labs, &sink, *printer)?,
        Verb::Down(args) => down::run(args, &labs, &sink)?,
        Verb::Status => status::run(&labs, *printer)?,
        Verb::Shell(args) => return shell::run(args, &labs),
    }
    Ok(0)
}

impl From<LabError> for Failure {
    fn from(error: LabError) -> Self {
        let kind = match error {
            LabError::Spec { .. }
            | LabError::NoLab
            | LabError::WhichLab { .. }
            | LabError::NoSuchHost { .. } => Kind::Refused,
            _ => Kind::Failed,
        };
        Self::new(kind, error)
    }
}
