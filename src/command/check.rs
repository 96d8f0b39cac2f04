//! `palisade check`: everything wrong with a project's files, at once. Contacts nothing.

use serde_json::json;

use super::Common;
use crate::failure::Failure;
use crate::playbook::Origin;
use crate::project::Project;
use crate::ui::Printer;

/// Validate inventories, playbooks and templates, offline.
///
/// Everything wrong with all files is shown at once, each with its place, the reason and the fix.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  palisade check\n  palisade check --project infra --format json\n\n\
    Exit codes: 0 nothing is refused, 2 something is.")]
pub struct Args {}

/// Runs the verb.
pub fn run(_args: &Args, common: &Common, printer: &Printer) -> Result<u8, Failure> {
    let project = Project::read(&common.project)?;
    let estates = || project.fleet.environments.values();
    let hosts: usize = estates().map(|estate| estate.hosts.len()).sum();
    let listeners: usize =
        estates().flat_map(|estate| estate.roles.values()).map(|role| role.listeners.len()).sum();
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
    printer.text(&format!(
        "{} environments, {hosts} hosts, {listeners} listeners, {} people, {} controls, {} templates in {} files: nothing is refused\n",
        project.fleet.environments.len(),
        project.fleet.people.len(),
        project.playbook.controls.len(),
        project.templates.names().count(),
        project.inputs.len(),
    ))?;
    if !own.is_empty() {
        printer.text(&format!("differs from what palisade comes with: {}\n", own.join(", ")))?;
    }
    printer.json(&json!({
        "checked": {
            "environments": project.fleet.environments.len(),
            "hosts": hosts,
            "listeners": listeners,
            "people": project.fleet.people.len(),
            "controls": project.playbook.controls.len(),
            "templates": project.templates.names().count(),
            "files": project.inputs.len(),
        },
        "differs": own,
        "refusals": [],
    }))?;
    Ok(0)
}
