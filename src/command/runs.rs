//! `palisade runs`: what was run, as the records on disk say.

use super::Common;
use crate::failure::Failure;
use crate::report::{Page, Runs};
use crate::store;
use crate::text::visible;
use crate::ui::Printer;

/// List the runs of this project, oldest first, and those that were killed before their record was written.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  palisade runs\n  palisade runs --format json")]
pub struct Args {}

/// Runs the verb.
pub fn run(_args: &Args, common: &Common, printer: &Printer) -> Result<u8, Failure> {
    if !common.project.join(crate::inventory::DIRECTORY).is_dir() {
        return Err(Failure::refused(format!(
            "{} is no project: it has no inventories/",
            common.project.display()
        ))
        .hint("name the project's folder with --project"));
    }
    let runs = store::list_runs(&common.project)?;
    let unfinished = store::list_unfinished(&common.project);
    printer.show(&Page::Runs(&Runs { runs: &runs, unfinished: &unfinished }))?;
    if let Some(run) = unfinished.iter().find(|run| !run.goes_on && run.open.is_ok()) {
        printer.say(&format!("go on with what was killed: palisade apply --resume {}", visible(&run.name)));
    }
    Ok(0)
}
