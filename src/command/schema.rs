//! `palisade schema`: what a file of a project may hold, as JSON Schema.

use crate::failure::Failure;
use crate::schema::Subject;
use crate::ui::{Format, Printer};

/// Print the JSON Schema of a file, for editors and CI.
///
/// Editors with the YAML language server complete and check a file whose first line names its schema, as the files that
/// `palisade init` writes do. `palisade check` says all that a schema says, and what several values show together.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  palisade schema inventory\n  palisade schema fleet > .palisade/schema/fleet.json"
)]
pub struct Args {
    /// The file.
    #[arg(value_name = "FILE")]
    file: File,
}

/// What a person may ask for.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum File {
    /// inventories/fleet.yaml
    Fleet,
    /// inventories/dev.yaml, test.yaml and prod.yaml
    Inventory,
    /// playbooks/*.yaml
    Playbook,
    /// inventories/waivers.yaml
    Waivers,
    /// releases/ID.yaml
    Release,
}

/// Runs the verb.
pub fn run(args: &Args, printer: &Printer) -> Result<u8, Failure> {
    let subject = match args.file {
        File::Fleet => Subject::Fleet,
        File::Inventory => Subject::Inventory,
        File::Playbook => Subject::Playbook,
        File::Waivers => Subject::Waivers,
        File::Release => Subject::Release,
    };
    if printer.format() == Format::Json {
        printer.json(&subject.document())?;
    } else {
        printer.text(&subject.text())?;
    }
    Ok(0)
}
