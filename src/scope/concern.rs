//! Whom a selection leaves out although it is concerned: hosts whose own rules name a selected host. It only names them;
//! what their rules are is said in [`crate::kinds::firewall`] and in the templates.

use std::collections::BTreeSet;

use crate::domain::HostName;
use crate::inventory::{EnvironmentInventory, From, Host};

/// A host that was not selected, and what of it follows from hosts that were.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Concern {
    /// The host.
    pub host: HostName,
    /// One phrase for each selected host that its rules name.
    pub why: Vec<String>,
}

/// The hosts of `inventory` that are not among `selected`, and whose firewall or sshd names one of these: where a selected
/// host was added, moved or changed its roles, they need a change too.
pub fn concerned(inventory: &EnvironmentInventory, selected: &BTreeSet<HostName>) -> Vec<Concern> {
    let left_out = inventory.hosts.values().filter(|host| !selected.contains(&host.name));
    left_out
        .filter_map(|host| {
            let why: Vec<String> = inventory
                .hosts
                .values()
                .filter(|other| selected.contains(&other.name))
                .filter_map(|other| names(inventory, host, other))
                .collect();
            (!why.is_empty()).then(|| Concern { host: host.name.clone(), why })
        })
        .collect()
}

/// How `host`'s rules name `other`.
fn names(inventory: &EnvironmentInventory, host: &Host, other: &Host) -> Option<String> {
    let mut how: Vec<String> = Vec::new();
    let roles = host.roles.iter().filter_map(|role| inventory.roles.get(role));
    let sources = roles.flat_map(|role| &role.listeners).map(|listener| &listener.from);
    for source in sources.chain([&inventory.ssh_from]) {
        if let From::Role(role) = source
            && other.roles.contains(role)
        {
            let as_role = format!("as role:{role}");
            if !how.contains(&as_role) {
                how.push(as_role);
            }
        }
    }
    if host.jump.as_ref() == Some(&other.name) {
        how.push("as its jump host".to_owned());
    }
    if other.jump.as_ref() == Some(&host.name) {
        how.push("as a host behind it".to_owned());
    }
    (!how.is_empty()).then(|| format!("{} {}", other.name, how.join(" and ")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Environment;
    use crate::inventory::Fleet;

    fn fleet() -> Fleet {
        crate::inventory::parse(&crate::inventory::example()).unwrap()
    }

    fn said(selected: &[&str]) -> Vec<String> {
        let fleet = fleet();
        let selected = selected.iter().map(|name| name.parse().unwrap()).collect();
        let concerned = concerned(&fleet.environments[&Environment::Prod], &selected);
        concerned.iter().map(|one| format!("{}: {}", one.host, one.why.join(", "))).collect()
    }

    #[test]
    fn those_whose_rules_name_a_selected_host_are_named() {
        assert_eq!(
            said(&["web-1"]),
            ["db-1: web-1 as role:web and as its jump host", "db-2: web-1 as its jump host"]
        );
        assert_eq!(said(&["db-1"]), ["db-2: db-1 as role:database", "web-1: db-1 as a host behind it"]);
        assert_eq!(said(&["db-2"]), ["web-1: db-2 as a host behind it"]);
        assert_eq!(said(&["db-1", "db-2", "web-1"]), [""; 0]);
        assert_eq!(said(&["db-1", "web-1"]), ["db-2: db-1 as role:database, web-1 as its jump host"]);
    }
}
