//! `palisade plan`: what apply would change. Read-only: one connection and one exec per host.
use std::io::Write as _;
use std::path::PathBuf;

use super::Common;
use super::inputs::{RunInputs, TOOL};
use crate::domain::Environment;
use crate::event::Event;
use crate::failure::Failure;
use crate::fleet;
use crate::plan::Plan;
use crate::record::HostResult;
use crate::report::text::hints;
use crate::report::{Depth, Page};
use crate::rollout;
use crate::ui::Printer;

/// Show what apply would change, as diffs, and what would be cut off.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  palisade plan prod --as alice\n  palisade plan prod --out friday.plan\n  \
    palisade plan prod --limit web-1 --script\n\n\
    Exit codes: 0 nothing to change, 3 there are changes, 4 a host was unreachable or something unknown, 6 something stands in the way."
)]
pub struct Args {
    /// dev, test or prod.
    #[arg(value_name = "ENV", value_parser = super::environment())]
    environment: Environment,
    /// Write the plan to this file, for `apply --plan`.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Print the exact shell that apply would run.
    #[arg(long)]
    script: bool,
    /// Only say what would be changed and cut off, without the diffs.
    #[arg(long, conflicts_with = "script")]
    short: bool,
}

/// Runs the verb.
pub fn run(args: &Args, common: &Common, printer: &Printer) -> Result<u8, Failure> {
    let inputs = RunInputs::new(common, args.environment, *printer)?.may_change()?;
    inputs.tell_left_out(*printer);
    let mut inputs = inputs.with_a_key()?;
    inputs.run.events.emit(Event::Started { verb: "plan", hosts: inputs.jobs.len() });
    let mut results = inputs.look()?;
    rollout::unsettle(&mut results, fleet::now());
    let plan = of(&inputs, &results);
    if let Some(path) = &args.out {
        let mut text = serde_json::to_vec_pretty(&plan).map_err(anyhow::Error::from)?;
        text.push(b'\n');
        crate::store::private_file(path)
            .and_then(|mut file| file.write_all(&text))
            .map_err(|error| Failure::from(anyhow::anyhow!("{}: {error}", path.display())))?;
    }
    let mut report = inputs.report("plan", results);
    inputs.keep(&mut report)?;
    if args.script {
        let scripts = inputs.run.scripts(&inputs.jobs, report.hosts());
        printer.show(&Page::Scripts(&report, &scripts))?;
    } else {
        let depth = if args.short { Depth::Short } else { Depth::Diffs };
        printer.show(&Page::Run(&report, depth))?;
    }
    printer.hints(&hints(&report));
    Ok(report.exit())
}

/// The plan of every host that answered.
pub(super) fn of(inputs: &RunInputs, results: &[HostResult]) -> Plan {
    let hosts = results.iter().filter_map(|result| result.plan.clone()).collect();
    Plan::new(TOOL, inputs.environment, inputs.began, inputs.digest(), hosts)
}
