//! `palisade report`: a run as its record says, shown as the run itself showed it.

use super::Common;
use crate::failure::Failure;
use crate::report::{self, Depth, Report};
use crate::store::{self, RecordError};
use crate::ui::{Format, Printer};

/// The verbs whose records are shown.
const SHOWN: [&str; 3] = ["audit", "plan", "apply"];

/// Show again what a run showed, from its record. Contacts nothing.
///
/// The record has to be what its manifest says. Its verdicts are those of the day on which it was made.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  palisade report                                           the newest run\n  \
    palisade report 20261128t220000123z-1a2b3c4d\n  \
    palisade report runs/20261128t220000123z-prod-audit-1a2b3c4d --format json\n\n\
    Exit codes: 0 it was shown, whatever it says; 2 there is no such record, it was changed, or it is of another verb."
)]
pub struct Args {
    /// The run: its id, or its folder in runs/; the newest where it is left out.
    #[arg(value_name = "RUN")]
    run: Option<String>,
    /// Of a plan, one line per step instead of diffs.
    #[arg(long)]
    short: bool,
}

/// Runs the verb.
pub fn run(args: &Args, common: &Common, printer: &Printer) -> Result<u8, Failure> {
    let (folder, record) = store::read_record(&common.project, args.run.as_deref()).map_err(|error| {
        let failure = Failure::refused(error.to_string());
        match error {
            RecordError::Missing(_) | RecordError::Ambiguous { .. } => {
                failure.hint("`palisade runs` lists them")
            }
            _ => failure,
        }
    })?;
    let verb = record.header.verb.clone();
    if !SHOWN.contains(&verb.as_str()) {
        return Err(Failure::refused(format!(
            "{} is a record of `{verb}`; those of {} are shown",
            folder.display(),
            SHOWN.join(", ")
        )));
    }
    let report = Report::of(record, folder.display().to_string());
    let depth = if args.short { Depth::Short } else { Depth::Diffs };
    printer.text(&match verb.as_str() {
        "audit" => report::audit(&report, printer.view()),
        "plan" => report::plan(&report, printer.view(), depth),
        _ => report::change(&report, printer.view()),
    })?;
    if printer.format() == Format::Json {
        printer.json(&report.json())?;
    }
    Ok(0)
}
