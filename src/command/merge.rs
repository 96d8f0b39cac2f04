//! `palisade merge`: the records of the shards of a run become one record. Contacts nothing.

use std::io;
use std::path::PathBuf;

use super::Common;
use super::report::refused;
use crate::failure::Failure;
use crate::fleet::{now, run_id};
use crate::inventory;
use crate::record::{Hosts as _, Line, Shard, Tally, merged_footer, merged_header};
use crate::report::{Depth, Page, Report};
use crate::store::{RecordFile, Writing, folder_name};
use crate::ui::Printer;

/// Make one record of the records of several runs, each of which had its own part of the hosts. Contacts nothing.
///
/// For fleets that several machines audit at a time, each with its `--limit`. The runs must have the same verb, environment,
/// controls, files of the project and version of palisade, and no host twice. The merged record is written to runs/ as a
/// run of its own; it names the runs that it was made of, and holds their lines as they are.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  palisade merge shards/*\n  palisade merge runs/20261128t220000123z-prod-audit-1a2b3c4d \
    /mnt/other/runs/20261128t220001456z-prod-audit-5e6f7a8b\n\n\
    Exit codes: 0 merged, whatever the record says; 1 it could not be written; 2 the records cannot be merged, or one was changed."
)]
pub struct Args {
    /// Folders of runs, each with its record and its manifest.
    #[arg(value_name = "DIR", required = true)]
    folders: Vec<PathBuf>,
}

/// Runs the verb.
pub fn run(args: &Args, common: &Common, printer: &Printer) -> Result<u8, Failure> {
    let root = &common.project;
    if !root.join(inventory::DIRECTORY).is_dir() {
        return Err(Failure::refused(format!("{} is no project: it has no inventories/", root.display()))
            .hint("name the project's folder with --project"));
    }
    let open = |folder: &PathBuf| RecordFile::open(folder.clone(), folder.display().to_string());
    let shards = args.folders.iter().map(open).collect::<Result<Vec<_>, _>>().map_err(refused)?;
    let headers: Vec<_> = shards.iter().map(|shard| &shard.run.header).collect();
    let header = merged_header(run_id(), &headers).map_err(Failure::refused)?;
    let name = folder_name(&header.run, header.environment, &header.verb);
    let write = || {
        let mut record = Writing::begin(root, &name)?;
        record.line(&Line::Run(&header))?;
        for shard in &shards {
            record.line(&Line::Merged(Shard::of(&shard.run, &shard.manifest)))?;
        }
        let mut tally = Tally::default();
        for shard in &shards {
            tally.join(shard.tally());
            copy(shard, &mut record)?;
        }
        let runs: Vec<_> = shards.iter().map(|shard| &shard.run).collect();
        record.line(&Line::End(&merged_footer(&header.verb, &runs, &tally, now())))?;
        record.finish(&header.run)
    };
    let folder = write().map_err(|error: io::Error| {
        Failure::from(anyhow::anyhow!("the merged record could not be written to runs/{name}: {error}"))
    })?;
    let record = RecordFile::open(folder, format!("runs/{name}")).map_err(refused)?;
    printer.show(&Page::Run(&Report::of(record), Depth::Diffs))?;
    Ok(0)
}

/// All lines of a shard but the first and the last, as they are.
fn copy(shard: &RecordFile, record: &mut Writing) -> io::Result<()> {
    let mut held: Option<Vec<u8>> = None;
    let mut first = true;
    shard.lines(&mut |line| {
        if std::mem::take(&mut first) {
            return Ok(());
        }
        // The last line is held back to the end, and stays there.
        if let Some(before) = &held {
            record.write(before)?;
        }
        let held = held.get_or_insert_default();
        held.clear();
        held.extend_from_slice(line);
        Ok(())
    })
}
