//! `palisade status`: who holds a host, and what is pending there. Read-only.

use super::Common;
use super::inputs::RunInputs;
use super::signals::unless_interrupted;
use crate::domain::Environment;
use crate::failure::Failure;
use crate::fleet::now;
use crate::report::{Page, Status};
use crate::ui::Printer;

/// Show who holds each host, and which change is pending there.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  palisade status prod --as alice\n  palisade unlock web-1 --tx 20261128t220000123z-1a2b3c4d   \
    gives a host free whose run died\n\n\
    Exit codes: 0 every host is free, 4 a host could not be asked, 6 a host is held or a change is pending."
)]
pub struct Args {
    /// dev, test or prod.
    #[arg(value_name = "ENV", value_parser = super::environment())]
    environment: Environment,
}

/// Runs the verb.
pub fn run(args: &Args, common: &Common, printer: &Printer) -> Result<u8, Failure> {
    let inputs = RunInputs::new(common, args.environment, *printer)?.with_a_key()?;
    let all = unless_interrupted(inputs.run.facts(&inputs.jobs))?;
    let status = Status { environment: args.environment, hosts: &all, now: now() };
    printer.show(&Page::Status(&status))?;
    Ok(if all.iter().any(|(_, facts)| facts.as_ref().is_ok_and(|facts| facts.state() != "free")) {
        6
    } else if all.iter().any(|(_, facts)| facts.is_err()) {
        4
    } else {
        0
    })
}
