//! How a host is reached: over which hosts, at which address each is seen from the one before.

use super::{EnvironmentInventory, Host};
use crate::domain::Address;

/// The way to a host.
#[derive(Debug, Clone)]
pub struct Route<'a> {
    /// Where it ends.
    pub host: &'a Host,
    /// The host's address, as the last hop on the way reaches it.
    pub address: Address,
    /// The hosts on the way, outermost first, each with the address at which it is reached.
    pub over: Vec<(&'a Host, Address)>,
}

impl EnvironmentInventory {
    /// The way to `host`; none where it, or a host on the way, has no address or is not declared. The parser refuses
    /// loops of jump hosts; a way is never longer than the environment has hosts.
    pub fn route<'a>(&'a self, host: &'a Host) -> Option<Route<'a>> {
        let mut chain = vec![host];
        let mut current = host;
        while let Some(jump) = &current.jump {
            current = self.hosts.get(jump)?;
            chain.push(current);
            if chain.len() > self.hosts.len() {
                return None;
            }
        }
        chain.reverse();
        let mut over = Vec::with_capacity(chain.len());
        let mut before: Option<&Host> = None;
        for hop in chain {
            over.push((hop, self.address_from(before, hop)?));
            before = Some(hop);
        }
        let (host, address) = over.pop()?;
        Some(Route { host, address, over })
    }

    /// From a host that shares a private network: the address there. From elsewhere: the public one.
    fn address_from(&self, from: Option<&Host>, to: &Host) -> Option<Address> {
        let shared = from.and_then(|from| {
            self.private.iter().find_map(|network| {
                from.private.iter().any(|address| network.contains(*address)).then_some(())?;
                to.private.iter().find(|address| network.contains(**address)).copied()
            })
        });
        shared.or_else(|| to.address())
    }
}

#[cfg(test)]
mod tests {
    use crate::domain::{Environment, HostName};
    use crate::inventory::{Fleet, parse};
    use crate::source::Sources;

    fn example() -> Fleet {
        let sources = Sources::new()
            .with("inventories/fleet.yaml", include_str!("../../inventories/fleet.yaml"))
            .with("inventories/dev.yaml", include_str!("../../inventories/dev.yaml"))
            .with("inventories/test.yaml", include_str!("../../inventories/test.yaml"))
            .with("inventories/prod.yaml", include_str!("../../inventories/prod.yaml"));
        parse(&sources).unwrap_or_else(|refusals| panic!("{}", refusals.annotated(false)))
    }

    #[test]
    fn a_host_behind_another_is_reached_on_the_network_that_both_share() {
        let fleet = example();
        let prod = &fleet.environments[&Environment::Prod];
        let host = |name: &str| &prod.hosts[&name.parse::<HostName>().unwrap()];
        let web = prod.route(host("web-1")).unwrap();
        assert!(web.over.is_empty());
        assert_eq!(web.address, host("web-1").public[0]);
        let db = prod.route(host("db-1")).unwrap();
        assert_eq!(db.address, host("db-1").private[0]);
        assert_eq!(db.over.len(), 1);
        assert_eq!((&db.over[0].0.name, db.over[0].1), (&host("web-1").name, host("web-1").public[0]));
    }
}
