//! `palisade lab shell`: a command inside a host, or a shell.

use crate::failure::Failure;
use crate::lab::LabFolder;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The host.
    host: String,
    /// The lab; needed where there are several.
    #[arg(long, value_name = "NAME")]
    lab: Option<String>,
    /// The command and its arguments.
    #[arg(last = true)]
    command: Vec<String>,
}

pub(super) fn run(args: &Args, labs: &LabFolder) -> Result<u8, Failure> {
    Ok(labs.find(args.lab.as_deref())?.host(&args.host)?.shell(&args.command)?)
}
