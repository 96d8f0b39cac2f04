//! Who must not reach a host, derived from what the inventory says: admin interfaces, and what the internet must never
//! reach.

use super::Place;
use super::around::is_never;
use super::firewall::{FirewallError, management};
use crate::inventory::From;
use crate::resource::allowlist::{Allowlist, Interface};
use crate::resource::exposure::Exposure;

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
            container: listener.container,
        })
        .collect();
    Allowlist { admin: place.estate.admin.clone(), most: place.fleet.limits.admin_addresses, interfaces }
}

/// What must not be reached from the internet, on the host and through it.
pub(super) fn exposure(place: &Place<'_>) -> Result<Exposure, FirewallError> {
    Ok(Exposure {
        never: is_never(place.estate, place.host),
        private: place.estate.private.clone(),
        gateways: place.estate.gateways.clone(),
        sources: management(place.estate, place.host)?,
        protected: place.around.never_beside(place.host),
    })
}
