//! What may be typed, and which verb it starts. Nothing below knows of arguments.

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};

use crate::command::{self, Common};
use crate::failure::Failure;
use crate::ui::Printer;

/// Provisions, hardens, audits and proves dedicated Debian servers over SSH, without an agent.
#[derive(Debug, Parser)]
#[command(
    name = "palisade",
    version,
    max_term_width = 110,
    propagate_version = true,
    arg_required_else_help = true
)]
#[command(after_help = "\
Exit codes:
  0  done; everything compliant, nothing left to change
  1  an operation failed
  2  bad usage, or a file or selection was refused; nothing was contacted
  3  drift: something is not compliant, or the plan has changes
  4  incomplete: a host was unreachable, or something was unknown
  5  changes were rolled back on at least one host
  6  a gate refused: a lock, a host that no longer matches, an unsupported one
  130  interrupted before anything was changed")]
pub struct Cli {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Init(command::init::Args),
    Check(command::check::Args),
    Inventory(command::inventory::Args),
    Schema(command::schema::Args),
    Calendar(command::calendar::Args),
    Audit(command::audit::Args),
    Plan(command::plan::Args),
    Apply(command::apply::Args),
    Status(command::status::Args),
    Unlock(command::unlock::Args),
    Patch(command::patch::Args),
    Approve(command::approve::Args),
    Runs(command::runs::Args),
    Report(command::report::Args),
    Diff(command::diff::Args),
    Merge(command::merge::Args),
    Enrol(command::enrol::Args),
    Retire(command::retire::Args),
    Lab(command::lab::Args),
    Demo(command::demo::Args),
    Completions(command::shell::CompletionsArgs),
    Man(command::shell::ManArgs),
}

/// Parses the command line, runs its verb, shows its failure, and gives the exit code.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let printer = cli.common.printer();
    run(cli, printer).unwrap_or_else(|failure| {
        failure.show(&printer);
        ExitCode::from(failure.exit())
    })
}

fn run(cli: Cli, printer: Printer) -> Result<ExitCode, Failure> {
    let printer = &printer;
    let common = &cli.common;
    let code = match cli.verb {
        Verb::Init(args) => command::init::run(&args, printer)?,
        Verb::Check(args) => command::check::run(&args, common, today(), printer)?,
        Verb::Inventory(args) => command::inventory::run(&args, common, today(), printer)?,
        Verb::Schema(args) => command::schema::run(&args, printer)?,
        Verb::Calendar(args) => command::calendar::run(&args, common, crate::fleet::now(), printer)?,
        Verb::Audit(args) => command::audit::run(&args, common, printer)?,
        Verb::Plan(args) => command::plan::run(&args, common, printer)?,
        Verb::Apply(args) => command::apply::run(&args, common, printer)?,
        Verb::Status(args) => command::status::run(&args, common, printer)?,
        Verb::Unlock(args) => command::unlock::run(&args, common, printer)?,
        Verb::Approve(args) => command::approve::run(&args, common, crate::fleet::now(), printer)?,
        Verb::Patch(args) => command::patch::run(&args, common, crate::fleet::now(), printer)?,
        Verb::Runs(args) => command::runs::run(&args, common, printer)?,
        Verb::Report(args) => command::report::run(&args, common, printer)?,
        Verb::Diff(args) => command::diff::run(&args, common, printer)?,
        Verb::Merge(args) => command::merge::run(&args, common, printer)?,
        Verb::Enrol(args) => command::enrol::run(&args, common, today(), printer)?,
        Verb::Retire(args) => command::retire::run(&args, common, printer)?,
        Verb::Lab(args) => command::lab::run(&args, printer)?,
        Verb::Demo(args) => command::demo::run(&args, printer)?,
        Verb::Completions(args) => command::shell::completions(&args, Cli::command(), printer)?,
        Verb::Man(args) => command::shell::man(&args, Cli::command(), printer)?,
    };
    Ok(ExitCode::from(code))
}

/// The day in UTC, by which access of people is judged.
#[expect(clippy::disallowed_methods, reason = "the clock is read at the edge, once")]
fn today() -> jiff::civil::Date {
    jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).date()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
