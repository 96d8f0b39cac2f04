//! An environment of the inventory, as tables.

use std::fmt::Write as _;

use comfy_table::Table;
use jiff::civil::Date;

use super::table::plain;
use crate::domain::{Cidr, Environment, PublicKey};
use crate::inventory::{EnvironmentInventory, From, Host, Person};
use crate::project::Project;
use crate::report::Inventory;
use crate::text::visible;

/// What an environment is.
pub(super) fn inventory(inventory: &Inventory<'_>) -> String {
    let Inventory { project, inventory, hosts, today } = *inventory;
    let mut text = format!("{}, {}\n", visible(&project.fleet.company), inventory.environment);
    section(&mut text, "Hosts", host_rows(project, hosts));
    section(&mut text, "Listeners", listener_rows(inventory, hosts));
    section(&mut text, "Networks", network_rows(inventory));
    section(&mut text, "People", people_rows(project, inventory, today));
    section(&mut text, "Accounts", account_rows(inventory));
    text
}

/// A heading and a table whose first row is its header; nothing where there are no other rows.
fn section(text: &mut String, title: &str, mut rows: Vec<Vec<String>>) {
    if rows.len() < 2 {
        return;
    }
    let mut table = Table::new();
    table.set_header(rows.remove(0));
    table.add_rows(rows);
    let _ = write!(text, "\n{title}\n{}", plain(table, 1));
}

fn row<const N: usize>(cells: [&str; N]) -> Vec<String> {
    cells.iter().map(|cell| (*cell).to_owned()).collect()
}

fn list<T: ToString>(items: impl IntoIterator<Item = T>) -> String {
    let joined = items.into_iter().map(|item| item.to_string()).collect::<Vec<_>>().join(", ");
    if joined.is_empty() { "-".to_owned() } else { joined }
}

fn host_rows(project: &Project, hosts: &[&Host]) -> Vec<Vec<String>> {
    let mut rows = vec![row(["NAME", "ROLES", "PUBLIC", "PRIVATE", "SSH", "VIA", "WHERE", "ENROLLED"])];
    rows.extend(hosts.iter().map(|host| {
        let enrolled = project.identities.hosts.get(&host.name);
        let replica =
            host.replica_of.as_ref().map(|primary| format!(", replica of {primary}")).unwrap_or_default();
        vec![
            host.name.to_string(),
            format!("{}{replica}", list(&host.roles)),
            list(&host.public),
            list(&host.private),
            host.ssh_port.to_string(),
            list(&host.jump),
            format!("{} {} {}", host.provider, host.datacenter, host.country),
            enrolled.map_or_else(|| "no".to_owned(), |identity| identity.distribution.clone()),
        ]
    }));
    rows
}

fn who(from: &From) -> String {
    match from {
        From::Internet => "internet".to_owned(),
        From::Admin => "admin".to_owned(),
        From::Private => "private".to_owned(),
        From::Role(role) => format!("role:{role}"),
    }
}

fn listener_rows(inventory: &EnvironmentInventory, hosts: &[&Host]) -> Vec<Vec<String>> {
    let mut rows = vec![row(["ROLE", "LISTENER", "PORT", "FROM", "HOSTS"])];
    for role in inventory.roles.values() {
        let served: Vec<_> =
            hosts.iter().filter(|host| host.roles.contains(&role.name)).map(|host| &host.name).collect();
        if served.is_empty() {
            continue;
        }
        rows.extend(role.listeners.iter().map(|listener| {
            vec![
                role.name.to_string(),
                listener.name.to_string(),
                format!(
                    "{}/{}{}",
                    listener.port,
                    listener.protocol.as_str(),
                    if listener.container { ", a container's" } else { "" }
                ),
                who(&listener.from),
                list(&served),
            ]
        }));
    }
    rows
}

fn network_rows(inventory: &EnvironmentInventory) -> Vec<Vec<String>> {
    let mut rows = vec![row(["NETWORK", "ADDRESSES"])];
    let mut add = |name: &str, networks: &[Cidr]| {
        if !networks.is_empty() {
            rows.push(vec![name.to_owned(), list(networks)]);
        }
    };
    add("admin", &inventory.admin);
    add("private", &inventory.private);
    if let Some(automation) = &inventory.automation {
        add("automation", &automation.from);
    }
    rows
}

/// Whether `person` may enter on `today`, in words.
fn access(person: &Person, environment: Environment, today: Date) -> String {
    if !person.access.contains(&environment) {
        return "no".to_owned();
    }
    match (person.since, person.until) {
        (Some(since), _) if today < since => format!("from {since}"),
        (_, Some(until)) if until < today => format!("ended {until}"),
        (_, Some(until)) => format!("until {until}"),
        _ => "yes".to_owned(),
    }
}

fn people_rows(project: &Project, inventory: &EnvironmentInventory, today: Date) -> Vec<Vec<String>> {
    let mut rows = vec![row(["USER", "NAME", "TITLE", "APPROVES", "ACCESS", "KEYS"])];
    rows.extend(
        project.fleet.people.values().filter(|person| person.access.contains(&inventory.environment)).map(
            |person| {
                vec![
                    person.user.to_string(),
                    visible(person.name.as_str()),
                    visible(person.title.as_str()),
                    if person.approver { "yes" } else { "no" }.to_owned(),
                    access(person, inventory.environment, today),
                    list(person.keys.iter().map(PublicKey::fingerprint)),
                ]
            },
        ),
    );
    rows
}

fn account_rows(inventory: &EnvironmentInventory) -> Vec<Vec<String>> {
    let mut rows = vec![row(["ACCOUNT", "PURPOSE", "SUDO", "KEYS"])];
    if let Some(automation) = &inventory.automation {
        let keys = list(automation.keys.iter().map(PublicKey::fingerprint));
        rows.push(vec![automation.user.to_string(), "automation".to_owned(), "ALL".to_owned(), keys]);
    }
    rows.extend(inventory.accounts.values().map(|account| {
        let keys = list(account.keys.iter().map(PublicKey::fingerprint));
        vec![account.user.to_string(), visible(account.purpose.as_str()), list(&account.sudo), keys]
    }));
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn access_is_said_as_of_a_day() {
        let mut person: Person = {
            let sources = crate::inventory::example();
            crate::inventory::parse(&sources).unwrap().people[&"carol".parse().unwrap()].clone()
        };
        let day = |text: &str| text.parse::<Date>().unwrap();
        assert_eq!(access(&person, Environment::Dev, day("2024-01-01")), "from 2025-01-15");
        assert_eq!(access(&person, Environment::Dev, day("2026-02-28")), "until 2026-02-28");
        assert_eq!(access(&person, Environment::Dev, day("2026-03-01")), "ended 2026-02-28");
        assert_eq!(access(&person, Environment::Prod, day("2026-02-01")), "no");
        person.until = None;
        assert_eq!(access(&person, Environment::Dev, day("2026-03-01")), "yes");
    }
}
