//! The firewall of one host, derived from what the inventory says of listeners and networks. Nobody writes a port twice,
//! and a ruleset that would not let the management in is refused before anything is contacted.

use std::collections::BTreeSet;

use crate::domain::{Address, Cidr, HostName, Protocol, RoleName};
use crate::inventory::{Estate, From, Host};
use crate::resource::nftables::Nftables;
use crate::resource::ruleset::{Fate, Opening, Packet, Reach, Ruleset, Ssh};
use crate::resource::sockets::{Endpoint, Sockets};

/// What a host's firewall amounts to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Firewall {
    /// The rules, and the management sources that they must let in.
    pub nftables: Nftables,
    /// What may listen: sshd and the declared listeners.
    pub sockets: Sockets,
}

/// Why a host has no firewall that we would load.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FirewallError {
    /// Nobody could manage the host.
    #[error("{host} has no management source: nobody could reach its SSH; declare `networks.admin`")]
    Unmanaged {
        /// Which.
        host: HostName,
    },
    /// The rules refuse somebody who manages it.
    #[error("the firewall of {host} would not let SSH in from {network}; nothing was changed")]
    Lockout {
        /// Which.
        host: HostName,
        /// From where.
        network: Cidr,
    },
    /// A host that must reach it has no address on a network of both.
    #[error("{host} and {other} share no private network; give both an address in one of `networks.private`")]
    Apart {
        /// Which.
        host: HostName,
        /// Which other.
        other: HostName,
    },
    /// The way to it leads through a host that is not there.
    #[error("{host} is reached through {jump}, which is not in its environment")]
    NoWay {
        /// Which.
        host: HostName,
        /// The jump host.
        jump: HostName,
    },
}

/// The firewall of `host`, which belongs to `estate`. Where SSH is open to others than the management, each address of
/// theirs begins `attempts` connections a minute.
pub fn firewall(estate: &Estate, host: &Host, attempts: u32) -> Result<Firewall, FirewallError> {
    let management = management(estate, host)?;
    let ssh = Ssh { port: host.ssh_port, from: reach(estate, host, &estate.ssh_from)?, attempts };
    let mut openings = Vec::new();
    let mut expected = BTreeSet::from([Endpoint { protocol: Protocol::Tcp, port: host.ssh_port }]);
    for role in host.roles.iter().filter_map(|name| estate.roles.get(name)) {
        for listener in &role.listeners {
            expected.insert(Endpoint { protocol: listener.protocol, port: listener.port });
            openings.push(Opening {
                role: role.name.clone(),
                listener: listener.name.clone(),
                protocol: listener.protocol,
                port: listener.port,
                from: reach(estate, host, &listener.from)?,
                container: listener.container,
            });
        }
    }
    let ruleset = Ruleset::new(&management, &ssh, &openings);
    let nftables = Nftables { ruleset, management, ssh_port: host.ssh_port };
    refuse_lockout(host, &nftables)?;
    Ok(Firewall { nftables, sockets: Sockets { expected: expected.into_iter().collect() } })
}

/// From where a host is managed, which must never be cut off: the admin networks, the automation's, and its jump host's
/// addresses on the network between them. Sorted, each once.
pub fn management(estate: &Estate, host: &Host) -> Result<Vec<Cidr>, FirewallError> {
    let mut sources: BTreeSet<Cidr> = estate.admin.iter().copied().collect();
    sources.extend(estate.automation.iter().flat_map(|automation| &automation.from));
    sources.extend(way_in(estate, host)?.into_iter().map(Address::as_cidr));
    if sources.is_empty() {
        return Err(FirewallError::Unmanaged { host: host.name.clone() });
    }
    Ok(sources.into_iter().collect())
}

/// The addresses from which a host sees its jump host come; none where it has no jump host.
pub fn way_in(estate: &Estate, host: &Host) -> Result<Vec<Address>, FirewallError> {
    let Some(name) = &host.jump else { return Ok(Vec::new()) };
    let jump = estate
        .hosts
        .get(name)
        .ok_or_else(|| FirewallError::NoWay { host: host.name.clone(), jump: name.clone() })?;
    let mut addresses = shared_addresses(estate, host, jump);
    // Where we connect to a public address, the jump host comes from one of its own.
    if let Some(target) = host.public.first() {
        addresses.extend(jump.public.iter().filter(|address| address.family() == target.family()));
    }
    if addresses.is_empty() {
        return Err(FirewallError::Apart { host: host.name.clone(), other: name.clone() });
    }
    Ok(addresses)
}

fn reach(estate: &Estate, host: &Host, from: &From) -> Result<Reach, FirewallError> {
    Ok(match from {
        From::Internet => Reach::Everywhere,
        From::Admin => Reach::Networks(estate.admin.clone()),
        From::Private => Reach::Networks(estate.private.clone()),
        From::Role(role) => Reach::Networks(members(estate, host, role)?),
    })
}

/// The addresses from which the other hosts of `role` reach `host`.
fn members(estate: &Estate, host: &Host, role: &RoleName) -> Result<Vec<Cidr>, FirewallError> {
    let mut addresses = Vec::new();
    for other in estate.hosts.values().filter(|other| other.name != host.name && other.roles.contains(role)) {
        let shared = shared_addresses(estate, host, other);
        if shared.is_empty() {
            return Err(FirewallError::Apart { host: host.name.clone(), other: other.name.clone() });
        }
        addresses.extend(shared.into_iter().map(Address::as_cidr));
    }
    Ok(addresses)
}

/// The addresses of `other` on the private networks that it shares with `host`.
fn shared_addresses(estate: &Estate, host: &Host, other: &Host) -> Vec<Address> {
    let shared = |address: &Address| {
        estate.private.iter().any(|network| {
            network.contains(*address) && host.private.iter().any(|ours| network.contains(*ours))
        })
    };
    other.private.iter().copied().filter(shared).collect()
}

/// Whether a new connection to SSH passes from either end of every management source.
fn refuse_lockout(host: &Host, firewall: &Nftables) -> Result<(), FirewallError> {
    for network in &firewall.management {
        for source in [network.first(), network.last()] {
            let packet = Packet::first(source, Protocol::Tcp, firewall.ssh_port);
            if firewall.ruleset.simulate(&packet) != Fate::Accept {
                return Err(FirewallError::Lockout { host: host.name.clone(), network: *network });
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Environment, Port};
    use crate::source::Sources;

    fn prod() -> Estate {
        let sources = Sources::new()
            .with("inventories/fleet.yaml", include_str!("../../inventories/fleet.yaml"))
            .with("inventories/prod.yaml", include_str!("../../inventories/prod.yaml"))
            .with("inventories/test.yaml", include_str!("../../inventories/test.yaml"))
            .with("inventories/dev.yaml", include_str!("../../inventories/dev.yaml"));
        crate::inventory::parse(&sources).unwrap().environments.remove(&Environment::Prod).unwrap()
    }

    fn host<'a>(estate: &'a Estate, name: &str) -> &'a Host {
        &estate.hosts[&name.parse::<HostName>().unwrap()]
    }

    fn host_mut<'a>(estate: &'a mut Estate, name: &str) -> &'a mut Host {
        estate.hosts.get_mut(&name.parse::<HostName>().unwrap()).unwrap()
    }

    /// Who of these may open a TCP connection to `port` of `name`.
    fn let_in<'a>(estate: &Estate, name: &str, port: u32, sources: &[&'a str]) -> Vec<&'a str> {
        let firewall = firewall(estate, host(estate, name), 5).unwrap();
        let port: Port = port.try_into().unwrap();
        let passes = |source: &&&str| {
            let packet = Packet::first(source.parse().unwrap(), Protocol::Tcp, port);
            firewall.nftables.ruleset.simulate(&packet) == Fate::Accept
        };
        sources.iter().filter(passes).copied().collect()
    }

    const ADMIN: &str = "198.51.100.10";
    const CI: &str = "198.51.100.60";
    const STRANGER: &str = "203.0.113.66";
    const STRANGER_V6: &str = "2001:db8:66::1";
    const WEB: &str = "10.20.0.4";
    const WEB_PUBLIC: &str = "198.51.100.21";
    const DB_1: &str = "10.20.0.5";
    const DB_2: &str = "10.20.0.6";
    const ALL: [&str; 8] = [ADMIN, CI, STRANGER, STRANGER_V6, WEB, WEB_PUBLIC, DB_1, DB_2];

    #[test]
    fn a_listener_is_reached_by_those_it_names_and_nobody_else() {
        let estate = prod();
        assert_eq!(let_in(&estate, "web-1", 443, &ALL), ALL);
        assert_eq!(let_in(&estate, "web-1", 8443, &ALL), [ADMIN]);
        assert_eq!(let_in(&estate, "web-1", 22, &ALL), [ADMIN, CI]);
        assert_eq!(let_in(&estate, "db-1", 5432, &ALL), [WEB]);
        assert_eq!(let_in(&estate, "db-2", 5432, &ALL), [DB_1]);
        assert_eq!(let_in(&estate, "db-1", 8000, &ALL), [""; 0]);
    }

    #[test]
    fn a_host_behind_a_jump_host_is_managed_from_it() {
        let mut estate = prod();
        assert_eq!(let_in(&estate, "db-1", 22, &ALL), [ADMIN, CI, WEB]);
        // With a public address of its own it is reached over that one, from the jump host's.
        host_mut(&mut estate, "db-1").public = vec!["198.51.100.50".parse().unwrap()];
        assert_eq!(let_in(&estate, "db-1", 22, &ALL), [ADMIN, CI, WEB, WEB_PUBLIC]);
        host_mut(&mut estate, "db-1").jump = Some("gone".parse().unwrap());
        assert!(matches!(firewall(&estate, host(&estate, "db-1"), 5), Err(FirewallError::NoWay { .. })));
    }

    #[test]
    fn ssh_opens_further_only_where_the_environment_says_so() {
        let mut estate = prod();
        estate.ssh_from = From::Private;
        assert_eq!(let_in(&estate, "web-1", 22, &ALL), [ADMIN, CI, WEB, DB_1, DB_2]);
        estate.ssh_from = From::Internet;
        assert_eq!(let_in(&estate, "web-1", 22, &ALL), ALL);
    }

    #[test]
    fn hosts_that_share_no_network_are_refused() {
        let mut estate = prod();
        host_mut(&mut estate, "web-1").private.clear();
        let apart = firewall(&estate, host(&estate, "db-1"), 5);
        assert!(
            matches!(&apart, Err(FirewallError::Apart { other, .. }) if other.as_str() == "web-1"),
            "{apart:?}"
        );
    }

    #[test]
    fn a_lockout_is_refused() {
        let mut estate = prod();
        let web = host(&estate, "web-1").clone();
        let mut locked = firewall(&estate, &web, 5).unwrap().nftables;
        locked.management.push("192.0.2.77".parse().unwrap());
        assert!(matches!(refuse_lockout(&web, &locked), Err(FirewallError::Lockout { .. })));
        estate.admin.clear();
        estate.automation = None;
        assert!(matches!(firewall(&estate, &web, 5), Err(FirewallError::Unmanaged { .. })));
    }

    #[test]
    fn what_may_listen_is_sshd_and_what_is_declared() {
        let estate = prod();
        let ports = |name| {
            let firewall = firewall(&estate, host(&estate, name), 5).unwrap();
            firewall.sockets.expected.iter().map(|one| one.port.number()).collect::<Vec<_>>()
        };
        assert_eq!(ports("web-1"), [22, 80, 443, 8443]);
        assert_eq!(ports("db-1"), [22, 5432]);
    }
}
