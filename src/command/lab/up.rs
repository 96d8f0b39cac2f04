//! `palisade lab up`: brings hosts up, and says how to work on them.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::ValueEnum;

use super::table::{document, table};
use crate::domain::HostName;
use crate::failure::Failure;
use crate::inventory::Fleet;
use crate::lab::{KeyOwner, Lab, LabFolder, Sink, Spec, Suite, Suites, practice_fleet};
use crate::project::Project;
use crate::ui::Printer;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// What to call the lab.
    #[arg(long, value_name = "NAME", default_value = "lab", value_parser = crate::command::checked::<HostName>)]
    name: HostName,
    /// A project, or its inventories: one host comes up for each of its hosts.
    #[arg(long, value_name = "DIR", conflicts_with = "hosts")]
    from: Option<PathBuf>,
    /// How many hosts.
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=200))]
    hosts: u8,
    /// Virtual machines in the place of containers: kernels, disks and boots of their own (slow without KVM).
    #[arg(long)]
    vm: bool,
    /// Which distribution they run.
    #[arg(long, value_enum, default_value_t = Distribution::Both)]
    suite: Distribution,
    /// Seconds that a host of the lab waits for confirmation before it takes a change back.
    #[arg(long, value_name = "SECONDS", default_value_t = 20, value_parser = clap::value_parser!(u64).range(2..=1800))]
    rollback_timeout: u64,
}

/// Which distribution the hosts of a lab run.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(in crate::command) enum Distribution {
    /// Debian 12.
    #[value(name = "12")]
    Bookworm,
    /// Debian 13.
    #[value(name = "13")]
    Trixie,
    /// Both, in turn.
    Both,
}

impl Distribution {
    pub(in crate::command) fn suites(self) -> Suites {
        match self {
            Self::Bookworm => Suites::All(Suite::Bookworm),
            Self::Trixie => Suites::All(Suite::Trixie),
            Self::Both => Suites::InTurn,
        }
    }
}

pub(super) fn run(args: &Args, labs: &LabFolder, sink: Sink, printer: Printer) -> Result<(), Failure> {
    let (fleet, original) = match &args.from {
        Some(folder) => {
            let root = project_root(folder);
            (Project::read(&root)?.fleet, Some(root))
        }
        None => (practice_fleet(args.hosts)?, None),
    };
    let spec = Spec::copy_of(&fleet, args.suite.suites())?.named(args.name.clone());
    let spec = if args.vm { spec.as_machines() } else { spec };
    let mut lab = Lab::up(labs, &spec, sink)?;
    lab.write_project(&fleet, original.as_deref(), Duration::from_secs(args.rollback_timeout))?;
    lab.keep()?;
    printer.text(&format!("{}\n{}", table(std::slice::from_ref(&lab)), ways_in(&lab, &fleet)))?;
    printer.json(&document(&[lab]))?;
    Ok(())
}

/// People point at the project or at its inventories.
fn project_root(folder: &Path) -> PathBuf {
    if folder.join("fleet.yaml").is_file() { folder.join("..") } else { folder.to_path_buf() }
}

/// What the other verbs need to know of a lab.
fn ways_in(lab: &Lab, fleet: &Fleet) -> String {
    let person = fleet
        .people
        .values()
        .find(|person| person.approver && !person.access.is_empty())
        .or_else(|| fleet.people.values().find(|person| !person.access.is_empty()));
    let (project, vendor, prints) = (lab.project(), lab.private_key("vendor"), lab.fingerprints());
    let (vendor, prints) = (vendor.display(), prints.display());
    let mut lines = vec![format!("project       {}", project.display())];
    let mut first = Vec::new();
    if let Some(person) = person {
        let owner = KeyOwner { user: person.user.clone(), environment: None };
        let (user, key) = (&person.user, lab.identity(&owner));
        lines.push(format!("person        {user}, with the key {}", key.display()));
        if let Some(environment) = fleet.environments.keys().find(|name| person.access.contains(name)) {
            first = vec![
                format!("cd {}", project.display()),
                format!("export PALISADE_AS={user} PALISADE_IDENTITY={}", key.display()),
                format!("palisade enrol {environment} --bootstrap-user debian \\"),
                format!("  --bootstrap-identity {vendor} \\"),
                format!("  --fingerprints {prints}"),
                format!("palisade audit {environment}"),
                format!("palisade lab down {}", lab.record().name),
            ];
        }
    }
    lines.push(format!("vendor        debian, with the key {vendor}"));
    lines.push(format!("fingerprints  {prints}"));
    let facts = format!(" {}\n", lines.join("\n "));
    if first.is_empty() {
        return facts;
    }
    format!("{facts}\n first commands, and the last\n   {}\n", first.join("\n   "))
}
