//! `palisade lab`: throwaway hosts, up, down, shown and entered. What a lab is stands in [`crate::lab`].

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Subcommand, ValueEnum};
use serde_json::{Value, json};

use crate::domain::{Address, HostName};
use crate::failure::{Failure, Kind};
use crate::inventory::Fleet;
use crate::lab::{
    KeyOwner, Lab, LabError, LabEvent, LabFolder, LabRecord, Spec, Suite, Suites, practice_fleet,
};
use crate::project::Project;
use crate::ui::Printer;

/// Throwaway Debian hosts on this machine, to practise on (needs Linux and root).
///
/// Hosts come up as a provider delivers them: a vendor's account with sudo, passwords on, no firewall, a key that
/// someone left behind, a program that listens everywhere. The lab writes a project about them, on which every other
/// verb works; `lab up --from` makes that project a copy of yours, at the lab's own addresses and with its own keys.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  palisade lab up                      three hosts\n  palisade lab up --from inventories/  one for each of yours\n  palisade lab shell web-1 -- ss -tln\n  palisade lab down"
)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
    /// The folder that holds labs, and the bases that they stand on.
    #[arg(long, value_name = "DIR", default_value = "/var/cache/palisade/lab", global = true)]
    lab_dir: PathBuf,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Bring hosts up.
    Up(Up),
    /// Take a lab down, and remove everything that it left.
    Down {
        /// The lab; needed where there are several.
        name: Option<String>,
        /// All labs, and what dead ones left.
        #[arg(long, conflicts_with = "name")]
        all: bool,
    },
    /// Show the labs and their hosts.
    Status,
    /// Run a command inside a host as root, or a shell.
    Shell {
        /// The host.
        host: String,
        /// The lab; needed where there are several.
        #[arg(long, value_name = "NAME")]
        lab: Option<String>,
        /// The command and its arguments.
        #[arg(last = true)]
        command: Vec<String>,
    },
}

#[derive(Debug, clap::Args)]
struct Up {
    /// What to call the lab.
    #[arg(long, value_name = "NAME", default_value = "lab", value_parser = super::checked::<HostName>)]
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
pub(super) enum Distribution {
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
    pub(super) fn suites(self) -> Suites {
        match self {
            Self::Bookworm => Suites::All(Suite::Bookworm),
            Self::Trixie => Suites::All(Suite::Trixie),
            Self::Both => Suites::InTurn,
        }
    }
}

/// Runs the verb.
pub fn run(args: &Args, printer: &Printer) -> Result<u8, Failure> {
    let place = LabFolder::new(&args.lab_dir);
    let sink = |event: &LabEvent| match event {
        LabEvent::Detail(line) => printer.detail(line),
        _ => printer.say(&event.to_string()),
    };
    match &args.verb {
        Verb::Up(up) => {
            let (fleet, original) = match &up.from {
                Some(folder) => {
                    let root = project_root(folder);
                    (Project::read(&root)?.fleet, Some(root))
                }
                None => (practice_fleet(up.hosts)?, None),
            };
            let spec = Spec::copy_of(&fleet, up.suite.suites())?.named(up.name.clone());
            let spec = if up.vm { spec.as_machines() } else { spec };
            let mut lab = Lab::up(&place, &spec, &sink)?;
            lab.write_project(&fleet, original.as_deref(), Duration::from_secs(up.rollback_timeout))?;
            lab.keep()?;
            printer.text(&format!("{}\n{}", table(std::slice::from_ref(&lab)), ways_in(&lab, &fleet)))?;
            printer.json(&document(&[lab]))?;
        }
        Verb::Down { name, all } => {
            let swept = place.sweep(&sink)?;
            if *all {
                for lab in labs(&place)? {
                    lab.down(&sink)?;
                }
            } else {
                // what was left by a process that is gone has just been removed
                let removed = |record: &LabRecord| name.as_ref().is_none_or(|name| record.is_called(name));
                match place.find(name.as_deref()) {
                    Err(LabError::NoLab | LabError::WhichLab { asked: Some(_), .. })
                        if swept.iter().any(removed) => {}
                    found => found?.down(&sink)?,
                }
            }
        }
        Verb::Status => {
            let labs = labs(&place)?;
            for why in place.unreadable() {
                printer.insist(&why.to_string());
            }
            for left in labs.iter().map(Lab::record).filter(|record| record.is_left()) {
                printer.insist(&format!(
                    "{} is left of a palisade that is gone: the next `palisade lab up` or `lab down` removes it",
                    left.name
                ));
            }
            if labs.is_empty() {
                printer.say("no lab is up");
            } else {
                printer.text(&table(&labs))?;
            }
            printer.json(&document(&labs))?;
        }
        Verb::Shell { host, lab, command } => {
            return Ok(place.find(lab.as_deref())?.host(host)?.shell(command)?);
        }
    }
    Ok(0)
}

impl From<LabError> for Failure {
    fn from(error: LabError) -> Self {
        let kind = match error {
            LabError::Spec { .. }
            | LabError::NoLab
            | LabError::WhichLab { .. }
            | LabError::NoSuchHost { .. } => Kind::Refused,
            _ => Kind::Failed,
        };
        Self::new(kind, error)
    }
}

/// People point at the project or at its inventories.
fn project_root(folder: &Path) -> PathBuf {
    if folder.join("fleet.yaml").is_file() { folder.join("..") } else { folder.to_path_buf() }
}

fn labs(place: &LabFolder) -> Result<Vec<Lab>, LabError> {
    place.records().iter().map(|record| place.find(Some(record.id.as_str()))).collect()
}

fn list(addresses: &[Address]) -> Vec<String> {
    addresses.iter().map(ToString::to_string).collect()
}

fn table(labs: &[Lab]) -> String {
    let mut table = comfy_table::Table::new();
    table
        .load_style(comfy_table::presets::NOTHING)
        .set_header(["LAB", "HOST", "SYSTEM", "STATE", "PUBLIC", "PRIVATE"]);
    for lab in labs {
        for host in lab.hosts() {
            let record = host.record();
            table.add_row([
                lab.record().name.clone(),
                host.name().to_string(),
                record.spec.suite.to_string(),
                host.power().to_string(),
                list(&record.public).join("\n"),
                list(&record.private).join("\n"),
            ]);
        }
    }
    format!("{}\n", table.trim_fmt())
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

fn document(labs: &[Lab]) -> Value {
    let labs: Vec<Value> = labs
        .iter()
        .map(|lab| {
            let hosts: Vec<Value> = lab
                .hosts()
                .map(|host| {
                    let record = host.record();
                    json!({
                        "name": host.name(),
                        "system": record.spec.suite.to_string(),
                        "state": host.power().to_string(),
                        "public": list(&record.public),
                        "private": list(&record.private),
                    })
                })
                .collect();
            json!({
                "name": lab.record().name,
                "id": lab.record().id,
                "folder": lab.folder(),
                "left": lab.record().is_left(),
                "project": lab.project(),
                "hosts": hosts,
            })
        })
        .collect();
    json!({ "labs": labs })
}
