//! `palisade report`: a run as its record says, shown as the run itself showed it.

use super::Common;
use crate::failure::Failure;
use crate::report::{Depth, Page, Report};
use crate::store::{RecordError, RecordFile};
use crate::ui::Printer;

/// Show again what a run showed, from its record. Contacts nothing.
///
/// The record has to be what its manifest says. Its verdicts are those of the day on which it was made.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  palisade report                                           the newest run\n  \
    palisade report 20261128t220000123z-1a2b3c4d\n  \
    palisade report runs/20261128t220000123z-prod-audit-1a2b3c4d --format json\n\n\
    Exit codes: 0 it was shown, whatever it says; 2 there is no such record, or it was changed."
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
    let record = RecordFile::find(&common.project, args.run.as_deref()).map_err(refused)?;
    let depth = if args.short { Depth::Short } else { Depth::Diffs };
    printer.show(&Page::Run(&Report::of(record), depth))?;
    Ok(0)
}

/// Why a record is not shown.
pub(super) fn refused(error: RecordError) -> Failure {
    let unnamed = matches!(error, RecordError::Missing(_) | RecordError::Ambiguous { .. });
    let failure = Failure::refused(error);
    if unnamed { failure.hint("`palisade runs` lists them") } else { failure }
}
