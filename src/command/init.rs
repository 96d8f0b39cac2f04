//! `palisade init`: writes an example project, whole or not at all, and overwrites nothing.
#![expect(clippy::disallowed_methods, reason = "this verb writes files")]

use std::fs;
use std::io::{self, Write as _};
use std::path::PathBuf;

use serde_json::json;

use crate::failure::{Failure, Kind};
use crate::schema::Subject;
use crate::ui::Printer;
use crate::{playbook, template};

/// Write an example project: inventories of three environments, the built-in playbook and templates.
///
/// Nothing is overwritten. Names, addresses and keys in it are examples: replace them, then run `palisade check`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  palisade init              into the current folder\n  palisade init infra        into a new folder"
)]
pub struct Args {
    /// The folder; made where it does not exist.
    #[arg(value_name = "DIR", default_value = ".")]
    dir: PathBuf,
}

/// The example's own files. Playbooks and templates come from where the binary has them.
const EXAMPLE: [(&str, &str); 6] = [
    ("README.md", include_str!("../../inventories/README.md")),
    (
        ".gitignore",
        "# Runs hold what hosts answered; keep them where evidence is kept.\n/runs/\n\
        # Packages of releases; keep them until prod has the release.\n/releases/*/pool/\n",
    ),
    ("inventories/fleet.yaml", include_str!("../../inventories/fleet.yaml")),
    ("inventories/dev.yaml", include_str!("../../inventories/dev.yaml")),
    ("inventories/test.yaml", include_str!("../../inventories/test.yaml")),
    ("inventories/prod.yaml", include_str!("../../inventories/prod.yaml")),
];

/// Every file of the example project, by its path within it.
fn files() -> Vec<(String, String)> {
    let example = EXAMPLE.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned()));
    let playbooks = playbook::BUILTIN
        .iter()
        .map(|(name, text)| (format!("{}/{name}", playbook::DIRECTORY), (*text).to_owned()));
    let templates = template::BUILTIN
        .iter()
        .map(|(name, text)| (format!("{}/{name}", template::DIRECTORY), (*text).to_owned()));
    let schemas = Subject::ALL.map(|subject| (subject.path(), subject.text()));
    example.chain(playbooks).chain(templates).chain(schemas).collect()
}

/// Runs the verb.
pub fn run(args: &Args, printer: &Printer) -> Result<u8, Failure> {
    let files = files();
    let there: Vec<&str> = files
        .iter()
        .map(|(path, _)| path.as_str())
        .filter(|path| args.dir.join(path).symlink_metadata().is_ok())
        .collect();
    if !there.is_empty() {
        let why = format!("{} has {} already", args.dir.display(), there.join(", "));
        return Err(
            Failure::refused(why).hint("choose an empty folder: `palisade init DIR` overwrites nothing")
        );
    }
    for (path, text) in &files {
        let target = args.dir.join(path);
        let written =
            target.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| write_new(&target, text));
        written.map_err(|error| {
            Failure::new(
                Kind::Failed,
                anyhow::Error::from(error).context(format!("writing {}", target.display())),
            )
        })?;
    }
    for (path, _) in &files {
        printer.text(&format!("{}\n", args.dir.join(path).display()))?;
    }
    printer
        .json(&json!({"dir": args.dir, "files": files.iter().map(|(path, _)| path).collect::<Vec<_>>()}))?;
    printer.say("replace the example's names, addresses and keys, then run `palisade check`");
    Ok(0)
}

/// Writes a file that is not there yet.
fn write_new(path: &std::path::Path, text: &str) -> io::Result<()> {
    let mut file = fs::OpenOptions::new().write(true).create_new(true).open(path)?;
    file.write_all(text.as_bytes())
}
