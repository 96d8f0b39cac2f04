//! One file per verb: its arguments and its run. Files are read and written here; nothing is decided.

pub mod apply;
pub mod approve;
pub mod audit;
pub mod calendar;
pub mod check;
mod confirm;
pub mod demo;
pub mod diff;
pub mod enrol;
mod inputs;
pub mod init;
pub mod inventory;
pub mod lab;
pub mod merge;
pub mod patch;
pub mod plan;
mod passphrase;
mod reach;
pub mod report;
pub mod retire;
mod runtime;
pub mod runs;
pub mod schema;
mod secrets;
pub mod shell;
mod signals;
pub mod status;
pub mod unlock;

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::{PossibleValuesParser, TypedValueParser};

use crate::domain::{ControlId, Environment, UserName};
use crate::failure::{Failure, Kind};
use crate::inventory::EnvironmentInventory;
use crate::project::Project;
use crate::source::duration;
use crate::text::Malformed;
use crate::ui::{Format, Printer, Volume};

/// What every verb takes.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Common options")]
pub struct Common {
    /// The project's folder.
    #[arg(long, global = true, value_name = "DIR", default_value = ".", env = "PALISADE_PROJECT")]
    pub project: PathBuf,
    /// Who you are: a person or machine account of the inventory.
    #[arg(long = "as", global = true, value_name = "PERSON", env = "PALISADE_AS", value_parser = checked::<UserName>)]
    pub person: Option<UserName>,
    /// The private key to use, where no agent holds it. Its passphrase is asked for at the terminal alone.
    #[arg(long, global = true, value_name = "FILE", env = "PALISADE_IDENTITY")]
    pub identity: Option<PathBuf>,
    /// Only these hosts: names, globs (`db-*`) and `role:NAME`, separated by commas. plan and apply say which other hosts
    /// their rules concern.
    #[arg(long, global = true, value_name = "PATTERN")]
    pub limit: Option<String>,
    /// Only this control; may be given several times.
    #[arg(long = "control", global = true, value_name = "ID", value_parser = checked::<ControlId>)]
    pub controls: Vec<ControlId>,
    /// What standard output is for: people, or one JSON document.
    #[arg(long, global = true, value_enum, default_value_t = Format::Text)]
    pub format: Format,
    /// How many hosts at a time.
    #[arg(long, global = true, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub concurrency: u16,
    /// How hosts are reached.
    #[arg(long, global = true, value_enum, default_value_t = Transport::Auto)]
    pub transport: Transport,
    /// Say nothing but failures.
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
    /// Say more.
    #[arg(short, long, global = true)]
    pub verbose: bool,
    /// Do not ask for confirmation. No safety refusal is skipped.
    #[arg(long, global = true)]
    pub yes: bool,
}

/// How hosts are reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Transport {
    /// By ssh(1) where the host's ssh configuration asks for what only ssh can do, else within this process.
    #[default]
    Auto,
    /// SSH within this process. The ssh configuration is not read.
    Russh,
    /// By ssh(1), with the ssh configuration: `ProxyCommand`, certificates, security keys.
    Openssh,
}

impl Common {
    /// The way to the terminal that these options ask for.
    pub fn printer(&self) -> Printer {
        let volume = match (self.quiet, self.verbose) {
            (true, _) => Volume::Quiet,
            (_, true) => Volume::Verbose,
            _ => Volume::Normal,
        };
        Printer::new(self.format, volume)
    }
}

/// An argument of a checked type; its refusal says what is accepted.
pub fn checked<T: std::str::FromStr<Err = Malformed>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|error: Malformed| format!("{}; {}", error.why, error.fix))
}

/// An argument that is a length of time: `90s`, `10min`.
pub(crate) fn length_of_time(text: &str) -> Result<Duration, String> {
    duration(text).map_err(|error| format!("{}; {}", error.why, error.fix))
}

/// Asks a person at the terminal; true only for an explicit yes.
pub(crate) fn ask(question: &str) -> Result<bool, Failure> {
    use std::io::{BufRead as _, Write as _};
    let mut err = anstream::stderr().lock();
    write!(err, "{question}")?;
    err.flush()?;
    drop(err);
    let answer = signals::asking(|| {
        let mut answer = String::new();
        std::io::stdin().lock().read_line(&mut answer).map(|_| answer)
    })??;
    Ok(answer.trim() == "yes")
}

/// The argument ENV.
pub fn environment() -> impl TypedValueParser<Value = Environment> {
    PossibleValuesParser::new(Environment::ALL.map(Environment::as_str))
        .try_map(|text| text.parse::<Environment>())
}

/// The environment that a verb is about, where the project has it.
pub fn environment_inventory(
    project: &Project,
    environment: Environment,
) -> Result<&EnvironmentInventory, Failure> {
    project.fleet.environments.get(&environment).ok_or_else(|| {
        let there = project.fleet.environments.keys().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        Failure::new(Kind::Refused, anyhow::anyhow!("the project has no environment {environment}"))
            .hint(format!("there is {there}; inventories/{environment}.yaml would declare it"))
    })
}
