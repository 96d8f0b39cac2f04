//! `palisade diff`: what became better, worse, new or gone between two runs, from their records. Contacts nothing.

use super::Common;
use super::report::refused;
use crate::failure::Failure;
use crate::record::{Diff, comparable};
use crate::report::{Compared, Page};
use crate::store::RecordFile;
use crate::ui::Printer;

/// Compare two runs by their records: what became worse, new, better or gone, by control and host. Contacts nothing.
///
/// Unknown is worse than drift, drift is worse than a waiver, and a waiver is worse than compliant; a control that does not
/// apply is as good as compliant. Audits, plans and applies of one environment are compared, whatever inventory and
/// playbook they went by.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  palisade diff 20261121t220000123z-1a2b3c4d 20261128t220000123z-5e6f7a8b\n  \
    palisade diff 20261121t220000123z-1a2b3c4d                 with the newest run\n  \
    palisade diff 20261121t220000123z-1a2b3c4d --format json | jq .summary\n\n\
    Exit codes: 0 nothing is worse, 2 there is no such record, it was changed, or the two cannot be compared, 3 something is \
    worse, or new and not as declared."
)]
pub struct Args {
    /// The earlier run: its id, or its folder in runs/.
    #[arg(value_name = "RUN")]
    earlier: String,
    /// The later run; the newest where it is left out.
    #[arg(value_name = "RUN")]
    later: Option<String>,
}

/// Runs the verb.
pub fn run(args: &Args, common: &Common, printer: &Printer) -> Result<u8, Failure> {
    let earlier = RecordFile::find(&common.project, Some(&args.earlier)).map_err(refused)?;
    let later = RecordFile::find(&common.project, args.later.as_deref()).map_err(refused)?;
    let (before, after) = (&earlier.run.header, &later.run.header);
    comparable(before, after).map_err(Failure::refused)?;
    let diff = Diff::between((before, &earlier), (after, &later))?;
    printer.show(&Page::Diff(&Compared { before, after, diff: &diff }))?;
    Ok(diff.exit())
}
