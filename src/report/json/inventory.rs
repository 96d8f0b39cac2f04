//! An environment of the inventory, as a JSON document.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::domain::{Cidr, Environment, HostName, RoleName, UserName};
use crate::inventory::{Automation, Host, HostIdentity, Limits, Person, Role, ServiceAccount};
use crate::report::Inventory;

/// An environment.
#[derive(Serialize, schemars::JsonSchema)]
pub(super) struct InventoryDocument<'a> {
    /// Name of the company.
    company: &'a str,
    /// The environment.
    environment: Environment,
    /// Numbers that controls promise.
    limits: &'a Limits,
    /// Networks of the environment.
    networks: Networks<'a>,
    /// Roles, by name.
    roles: &'a BTreeMap<RoleName, Role>,
    /// Hosts that were selected.
    hosts: &'a [&'a Host],
    /// Identities of the environment's enrolled hosts, by name.
    identities: BTreeMap<&'a HostName, &'a HostIdentity>,
    /// People with access to servers, now or formerly.
    people: Vec<PersonToday<'a>>,
    /// Machine account of the environment.
    automation: Option<&'a Automation>,
    /// Service accounts, by name.
    accounts: &'a BTreeMap<UserName, ServiceAccount>,
}

/// Networks of an environment.
#[derive(Serialize, schemars::JsonSchema)]
struct Networks<'a> {
    /// Addresses of administrators.
    admin: &'a [Cidr],
    /// Private networks of the hosts.
    private: &'a [Cidr],
}

/// A person.
#[derive(Serialize, schemars::JsonSchema)]
struct PersonToday<'a> {
    /// The person, as declared.
    #[serde(flatten)]
    person: &'a Person,
    /// True where the person has access to the environment today.
    access_today: bool,
}

impl<'a> InventoryDocument<'a> {
    /// Of an environment.
    pub(super) fn of(inventory: &Inventory<'a>) -> Self {
        let Inventory { project, inventory, hosts, today } = *inventory;
        let here = |identity: &HostIdentity| identity.environment == inventory.environment;
        Self {
            company: &project.fleet.company,
            environment: inventory.environment,
            limits: &project.fleet.limits,
            networks: Networks { admin: &inventory.admin, private: &inventory.private },
            roles: &inventory.roles,
            hosts,
            identities: project.identities.hosts.iter().filter(|(_, identity)| here(identity)).collect(),
            people: project
                .fleet
                .people
                .values()
                .map(|person| PersonToday {
                    person,
                    access_today: person.has_access(inventory.environment, today),
                })
                .collect(),
            automation: inventory.automation.as_ref(),
            accounts: &inventory.accounts,
        }
    }
}
