//! From where a host is managed, and the addresses by which two hosts reach each other.

use std::collections::BTreeSet;

use crate::domain::{Address, Cidr, HostName};
use crate::inventory::{EnvironmentInventory, Host};

/// Why nobody could manage a host, or a host could not be reached by one that must reach it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScopeError {
    /// Nobody could manage the host.
    #[error("{host} has no management source: nobody could reach its SSH; declare `networks.admin`")]
    Unmanaged {
        /// The host.
        host: HostName,
    },
    /// A host that must reach it has no address on a network of both.
    #[error("{host} and {other} share no private network; give both an address in one of `networks.private`")]
    Apart {
        /// The host.
        host: HostName,
        /// The other.
        other: HostName,
    },
    /// Its jump host is not in its environment.
    #[error("{host} is reached through {jump}, which is not in its environment")]
    NoJumpHost {
        /// The host.
        host: HostName,
        /// The jump host.
        jump: HostName,
    },
}

/// From where a host is managed, which must never be cut off: the admin networks, the automation's, and its jump host's
/// addresses on the network between them. Sorted, each once.
pub fn management(inventory: &EnvironmentInventory, host: &Host) -> Result<Vec<Cidr>, ScopeError> {
    let mut sources: BTreeSet<Cidr> = inventory.admin.iter().copied().collect();
    sources.extend(inventory.automation.iter().flat_map(|automation| &automation.from));
    sources.extend(jump_addresses(inventory, host)?.into_iter().map(Address::as_cidr));
    if sources.is_empty() {
        return Err(ScopeError::Unmanaged { host: host.name.clone() });
    }
    Ok(sources.into_iter().collect())
}

/// The addresses from which a host sees its jump host come; none where it has no jump host.
pub(super) fn jump_addresses(
    inventory: &EnvironmentInventory,
    host: &Host,
) -> Result<Vec<Address>, ScopeError> {
    let Some(name) = &host.jump else { return Ok(Vec::new()) };
    let jump = inventory
        .hosts
        .get(name)
        .ok_or_else(|| ScopeError::NoJumpHost { host: host.name.clone(), jump: name.clone() })?;
    let mut addresses = shared_addresses(inventory, host, jump);
    // Where we connect to a public address, the jump host comes from one of its own.
    if let Some(target) = host.public.first() {
        addresses.extend(jump.public.iter().filter(|address| address.family() == target.family()));
    }
    if addresses.is_empty() {
        return Err(ScopeError::Apart { host: host.name.clone(), other: name.clone() });
    }
    Ok(addresses)
}

/// The addresses of `other` on the private networks that it shares with `host`.
pub fn shared_addresses(inventory: &EnvironmentInventory, host: &Host, other: &Host) -> Vec<Address> {
    let shared = |address: &Address| {
        inventory.private.iter().any(|network| {
            network.contains(*address) && host.private.iter().any(|ours| network.contains(*ours))
        })
    };
    other.private.iter().copied().filter(shared).collect()
}
