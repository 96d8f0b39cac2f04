//! Who must not reach a host, derived from what the inventory says: admin interfaces, what the internet must never reach,
//! and what belongs to other environments.

use std::collections::BTreeSet;

use super::Place;
use super::firewall::{FirewallError, management};
use crate::domain::Address;
use crate::inventory::{From, Host};
use crate::resource::allowlist::{Allowlist, Interface};
use crate::resource::exposure::Exposure;
use crate::resource::separation::Separation;

/// The listeners of the host that are open to the admin addresses alone.
pub(super) fn admin_interfaces(place: &Place<'_>) -> Allowlist {
    let roles = place.host.roles.iter().filter_map(|name| place.estate.roles.get(name));
    let interfaces = roles
        .flat_map(|role| &role.listeners)
        .filter(|listener| listener.from == From::Admin)
        .map(|listener| Interface {
            name: listener.name.clone(),
            protocol: listener.protocol,
            port: listener.port,
        })
        .collect();
    Allowlist { admin: place.estate.admin.clone(), most: place.fleet.limits.admin_addresses, interfaces }
}

/// What must not be reached from the internet, on the host and through it.
pub(super) fn exposure(place: &Place<'_>) -> Result<Exposure, FirewallError> {
    let never = |host: &Host| {
        host.roles.iter().filter_map(|name| place.estate.roles.get(name)).any(|role| role.internet_never)
    };
    let others = place.estate.hosts.values().filter(|other| other.name != place.host.name && never(other));
    let protected: BTreeSet<Address> = others.flat_map(Host::addresses).collect();
    Ok(Exposure {
        never: never(place.host),
        private: place.estate.private.clone(),
        sources: management(place.estate, place.host)?,
        protected: protected.into_iter().collect(),
    })
}

/// What hosts and machine accounts of the other environments have.
pub(super) fn separation(place: &Place<'_>) -> Separation {
    let environment = place.estate.environment;
    let mut separation = Separation {
        environment,
        addresses: Vec::new(),
        machines: Vec::new(),
        host_keys: Vec::new(),
        automation: Vec::new(),
    };
    for estate in place.fleet.environments.values().filter(|estate| estate.environment != environment) {
        for host in estate.hosts.values() {
            let owner = format!("{} in {}", host.name, estate.environment);
            separation.addresses.extend(host.addresses().map(|address| (address, owner.clone())));
            let identity = place.identities.hosts.get(&host.name);
            separation.machines.extend(identity.map(|identity| (identity.machine_id.clone(), owner.clone())));
            let keys = place.pins.keys(host.name.as_str()).into_iter();
            separation.host_keys.extend(keys.map(|key| (key.clone(), owner.clone())));
        }
        if let Some(automation) = &estate.automation {
            let owner = format!("{} in {}", automation.user, estate.environment);
            separation.automation.extend(automation.keys.iter().map(|key| (key.clone(), owner.clone())));
        }
    }
    separation
}
