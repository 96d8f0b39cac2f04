//! `palisade audit`: how hosts are, against what is declared. Read-only: one connection and one exec per host.

use super::Common;
use super::inputs::{RunInputs, audit_here};
use crate::domain::Environment;
use crate::event::Event;
use crate::failure::Failure;
use crate::fleet;
use crate::report::text::hints;
use crate::report::{Depth, Page};
use crate::rollout;
use crate::ui::Printer;

/// Judge every control on every host, read-only, and keep the evidence.
///
/// One connection and one exec per host. What could not be read is unknown, and never counts as compliant.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  palisade audit prod --as alice\n  palisade audit prod --limit 'web-*' --control firewall\n  \
    palisade audit prod --format json | jq .summary\n  sudo palisade audit --local\n\n\
    Exit codes: 0 all compliant, 3 drift, 4 a host was unreachable or something unknown, 6 a host is not the one that was enrolled."
)]
pub struct Args {
    /// dev, test or prod.
    #[arg(value_name = "ENV", value_parser = super::environment(), required_unless_present = "local")]
    environment: Option<Environment>,
    /// Judge the machine that palisade runs on, as whoever runs it, by the built-in playbook. Needs no project; what
    /// only an inventory or root could tell is unknown. Keeps no record.
    #[arg(long, conflicts_with = "environment")]
    local: bool,
}

/// Runs the verb.
pub fn run(args: &Args, common: &Common, printer: &Printer) -> Result<u8, Failure> {
    let Some(environment) = args.environment else {
        let report = audit_here(common)?;
        printer.show(&Page::Run(&report, Depth::Diffs))?;
        return Ok(report.exit());
    };
    let mut inputs = RunInputs::new(common, environment, *printer)?.with_a_key()?;
    inputs.run.events.emit(Event::Started { verb: "audit", hosts: inputs.jobs.len() });
    let mut results = inputs.look()?;
    rollout::unsettle(&mut results, fleet::now());
    let mut report = inputs.report("audit", results);
    inputs.keep(&mut report)?;
    printer.show(&Page::Run(&report, Depth::Diffs))?;
    printer.hints(&hints(&report));
    Ok(report.exit())
}
