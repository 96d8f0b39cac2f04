//! `palisade lab`: throwaway hosts, up, down, shown and entered. What a lab is stands in [`crate::lab`].

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Subcommand, ValueEnum};

use crate::domain::HostName;
use crate::lab::{HostSpec, Lab, LabEvent, Lifetime, Place, Sink, Spec, Suite};

/// Throwaway Debian hosts on this machine (Linux and root).
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
    /// Folder that holds the labs and the bases that they stand on.
    #[arg(long, value_name = "DIR", default_value = "/var/cache/palisade/lab", global = true)]
    lab_dir: PathBuf,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Bring hosts up, as a provider delivers them.
    Up {
        /// What to call the lab.
        #[arg(long, value_name = "NAME", default_value = "lab")]
        name: HostName,
        /// How many hosts.
        #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=200))]
        hosts: u8,
        /// Which distribution they run.
        #[arg(long, value_enum, default_value_t = Suites::Both)]
        suite: Suites,
    },
    /// Take a lab down, and remove everything that it left.
    Down {
        /// Which lab; needed where there are several.
        name: Option<String>,
        /// All labs, and what dead ones left.
        #[arg(long, conflicts_with = "name")]
        all: bool,
    },
    /// Show the labs and their hosts.
    Status,
    /// Run a command inside a host as root, or a shell.
    Shell {
        /// Which host.
        host: String,
        /// Which lab; needed where there are several.
        #[arg(long, value_name = "NAME")]
        lab: Option<String>,
        /// The command and its arguments.
        #[arg(last = true)]
        command: Vec<String>,
    },
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Suites {
    /// Debian 12.
    #[value(name = "12")]
    Bookworm,
    /// Debian 13.
    #[value(name = "13")]
    Trixie,
    /// Both, in turn.
    Both,
}

impl Suites {
    fn of(self, place: u8) -> Suite {
        let even = place.is_multiple_of(2);
        if matches!(self, Self::Bookworm) || (matches!(self, Self::Both) && even) {
            Suite::Bookworm
        } else {
            Suite::Trixie
        }
    }
}

/// Runs the verb. Tables go to `out`, what happens meanwhile to `sink`.
pub fn run(args: Args, out: &mut dyn std::io::Write, sink: Sink) -> anyhow::Result<ExitCode> {
    let place = Place::new(args.lab_dir);
    match args.verb {
        Verb::Up { name, hosts, suite } => {
            let hosts = (0..hosts)
                .map(|at| Ok(HostSpec::new(format!("host-{}", u16::from(at) + 1).parse()?, suite.of(at))))
                .collect::<Result<Vec<_>, crate::domain::Malformed>>()
                .context("naming the hosts")?;
            let spec = Spec { name: Some(name), hosts, lifetime: Lifetime::Persistent };
            let lab = Lab::up(&place, &spec, sink)?;
            write!(out, "{}", table(&[lab]))?;
        }
        Verb::Down { name, all } => {
            place.sweep(sink)?;
            if all {
                for record in place.records() {
                    place.find(Some(record.id.as_str()))?.down(sink)?;
                }
            } else {
                place.find(name.as_deref())?.down(sink)?;
            }
        }
        Verb::Status => {
            let labs = place
                .records()
                .iter()
                .map(|record| place.find(Some(record.id.as_str())))
                .collect::<Result<Vec<_>, _>>()?;
            if labs.is_empty() {
                sink(&LabEvent::Detail("no lab is up".to_owned()));
            } else {
                write!(out, "{}", table(&labs))?;
            }
        }
        Verb::Shell { host, lab, command } => {
            let lab = place.find(lab.as_deref())?;
            return Ok(ExitCode::from(lab.host(&host)?.shell(&command)?));
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn table(labs: &[Lab]) -> String {
    let mut table = comfy_table::Table::new();
    table
        .load_style(comfy_table::presets::NOTHING)
        .set_header(["LAB", "HOST", "SYSTEM", "STATE", "PUBLIC", "PRIVATE"]);
    for lab in labs {
        for host in lab.hosts() {
            let list = |addresses: &[crate::domain::Address]| {
                addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
            };
            let record = host.record();
            table.add_row([
                lab.record().name.clone(),
                host.name().to_string(),
                record.spec.suite.to_string(),
                host.power().to_string(),
                list(&record.public),
                list(&record.private),
            ]);
        }
    }
    format!("{}\n", table.trim_fmt())
}
