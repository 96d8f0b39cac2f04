//! `palisade lab down`: takes labs down, and removes what they left.

use crate::failure::Failure;
use crate::lab::{LabError, LabFolder, LabRecord, Sink};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The lab; needed where there are several.
    name: Option<String>,
    /// All labs, and what dead ones left.
    #[arg(long, conflicts_with = "name")]
    all: bool,
}

pub(super) fn run(args: &Args, labs: &LabFolder, sink: Sink) -> Result<(), Failure> {
    let swept = labs.sweep(sink)?;
    if args.all {
        for lab in labs.all()? {
            lab.down(sink)?;
        }
        return Ok(());
    }
    // what was left by a process that is gone has just been removed
    let removed = |record: &LabRecord| args.name.as_ref().is_none_or(|name| record.is_called(name));
    match labs.find(args.name.as_deref()) {
        Err(LabError::NoLab | LabError::WhichLab { asked: Some(_), .. }) if swept.iter().any(removed) => {}
        found => found?.down(sink)?,
    }
    Ok(())
}
