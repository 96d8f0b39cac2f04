//! Which addresses a lab has, and which of them each host gets. Pure.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};

use super::error::LabError;
use super::spec::{Attachment, HostSpec, MOST_PRIVATE};
use crate::domain::{Address, Cidr};

/// The addresses of a lab.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Networks {
    /// Everything in IPv4, a /20.
    pub all_v4: Cidr,
    /// Everything in IPv6, a unique local /48 (RFC 4193).
    pub all_v6: Cidr,
    /// The network that the control node is on too.
    pub public: Subnet,
    /// The networks that hosts alone are on. They share a wire, and no route leads from one to another.
    pub private: Vec<Subnet>,
    /// The control node's addresses on the public network, by which it connects.
    pub control: Pair,
    /// A second pair of the control node's: where a machine account comes from.
    pub automation: Pair,
}

/// The addresses of one host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Assigned {
    pub(super) public: Vec<Address>,
    pub(super) private: Vec<Address>,
}

/// A network in both families.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subnet {
    /// A /24.
    pub v4: Cidr,
    /// A /64.
    pub v6: Cidr,
}

/// An address in both families.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pair {
    /// IPv4.
    pub v4: Address,
    /// IPv6.
    pub v6: Address,
}

/// The last bytes of the control node's addresses, and of the first and last address of hosts.
const CONTROL: u8 = 1;
const AUTOMATION: u8 = 2;
const FIRST_HOST: u8 = 10;
const LAST_HOST: u8 = 250;

impl Networks {
    /// A lab's addresses in a /20 that starts at `first`, and in the unique local /48 with this global id.
    pub(super) fn new(first: Ipv4Addr, global_id: [u8; 5]) -> Option<Self> {
        let [a, b, c, _] = first.octets();
        let [g1, g2, g3, g4, g5] = global_id;
        let group = |high: u8, low: u8| u16::from_be_bytes([high, low]);
        let v6 =
            |subnet: u16| Ipv6Addr::new(group(0xfd, g1), group(g2, g3), group(g4, g5), subnet, 0, 0, 0, 0);
        let cidr = |text: String| text.parse::<Cidr>().ok();
        let subnet = |number: u8| {
            Some(Subnet {
                v4: cidr(format!("{}/24", Ipv4Addr::new(a, b, c.checked_add(number)?, 0)))?,
                v6: cidr(format!("{}/64", v6(u16::from(number) + 1)))?,
            })
        };
        let public = subnet(0)?;
        Some(Self {
            all_v4: cidr(format!("{first}/20"))?,
            all_v6: cidr(format!("{}/48", v6(0)))?,
            public,
            private: (1..=MOST_PRIVATE).map(subnet).collect::<Option<_>>()?,
            control: public.pair(CONTROL),
            automation: public.pair(AUTOMATION),
        })
    }

    /// Every network.
    pub fn subnets(&self) -> impl Iterator<Item = Subnet> {
        std::iter::once(self.public).chain(self.private.iter().copied())
    }

    /// The network that `address` lies in.
    pub fn subnet_of(&self, address: Address) -> Option<Cidr> {
        self.subnets().flat_map(|subnet| [subnet.v4, subnet.v6]).find(|cidr| cidr.contains(address))
    }

    /// The public and the private addresses of each host, in the order of `hosts`. Within a network and a family they
    /// are given in that order, so that equal specifications get equal addresses.
    pub(super) fn assign(&self, hosts: &[HostSpec]) -> Result<Vec<Assigned>, LabError> {
        let mut pools: Vec<Pool> = self.subnets().map(Pool::new).collect();
        hosts
            .iter()
            .map(|host| {
                let mut wanted = std::iter::once(&host.public).chain(&host.private);
                let mut given = pools.iter_mut().map_while(|pool| Some(pool.take(*wanted.next()?)));
                let public = given.next().unwrap_or(Ok(Vec::new()))?;
                let private = given.collect::<Result<Vec<_>, _>>()?;
                Ok(Assigned { public, private: private.concat() })
            })
            .collect()
    }
}

impl Subnet {
    fn pair(self, last: u8) -> Pair {
        Pair { v4: address(self.v4, last), v6: address(self.v6, last) }
    }
}

/// The address of `network` that ends in `last`.
fn address(network: Cidr, last: u8) -> Address {
    match network.first().ip() {
        IpAddr::V4(first) => {
            let [a, b, c, _] = first.octets();
            Address::new(Ipv4Addr::new(a, b, c, last).into())
        }
        IpAddr::V6(first) => {
            let [a, b, c, d, ..] = first.segments();
            Address::new(Ipv6Addr::new(a, b, c, d, 0, 0, 0, u16::from(last)).into())
        }
    }
}

/// What is left of a network.
struct Pool {
    subnet: Subnet,
    next_v4: u8,
    next_v6: u8,
}

impl Pool {
    fn new(subnet: Subnet) -> Self {
        Self { subnet, next_v4: FIRST_HOST, next_v6: FIRST_HOST }
    }

    fn take(&mut self, wanted: Attachment) -> Result<Vec<Address>, LabError> {
        let mut taken = Vec::new();
        for (count, network, next) in
            [(wanted.v4, self.subnet.v4, &mut self.next_v4), (wanted.v6, self.subnet.v6, &mut self.next_v6)]
        {
            for _ in 0..count {
                if *next > LAST_HOST {
                    return Err(LabError::Spec {
                        why: format!("{network} has no address left; ask for fewer hosts or addresses"),
                    });
                }
                taken.push(address(network, *next));
                *next += 1;
            }
        }
        Ok(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::super::spec::Suite;
    use super::*;

    fn networks() -> Networks {
        Networks::new(Ipv4Addr::new(10, 130, 16, 0), [1, 2, 3, 4, 5]).expect("a /20")
    }

    #[test]
    fn networks_lie_in_the_labs_own_and_apart() {
        let networks = networks();
        assert_eq!(
            networks.private.last().map(|last| last.v4.to_string()).as_deref(),
            Some("10.130.31.0/24")
        );
        assert_eq!(networks.control.v6.to_string(), "fd01:203:405:1::1");
        let all: Vec<Subnet> = networks.subnets().collect();
        for (at, one) in all.iter().enumerate() {
            assert!(networks.all_v4.contains(one.v4.last()) && networks.all_v6.contains(one.v6.last()));
            for other in all.iter().skip(at + 1) {
                assert!(!one.v4.overlaps(&other.v4) && !one.v6.overlaps(&other.v6));
            }
        }
    }

    #[test]
    fn hosts_get_as_many_addresses_as_they_want_where_they_want_them() {
        let host = |name: &str| HostSpec::new(name.parse().expect("a name"), Suite::Trixie);
        let web = HostSpec { public: Attachment { v4: 2, v6: 1 }, private: vec![], ..host("web") };
        let db = HostSpec { private: vec![Attachment::NONE, Attachment::BOTH], ..host("db") };
        let given = networks().assign(&[web, db]).expect("addresses");
        let text = |addresses: &[Address]| addresses.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(text(&given[0].public), ["10.130.16.10", "10.130.16.11", "fd01:203:405:1::a"]);
        assert_eq!(text(&given[0].private), [""; 0]);
        assert_eq!(text(&given[1].public), ["10.130.16.12", "fd01:203:405:1::b"]);
        assert_eq!(text(&given[1].private), ["10.130.18.10", "fd01:203:405:3::a"]);
    }

    #[test]
    fn a_full_network_is_refused() {
        let many = HostSpec {
            public: Attachment { v4: 255, v6: 0 },
            ..HostSpec::new("many".parse().expect("a name"), Suite::Trixie)
        };
        assert!(networks().assign(&[many]).is_err());
    }
}
