//! The rules of one host, derived from what the inventory says of listeners and networks. Nobody writes a port twice, and a
//! ruleset that would not let the management in is refused before anything is contacted.

use super::nftables::Nftables;
use super::ruleset::{Opening, Packet, PacketVerdict, Reach, Ruleset, Ssh};
use crate::domain::{Address, Cidr, Protocol, RoleName};
use crate::inventory::From;
use crate::resource::Unresolved;
use crate::scope::{Scope, ScopeError, shared_addresses};

/// The rules of a host. Where SSH is open to others than the management, each address of theirs begins as many connections
/// a minute as there may be failed attempts.
pub fn rules(scope: &Scope<'_>) -> Result<Nftables, Unresolved> {
    let (host, inventory) = (scope.inputs.host, scope.inputs.inventory);
    let attempts = scope.inputs.fleet.limits.failed_attempts;
    let ssh = Ssh { port: host.ssh_port, from: reach(scope, &inventory.ssh_from)?, attempts };
    let openings = scope.listeners().map(|(role, listener)| {
        Ok(Opening {
            role: role.name.clone(),
            listener: listener.name.clone(),
            protocol: listener.protocol,
            port: listener.port,
            from: reach(scope, &listener.from)?,
            container: listener.container,
        })
    });
    let openings = openings.collect::<Result<Vec<_>, ScopeError>>()?;
    let ruleset = Ruleset::new(&scope.management, &ssh, &openings).behind(&inventory.private);
    let nftables = Nftables { ruleset, management: scope.management.clone(), ssh_port: host.ssh_port };
    match locked_out(&nftables) {
        None => Ok(nftables),
        Some(network) => Err(Unresolved::Refused(format!(
            "the firewall of {} would not let SSH in from {network}; nothing was changed",
            host.name
        ))),
    }
}

fn reach(scope: &Scope<'_>, from: &From) -> Result<Reach, ScopeError> {
    let inventory = scope.inputs.inventory;
    Ok(match from {
        From::Internet => Reach::Everywhere,
        From::Admin => Reach::Networks(inventory.admin.clone()),
        From::Private => Reach::Networks(inventory.private.clone()),
        From::Role(role) => Reach::Networks(members(scope, role)?),
    })
}

/// The addresses from which the other hosts of `role` reach the host.
fn members(scope: &Scope<'_>, role: &RoleName) -> Result<Vec<Cidr>, ScopeError> {
    let host = scope.inputs.host;
    let mut addresses = Vec::new();
    for other in scope.inputs.index.members(role).iter().filter(|other| other.name != host.name) {
        let shared = shared_addresses(scope.inputs.inventory, host, other);
        if shared.is_empty() {
            return Err(ScopeError::Apart { host: host.name.clone(), other: other.name.clone() });
        }
        addresses.extend(shared.into_iter().map(Address::as_cidr));
    }
    Ok(addresses)
}

/// The first management source from either end of which a new connection to SSH does not pass.
fn locked_out(rules: &Nftables) -> Option<Cidr> {
    rules.management.iter().copied().find(|network| {
        [network.first(), network.last()].into_iter().any(|source| {
            let packet = Packet::first(source, Protocol::Tcp, rules.ssh_port);
            rules.ruleset.simulate(&packet) != PacketVerdict::Accept
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::TemplateName;
    use crate::domain::{Environment, HostName, Port};
    use crate::inventory::{EnvironmentInventory, Fleet, Host, Identities};
    use crate::kinds::sockets::Sockets;
    use crate::known_hosts::KnownHosts;
    use crate::resource::Declare as _;
    use crate::scope::{Bodies, EnvironmentIndex, Inputs};

    fn fleet() -> Fleet {
        crate::inventory::parse(&crate::inventory::example()).unwrap()
    }

    fn prod(fleet: &mut Fleet) -> &mut EnvironmentInventory {
        fleet.environments.get_mut(&Environment::Prod).unwrap()
    }

    struct NoBodies;

    impl Bodies for NoBodies {
        fn body(&self, name: &TemplateName, _: &Scope<'_>) -> Result<String, String> {
            Err(format!("{name} is not asked for"))
        }
    }

    /// What `act` makes of the scope of `name` in prod.
    fn scoped<T>(fleet: &Fleet, name: &str, act: impl FnOnce(&Scope<'_>) -> T) -> Result<T, ScopeError> {
        let inventory = &fleet.environments[&Environment::Prod];
        let index = EnvironmentIndex::new(fleet, inventory, &Identities::default(), &KnownHosts::default());
        let inputs = Inputs {
            fleet,
            inventory,
            host: &inventory.hosts[&name.parse::<HostName>().unwrap()],
            distribution: "debian-12",
            enrolled: None,
            turns: None,
            day: "2026-11-28".parse().unwrap(),
            index: &index,
        };
        Scope::new(inputs, &NoBodies).map(|scope| act(&scope))
    }

    fn rules_of(fleet: &Fleet, name: &str) -> Result<Nftables, Unresolved> {
        scoped(fleet, name, rules)?
    }

    fn host_mut<'a>(inventory: &'a mut EnvironmentInventory, name: &str) -> &'a mut Host {
        inventory.hosts.get_mut(&name.parse::<HostName>().unwrap()).unwrap()
    }

    /// Who of these may open a TCP connection to `port` of `name`.
    fn let_in<'a>(fleet: &Fleet, name: &str, port: u32, sources: &[&'a str]) -> Vec<&'a str> {
        let rules = rules_of(fleet, name).unwrap();
        let port: Port = port.try_into().unwrap();
        let passes = |source: &&&str| {
            let packet = Packet::first(source.parse().unwrap(), Protocol::Tcp, port);
            rules.ruleset.simulate(&packet) == PacketVerdict::Accept
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
        let fleet = fleet();
        assert_eq!(let_in(&fleet, "web-1", 443, &ALL), ALL);
        assert_eq!(let_in(&fleet, "web-1", 8443, &ALL), [ADMIN]);
        assert_eq!(let_in(&fleet, "web-1", 22, &ALL), [ADMIN, CI]);
        assert_eq!(let_in(&fleet, "db-1", 5432, &ALL), [WEB]);
        assert_eq!(let_in(&fleet, "db-2", 5432, &ALL), [DB_1]);
        assert_eq!(let_in(&fleet, "db-1", 8000, &ALL), [""; 0]);
    }

    #[test]
    fn a_host_behind_a_jump_host_is_managed_from_it() {
        let mut fleet = fleet();
        assert_eq!(let_in(&fleet, "db-1", 22, &ALL), [ADMIN, CI, WEB]);
        // With a public address of its own it is reached over that one, from the jump host's.
        host_mut(prod(&mut fleet), "db-1").public = vec!["198.51.100.50".parse().unwrap()];
        assert_eq!(let_in(&fleet, "db-1", 22, &ALL), [ADMIN, CI, WEB, WEB_PUBLIC]);
        host_mut(prod(&mut fleet), "db-1").jump = Some("gone".parse().unwrap());
        let gone = scoped(&fleet, "db-1", |_| ());
        assert!(matches!(gone, Err(ScopeError::NoJumpHost { .. })));
    }

    #[test]
    fn ssh_opens_further_only_where_the_environment_says_so() {
        let mut fleet = fleet();
        prod(&mut fleet).ssh_from = From::Private;
        assert_eq!(let_in(&fleet, "web-1", 22, &ALL), [ADMIN, CI, WEB, DB_1, DB_2]);
        prod(&mut fleet).ssh_from = From::Internet;
        assert_eq!(let_in(&fleet, "web-1", 22, &ALL), ALL);
    }

    #[test]
    fn hosts_that_share_no_network_are_refused() {
        let mut fleet = fleet();
        host_mut(prod(&mut fleet), "web-1").private.clear();
        let apart = scoped(&fleet, "db-1", |_| ());
        assert!(
            matches!(&apart, Err(ScopeError::Apart { other, .. }) if other.as_str() == "web-1"),
            "{apart:?}"
        );
    }

    #[test]
    fn a_lockout_is_refused() {
        let mut fleet = fleet();
        let mut locked = rules_of(&fleet, "web-1").unwrap();
        assert_eq!(locked_out(&locked), None);
        let foreign = "192.0.2.77".parse().unwrap();
        locked.management.push(foreign);
        assert_eq!(locked_out(&locked), Some(foreign));
        prod(&mut fleet).admin.clear();
        prod(&mut fleet).automation = None;
        assert!(matches!(scoped(&fleet, "web-1", |_| ()), Err(ScopeError::Unmanaged { .. })));
    }

    #[test]
    fn what_may_listen_is_sshd_and_what_is_declared() {
        let fleet = fleet();
        let ports = |name| {
            let sockets = scoped(&fleet, name, |scope| Sockets::resolve(&(), Some(scope))).unwrap().unwrap();
            sockets[0].expected.iter().map(|one| one.port.number()).collect::<Vec<_>>()
        };
        assert_eq!(ports("web-1"), [22, 80, 443, 8443]);
        assert_eq!(ports("db-1"), [22, 5432]);
    }
}
