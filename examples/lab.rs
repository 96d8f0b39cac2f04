//! `cargo run --example lab -- up`: the verbs of `palisade lab` alone.

use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser;

#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    lab: palisade::command::lab::Args,
}

fn main() -> anyhow::Result<ExitCode> {
    let sink = |event: &palisade::lab::LabEvent| drop(writeln!(std::io::stderr(), "{event}"));
    palisade::command::lab::run(Arguments::parse().lab, &mut std::io::stdout(), &sink)
}
