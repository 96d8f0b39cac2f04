//! What the fleet is, made from YAML text with every refusal at once. Nothing here reads a file or contacts a host.

mod country;
mod cross;
mod environment;
mod fleet;
mod hosts;
mod identities;
mod lab;
mod mail;
mod parts;
mod people;
mod release;
mod reserved;
mod roles;
mod unlock;
mod route;
mod selection;
mod shapes;

pub use fleet::{
    Automation, EnvironmentInventory, Fleet, From, Host, Limits, Listener, PackageSource, Person, Role,
    ServiceAccount,
};
pub use identities::{HostIdentity, IDENTITIES_FILE, Identities};
pub use lab::{LAB_FILE, LabMarker};
pub use mail::{MailServer, Tls};
pub(crate) use parts::{SCHEMA, schema};
pub use route::Route;
pub use selection::{NothingSelected, select};
pub use shapes::{ENVIRONMENT_INVENTORY, FLEET};
pub use unlock::Unlock;

use crate::domain::Environment;
use crate::source::{Document, Refusals, Report, Sources};
use crate::text::nearest;

/// Where a project's inventories stand.
pub const DIRECTORY: &str = "inventories";

/// Every file of `inventories/` → the fleet, or everything that is wrong with them. Takes all files at once, since
/// environments are compared with each other even when one is targeted.
pub fn parse(sources: &Sources) -> Result<Fleet, Refusals> {
    let report = Report::new();
    refuse_strays(sources, &report);
    let lab = match sources.get(LAB_FILE).map(LabMarker::parse) {
        Some(Err(refusals)) => {
            report.extend(refusals);
            None
        }
        Some(Ok(marker)) => Some(marker),
        None => None,
    };
    let shared_path = "inventories/fleet.yaml";
    if sources.get(shared_path).is_none() {
        report.whole(shared_path, "the file is missing", "`palisade init DIR` writes an example");
    }
    let shared_document =
        sources.get(shared_path).and_then(|bytes| Document::read(shared_path, bytes, &report));
    let documents: Vec<(Environment, Document)> = Environment::ALL
        .into_iter()
        .filter_map(|environment| {
            let path = format!("{DIRECTORY}/{environment}.yaml");
            Some((environment, Document::read(&path, sources.get(&path)?, &report)?))
        })
        .collect();
    for root in
        documents.iter().map(|(_, document)| document).chain(&shared_document).filter_map(|d| d.root(&report))
    {
        root.refuse_syntax();
    }
    let shared =
        shared_document.as_ref().and_then(|document| people::shared(&document.shaped(&FLEET, &report)?));
    let most_admin =
        shared.as_ref().map_or_else(Limits::default, |shared| shared.fleet.limits.clone()).admin_addresses;
    let drafts: Vec<environment::Draft<'_>> = documents
        .iter()
        .filter_map(|(environment, document)| {
            environment::draft(&document.shaped(&ENVIRONMENT_INVENTORY, &report)?, *environment, most_admin)
        })
        .collect();
    let fleet = shared.map(|shared| {
        cross::check(&shared, &drafts, lab.as_ref(), &report);
        let mut fleet = shared.fleet;
        fleet.environments =
            drafts.into_iter().map(|draft| (draft.inventory.environment, draft.inventory)).collect();
        fleet
    });
    report.finish(fleet)
}

/// Refuses files that would silently not be read, and private keys wherever they lie.
fn refuse_strays(sources: &Sources, report: &Report) {
    const KNOWN: [&str; 7] =
        ["fleet.yaml", "dev.yaml", "test.yaml", "prod.yaml", "identities.yaml", "waivers.yaml", "lab.yaml"];
    for (name, bytes) in sources.in_directory(DIRECTORY) {
        let path = format!("{DIRECTORY}/{name}");
        if KNOWN.contains(&name) {
            continue;
        }
        if matches!(extension(name).as_str(), "yaml" | "yml" | "json") {
            let fix = match nearest(name, KNOWN) {
                Some(near) => format!("rename it to {near}, or move it out of {DIRECTORY}/"),
                None => format!("environments are dev, test and prod: move it out of {DIRECTORY}/"),
            };
            report.whole(&path, "not a file that palisade reads", &fix);
        }
        if crate::source::holds_private_key(&String::from_utf8_lossy(bytes)) {
            let fix = "remove it from the directory and its history, treat it as leaked, and make a new pair";
            report.whole(&path, "a private key", fix);
        }
    }
}

/// What stands behind the last dot, in lower case.
fn extension(name: &str) -> String {
    name.rsplit_once('.').map_or_else(String::new, |(_, extension)| extension.to_lowercase())
}

#[cfg(test)]
pub(crate) use tests::example;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::HostName;

    /// The example fleet, as `palisade init` writes it.
    pub(crate) fn example() -> Sources {
        Sources::new()
            .with("inventories/fleet.yaml", include_str!("../../inventories/fleet.yaml"))
            .with("inventories/dev.yaml", include_str!("../../inventories/dev.yaml"))
            .with("inventories/test.yaml", include_str!("../../inventories/test.yaml"))
            .with("inventories/prod.yaml", include_str!("../../inventories/prod.yaml"))
    }

    #[test]
    fn the_example_fleet_is_read() {
        let fleet = parse(&example()).unwrap_or_else(|refusals| panic!("{}", refusals.annotated(false)));
        assert_eq!(fleet.environments.len(), 3);
        let prod = &fleet.environments[&Environment::Prod];
        let db = &prod.hosts[&"db-1".parse().unwrap()];
        assert_eq!(db.jump.as_ref().map(HostName::as_str), Some("web-1"));
        assert_eq!(db.address().unwrap().to_string(), "10.20.0.5");
        assert!(prod.roles[&"database".parse().unwrap()].internet_never);
    }
}
