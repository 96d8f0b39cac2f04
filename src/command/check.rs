//! `palisade check`: everything wrong with a project's files, at once. Contacts nothing.

use std::collections::BTreeMap;
use std::path::Path;

use jiff::civil::Date;

use super::Common;
use crate::desired::{Unresolved, resolve};
use crate::domain::Environment;
use crate::failure::Failure;
use crate::inventory;
use crate::known_hosts::KnownHosts;
use crate::playbook::Origin;
use crate::project::Project;
use crate::report::{Checked, Page};
use crate::schema::Subject;
use crate::scope::{EnvironmentIndex, Inputs};
use crate::source::{Refusals, Report};
use crate::ui::Printer;

/// Validate inventories, playbooks and templates, offline.
///
/// Everything wrong with all files is shown at once, each with its place, the reason and the fix.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  palisade check\n  palisade check --project infra --format json\n\n\
    Exit codes: 0 nothing is refused, 2 something is.")]
pub struct Args {}

/// The distributions that hosts may have, where they were not enrolled yet.
const DISTRIBUTIONS: [&str; 2] = ["debian-12", "debian-13"];

/// What one or several hosts have wrong.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Wrong {
    file: String,
    line: usize,
    why: String,
    fix: String,
}

/// The file, the line and the fix of what keeps a host's desired state from being made.
fn place_of(error: &Unresolved, project: &Project, environment: Environment) -> (String, usize, String) {
    let (file, line) = match error {
        Unresolved::Conflict { second: control, .. } | Unresolved::Template { control, .. } => {
            let (file, line) = project.playbook.place(control);
            (file.to_owned(), line)
        }
        Unresolved::Inventory { .. } => (format!("{}/{environment}.yaml", inventory::DIRECTORY), 1),
    };
    let fix = match error {
        Unresolved::Conflict { first, .. } => {
            let (file, line) = project.playbook.place(first);
            format!("change one of the two: {first} stands in {file}:{line}")
        }
        Unresolved::Template { .. } => "correct the template, or the control that names it".to_owned(),
        Unresolved::Inventory { .. } => "change what is named in the inventory".to_owned(),
    };
    (file, line, fix)
}

/// Every host's desired state as of `day`, made and thrown away: what two controls want differently of one thing, and a
/// firewall that would lock somebody out, are found before any host is contacted.
fn resolve_all(project: &Project, day: Date) -> Result<(), Refusals> {
    // What cannot be read of them was refused with the project.
    let pins = KnownHosts::parse(&project.known_hosts).unwrap_or_default();
    let mut wrong: BTreeMap<Wrong, Vec<String>> = BTreeMap::new();
    for inventory in project.fleet.environments.values() {
        let index = EnvironmentIndex::new(&project.fleet, inventory, &project.identities, &pins);
        for host in inventory.hosts.values() {
            let enrolled =
                project.identities.hosts.get(&host.name).map(|identity| identity.distribution.as_str());
            for distribution in enrolled.map_or(DISTRIBUTIONS.to_vec(), |distribution| vec![distribution]) {
                let inputs = Inputs {
                    fleet: &project.fleet,
                    inventory,
                    host,
                    distribution,
                    enrolled: None,
                    turns: None,
                    day,
                    index: &index,
                };
                let Err(error) =
                    resolve(&project.playbook.controls, inputs, &project.waivers, &project.templates)
                else {
                    continue;
                };
                let (file, line, fix) = place_of(&error, project, inventory.environment);
                let said = error.to_string();
                let why = said.strip_prefix(&format!("{}: ", host.name)).unwrap_or(&said).to_owned();
                let hosts = wrong.entry(Wrong { file, line, why, fix }).or_default();
                if !hosts.contains(&host.name.to_string()) {
                    hosts.push(host.name.to_string());
                }
            }
        }
    }
    let report = Report::new();
    for (Wrong { file, line, why, fix }, hosts) in &wrong {
        report.line(file, *line, &format!("{why} (on {})", hosts.join(", ")), fix);
    }
    report.finish(Some(()))
}

/// The project's schemas that are of another palisade: editors would refuse what is right, or take what is wrong.
#[expect(clippy::disallowed_methods, reason = "the verb reads what editors read")]
fn stale_schemas(folder: &Path) -> Vec<Subject> {
    let differs = |subject: &Subject| {
        std::fs::read(folder.join(subject.path())).is_ok_and(|bytes| bytes != subject.text().as_bytes())
    };
    Subject::ALL.into_iter().filter(differs).collect()
}

/// Runs the verb. `today` is where people's access is judged.
pub fn run(_args: &Args, common: &Common, today: Date, printer: &Printer) -> Result<u8, Failure> {
    let project = Project::read(&common.project)?;
    resolve_all(&project, today)?;
    let own: Vec<String> = project
        .playbook
        .controls
        .iter()
        .filter(|control| control.origin != Origin::Builtin)
        .map(|control| format!("control `{}` ({})", control.id, control.origin.as_str()))
        .chain(project.templates.names().filter_map(|name| {
            let origin = project.templates.origin(name).filter(|origin| *origin != Origin::Builtin)?;
            Some(format!("template `{name}` ({})", origin.as_str()))
        }))
        .chain(project.playbook.left_out.iter().map(|id| format!("control `{id}` (left out)")))
        .collect();
    let stale = stale_schemas(&common.project);
    printer.show(&Page::Checked(&Checked { project: &project, differs: &own, stale: &stale }))?;
    Ok(0)
}
