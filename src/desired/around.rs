//! What the hosts of an environment have in common, gathered once for all of them: who stands behind whom, what the
//! internet must never reach, what belongs to other environments. A host that looked through the fleet by itself would make
//! a run's cost grow with the square of its size.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::domain::{Address, HostName};
use crate::inventory::{Estate, Fleet, Host, Identities};
use crate::known_hosts::KnownHosts;
use crate::resource::separation::Separation;

/// What stands around the hosts of one environment.
#[derive(Debug)]
pub struct Around<'a> {
    /// The hosts that are reached through each.
    behind: BTreeMap<&'a HostName, Vec<&'a Host>>,
    /// The addresses of all hosts that the internet must never reach, sorted.
    never: Arc<[Address]>,
    /// What hosts and machine accounts of the other environments have.
    separation: Separation,
}

impl<'a> Around<'a> {
    /// Around the hosts of `estate`.
    pub fn new(fleet: &'a Fleet, estate: &'a Estate, identities: &Identities, pins: &KnownHosts) -> Self {
        let mut behind: BTreeMap<&HostName, Vec<&Host>> = BTreeMap::new();
        for host in estate.hosts.values() {
            if let Some(jump) = &host.jump {
                behind.entry(jump).or_default().push(host);
            }
        }
        let never: BTreeSet<Address> =
            estate.hosts.values().filter(|host| is_never(estate, host)).flat_map(Host::addresses).collect();
        Self {
            behind,
            never: never.into_iter().collect(),
            separation: separation(fleet, estate, identities, pins),
        }
    }

    /// The hosts that are reached through `host`, by name.
    pub fn behind(&self, host: &HostName) -> &[&'a Host] {
        self.behind.get(host).map_or(&[], Vec::as_slice)
    }

    /// The addresses of the hosts other than `host` that the internet must never reach. Most hosts have all of them.
    pub(super) fn never_beside(&self, host: &Host) -> Arc<[Address]> {
        if host.addresses().all(|own| self.never.binary_search(&own).is_err()) {
            return Arc::clone(&self.never);
        }
        self.never.iter().copied().filter(|address| !host.addresses().any(|own| own == *address)).collect()
    }

    /// What belongs elsewhere: the same for every host.
    pub(super) fn separation(&self) -> Separation {
        self.separation.clone()
    }
}

/// Whether a role of `host` is declared `internet: never`.
pub(super) fn is_never(estate: &Estate, host: &Host) -> bool {
    host.roles.iter().filter_map(|name| estate.roles.get(name)).any(|role| role.internet_never)
}

fn separation(fleet: &Fleet, estate: &Estate, identities: &Identities, pins: &KnownHosts) -> Separation {
    let environment = estate.environment;
    let (mut addresses, mut machines) = (Vec::new(), Vec::new());
    let (mut host_keys, mut automations) = (Vec::new(), Vec::new());
    for estate in fleet.environments.values().filter(|estate| estate.environment != environment) {
        for host in estate.hosts.values() {
            let owner = format!("{} in {}", host.name, estate.environment);
            addresses.extend(host.addresses().map(|address| (address, owner.clone())));
            let identity = identities.hosts.get(&host.name);
            machines.extend(identity.map(|identity| (identity.machine_id.clone(), owner.clone())));
            let keys = pins.keys(host.name.as_str()).into_iter();
            host_keys.extend(keys.map(|key| (key.clone(), owner.clone())));
        }
        if let Some(automation) = &estate.automation {
            let owner = format!("{} in {}", automation.user, estate.environment);
            automations.extend(automation.keys.iter().map(|key| (key.clone(), owner.clone())));
        }
    }
    Separation {
        environment,
        addresses: addresses.into(),
        machines: machines.into(),
        host_keys: host_keys.into(),
        automation: automations.into(),
    }
}
