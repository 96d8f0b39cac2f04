//! The lab's networks: two bridges in a network namespace of their own, to which every host and, on the public one,
//! the control node are plugged. The machine's own network keeps one interface more, and its firewall is neither
//! read nor touched: what the lab drops, it drops in its own namespace.

use std::net::Ipv4Addr;

use super::addresses::Networks;
use super::error::{LabError, no_randomness};
use super::invocation::Invocation;
use super::record::LabRecord;
use crate::domain::{Address, Cidr};
use crate::program::Program;

/// The bridge of the public network, in the switch's namespace.
pub(super) const PUBLIC: &str = "public";
/// The bridge of the private network.
pub(super) const PRIVATE: &str = "private";
/// The control node's port on the public bridge.
pub(super) const CONTROL: &str = "control";

/// The port on `network` of host `number`.
pub(super) fn port(number: u8, network: &str) -> String {
    format!("h{number}-{network}")
}

/// Builds the switch and plugs the control node in.
pub(super) fn build(lab: &LabRecord) -> Result<(), LabError> {
    let switch = lab.switch();
    ip(["netns", "add", &switch])?;
    for bridge in [PUBLIC, PRIVATE] {
        ip([
            "-n",
            &switch,
            "link",
            "add",
            bridge,
            "type",
            "bridge",
            "forward_delay",
            "0",
            "mcast_snooping",
            "0",
        ])?;
        ip(["-n", &switch, "link", "set", bridge, "up"])?;
    }
    let uplink = lab.uplink();
    ip(["link", "add", &uplink, "type", "veth", "peer", "name", CONTROL, "netns", &switch])?;
    ip(["-n", &switch, "link", "set", CONTROL, "master", PUBLIC, "up"])?;
    let networks = &lab.networks;
    // whoever names no source address comes from the control node's: of two, Linux picks either (RFC 6724 5), but a
    // deprecated one only where it is asked for
    for (pair, lifetime) in [(networks.control, "forever"), (networks.automation, "0")] {
        ip(["address", "add", &format!("{}/{}", pair.v4, networks.public.v4.prefix()), "dev", &uplink])?;
        // nodad: the address is ours alone, and a tentative one answers nobody for a second
        let v6 = format!("{}/{}", pair.v6, networks.public.v6.prefix());
        ip(["address", "add", &v6, "dev", &uplink, "nodad", "preferred_lft", lifetime])?;
    }
    ip(["link", "set", &uplink, "up"])?;
    // what is meant for hosts' private networks must not leave by this machine's default route
    for network in [networks.all_v4, networks.all_v6] {
        ip(["route", "add", "unreachable", &network.to_string()])?;
    }
    Ok(())
}

/// Removes the switch and everything plugged into it. What is already gone is no error.
pub(super) fn remove(lab: &LabRecord) -> Result<(), LabError> {
    if exists(&lab.uplink()) {
        ip(["link", "delete", &lab.uplink()])?;
    }
    if std::path::Path::new("/run/netns").join(lab.switch()).exists() {
        ip(["netns", "delete", &lab.switch()])?;
    }
    let routes = routes()?;
    for network in [lab.networks.all_v4, lab.networks.all_v6] {
        if routes.contains(&network) {
            ip(["route", "delete", "unreachable", &network.to_string()])?;
        }
    }
    Ok(())
}

fn exists(interface: &str) -> bool {
    std::path::Path::new("/sys/class/net").join(interface).exists()
}

fn ip<'a>(args: impl IntoIterator<Item = &'a str>) -> Result<(), LabError> {
    Invocation::of(Program::Ip).args(args).run().map(drop)
}

/// Addresses that no route or interface of this machine, and no lab in `others`, has anything to do with.
pub(super) fn pick(others: &[Networks]) -> Result<Networks, LabError> {
    let mut taken = routes()?;
    taken.extend(others.iter().flat_map(|networks| [networks.all_v4, networks.all_v6]));
    let free = |networks: &Networks| {
        !taken.iter().any(|route| route.overlaps(&networks.all_v4) || route.overlaps(&networks.all_v6))
    };
    let mut bytes = [0; 7];
    for pool in POOLS {
        for _ in 0..TRIES {
            getrandom::fill(&mut bytes).map_err(no_randomness)?;
            let [r1, r2, global_id @ ..] = bytes;
            if let Some(networks) = Networks::new(pool.at(r1, r2), global_id)
                && free(&networks)
            {
                return Ok(networks);
            }
        }
    }
    Err(LabError::Unsupported {
        why: "its routes cover all private networks".to_owned(),
        fix: "disconnect a VPN that routes them, and try again",
    })
}

const TRIES: usize = 200;

/// Where a lab's /20 may lie.
struct Pool {
    first: [u8; 2],
    /// How many values the second byte may take.
    wide: u8,
}

/// Private addresses (RFC 1918), then those for benchmarks (RFC 2544), the least used first.
const POOLS: [Pool; 4] = [
    Pool { first: [10, 64], wide: 128 },
    Pool { first: [172, 16], wide: 16 },
    Pool { first: [192, 168], wide: 1 },
    Pool { first: [198, 18], wide: 2 },
];

impl Pool {
    fn at(&self, r1: u8, r2: u8) -> Ipv4Addr {
        let [a, b] = self.first;
        Ipv4Addr::new(a, b.saturating_add(r1 % self.wide), r2 & 0xf0, 0)
    }
}

/// The destinations that this machine has routes for.
fn routes() -> Result<Vec<Cidr>, LabError> {
    let mut found = Vec::new();
    for family in ["-4", "-6"] {
        found.extend(parse_routes(
            &Invocation::of(Program::Ip).args([family, "route", "show", "table", "all"]).run()?,
        ));
    }
    Ok(found)
}

/// The destinations in the output of `ip route`, without the default route, which covers everything and nothing.
fn parse_routes(routes: &str) -> Vec<Cidr> {
    const TYPES: [&str; 8] =
        ["unicast", "local", "broadcast", "multicast", "anycast", "unreachable", "prohibit", "blackhole"];
    routes
        .lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            let first = words.next()?;
            let destination = if TYPES.contains(&first) { words.next()? } else { first };
            let cidr: Cidr = destination
                .parse()
                .ok()
                .or_else(|| destination.parse::<Address>().ok().map(Address::as_cidr))?;
            (cidr.prefix() > 0).then_some(cidr)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes_are_read_whatever_their_type() {
        let routes = "default via 192.0.2.1 dev eth0 \n10.0.0.0/8 dev tun0 scope link\n\
                      local 192.0.2.2 dev eth0 table local proto kernel\n\
                      unreachable fd00::/8 dev lo metric 1024\nbroadcast 192.0.2.255 dev eth0";
        let read: Vec<String> = parse_routes(routes).iter().map(ToString::to_string).collect();
        assert_eq!(read, ["10.0.0.0/8", "192.0.2.2", "fd00::/8", "192.0.2.255"]);
    }

    #[test]
    fn a_pool_stays_within_itself() {
        for pool in POOLS {
            for r in 0..=255 {
                let [a, b, c, d] = pool.at(r, r).octets();
                assert_eq!((a, c % 16, d), (pool.first[0], 0, 0));
                assert!(b >= pool.first[1] && b - pool.first[1] < pool.wide);
            }
        }
    }
}
