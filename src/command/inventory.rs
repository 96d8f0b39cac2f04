//! `palisade inventory`: what an environment is, as tables or JSON. Contacts nothing.

use jiff::civil::Date;

use super::{Common, environment_inventory};
use crate::domain::Environment;
use crate::failure::{Failure, Kind};
use crate::inventory::select;
use crate::project::Project;
use crate::report::{Inventory, Page};
use crate::ui::Printer;

/// Show hosts, roles, listeners and people of an environment.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  palisade inventory prod\n  palisade inventory prod --limit 'role:database,web-*'\n  \
    palisade inventory dev --format json"
)]
pub struct Args {
    /// dev, test or prod.
    #[arg(value_name = "ENV", value_parser = super::environment())]
    environment: Environment,
}

/// Runs the verb. `today` is where people's access is judged.
pub fn run(args: &Args, common: &Common, today: Date, printer: &Printer) -> Result<u8, Failure> {
    let project = Project::read(&common.project)?;
    let inventory = environment_inventory(&project, args.environment)?;
    let hosts =
        select(inventory, common.limit.as_deref()).map_err(|error| Failure::new(Kind::Refused, error))?;
    printer.show(&Page::Inventory(&Inventory { project: &project, inventory, hosts: &hosts, today }))?;
    Ok(0)
}
