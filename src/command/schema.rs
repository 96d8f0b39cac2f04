//! `palisade schema`: what a file of a project, a record and a verb's JSON may hold, as JSON Schema.

use clap::builder::{PossibleValuesParser, TypedValueParser};
use serde_json::Value;

use crate::failure::Failure;
use crate::report::json::Output;
use crate::schema::{self, Subject};
use crate::ui::Printer;

/// Print the JSON Schema of a file, of a run's record, or of what a verb prints with --format json.
///
/// Editors with the YAML language server complete and check a file whose first line names its schema, as the files that
/// `palisade init` writes do. `palisade check` says all that a schema says, and what several values show together.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  palisade schema inventory\n  palisade schema fleet > .palisade/schema/fleet.json\n  \
    palisade schema record            each line of runs/*/record.jsonl\n  \
    palisade schema output audit      what `palisade audit ENV --format json` prints\n\n\
    Reports and merged records have the schema of their run's verb. A verb that fails prints an `error` in its place."
)]
pub struct Args {
    /// The file; `output` with a verb.
    #[arg(value_name = "FILE")]
    file: File,
    /// The verb whose output it is.
    #[arg(value_name = "VERB", value_parser = output(), required_if_eq("file", "output"))]
    verb: Option<Output>,
}

/// What a person may ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
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
    /// A line of runs/*/record.jsonl
    Record,
    /// What a verb prints with --format json
    Output,
}

/// The argument VERB.
fn output() -> impl TypedValueParser<Value = Output> {
    PossibleValuesParser::new(Output::ALL.map(Output::as_str)).try_map(|text| {
        Output::ALL.into_iter().find(|output| output.as_str() == text).ok_or("no verb has this output")
    })
}

impl Args {
    fn document(&self) -> Result<Value, Failure> {
        if let (Some(verb), true) = (self.verb, self.file != File::Output) {
            return Err(Failure::refused(format!("{} is a verb, and goes with `output`", verb.as_str()))
                .hint(format!("palisade schema output {}", verb.as_str())));
        }
        Ok(match (self.file, self.verb) {
            (File::Fleet, _) => Subject::Fleet.document(),
            (File::Inventory, _) => Subject::Inventory.document(),
            (File::Playbook, _) => Subject::Playbook.document(),
            (File::Waivers, _) => Subject::Waivers.document(),
            (File::Release, _) => Subject::Release.document(),
            (File::Record, _) => schema::record(),
            (File::Output, Some(verb)) => verb.document(),
            (File::Output, None) => return Err(Failure::refused("name the verb whose output it is")),
        })
    }
}

/// Runs the verb.
pub fn run(args: &Args, printer: &Printer) -> Result<u8, Failure> {
    // A schema is JSON, whatever format is asked for.
    printer.raw(&format!("{:#}\n", args.document()?))?;
    Ok(0)
}
