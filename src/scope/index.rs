//! What the hosts of an environment have in common, gathered once for all of them: who has which role, who is reached
//! through whom, what the internet must never reach, what belongs to other environments.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::domain::{Address, Environment, HostName, MachineId, PublicKey, RoleName};
use crate::inventory::{EnvironmentInventory, Fleet, Host, Identities};
use crate::known_hosts::KnownHosts;

/// Things of one sort that belong to other environments, each with its owner in words: `db-1 in prod`.
pub type Owned<T> = Arc<[(T, String)]>;

/// The index of one environment.
#[derive(Debug)]
pub struct EnvironmentIndex<'a> {
    /// The hosts of each role, by name.
    members: BTreeMap<&'a RoleName, Vec<&'a Host>>,
    /// The hosts that are reached through each.
    behind: BTreeMap<&'a HostName, Vec<&'a Host>>,
    /// The addresses of all hosts that the internet must never reach, sorted.
    never: Arc<[Address]>,
    /// The environment.
    pub environment: Environment,
    /// Addresses of the hosts of other environments.
    pub foreign_addresses: Owned<Address>,
    /// Machine ids of the hosts of other environments.
    pub foreign_machines: Owned<MachineId>,
    /// Host keys of the hosts of other environments.
    pub foreign_host_keys: Owned<PublicKey>,
    /// Keys of the machine accounts of other environments.
    pub foreign_automation: Owned<PublicKey>,
}

impl<'a> EnvironmentIndex<'a> {
    /// The index of `inventory`.
    pub fn new(
        fleet: &'a Fleet,
        inventory: &'a EnvironmentInventory,
        identities: &Identities,
        pins: &KnownHosts,
    ) -> Self {
        let mut behind: BTreeMap<&HostName, Vec<&Host>> = BTreeMap::new();
        for host in inventory.hosts.values() {
            if let Some(jump) = &host.jump {
                behind.entry(jump).or_default().push(host);
            }
        }
        let mut members: BTreeMap<&RoleName, Vec<&Host>> = BTreeMap::new();
        for host in inventory.hosts.values() {
            for role in &host.roles {
                members.entry(role).or_default().push(host);
            }
        }
        let never: BTreeSet<Address> = inventory
            .hosts
            .values()
            .filter(|host| is_never(inventory, host))
            .flat_map(Host::addresses)
            .collect();
        let (mut addresses, mut machines) = (Vec::new(), Vec::new());
        let (mut host_keys, mut automation) = (Vec::new(), Vec::new());
        for other in fleet.environments.values().filter(|other| other.environment != inventory.environment) {
            for host in other.hosts.values() {
                let owner = format!("{} in {}", host.name, other.environment);
                addresses.extend(host.addresses().map(|address| (address, owner.clone())));
                let identity = identities.hosts.get(&host.name);
                machines.extend(identity.map(|identity| (identity.machine_id.clone(), owner.clone())));
                let keys = pins.keys(host.name.as_str()).into_iter();
                host_keys.extend(keys.map(|key| (key.clone(), owner.clone())));
            }
            if let Some(account) = &other.automation {
                let owner = format!("{} in {}", account.user, other.environment);
                automation.extend(account.keys.iter().map(|key| (key.clone(), owner.clone())));
            }
        }
        Self {
            members,
            behind,
            never: never.into_iter().collect(),
            environment: inventory.environment,
            foreign_addresses: addresses.into(),
            foreign_machines: machines.into(),
            foreign_host_keys: host_keys.into(),
            foreign_automation: automation.into(),
        }
    }

    /// The hosts of `role`, by name.
    pub fn members(&self, role: &RoleName) -> &[&'a Host] {
        self.members.get(role).map_or(&[], Vec::as_slice)
    }

    /// The hosts that are reached through `host`, by name.
    pub fn behind(&self, host: &HostName) -> &[&'a Host] {
        self.behind.get(host).map_or(&[], Vec::as_slice)
    }

    /// The addresses of the hosts other than `host` that the internet must never reach. Most hosts have all of them.
    pub fn never_beside(&self, host: &Host) -> Arc<[Address]> {
        if host.addresses().all(|own| self.never.binary_search(&own).is_err()) {
            return Arc::clone(&self.never);
        }
        self.never.iter().copied().filter(|address| !host.addresses().any(|own| own == *address)).collect()
    }
}

/// Whether a role of `host` is declared `internet: never`.
pub fn is_never(inventory: &EnvironmentInventory, host: &Host) -> bool {
    host.roles.iter().filter_map(|name| inventory.roles.get(name)).any(|role| role.internet_never)
}
