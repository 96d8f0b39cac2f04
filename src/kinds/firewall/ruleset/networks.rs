//! Networks as the sources of a rule: of one family, sorted, without overlaps, since nftables refuses those in a set.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::domain::{Address, Cidr, Family};

/// Networks of one family: at least one, sorted, none within another (nftables refuses overlaps in a set).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema, Deserialize)]
#[serde(try_from = "Vec<Cidr>", into = "Vec<Cidr>")]
pub struct Networks(Vec<Cidr>);

impl Networks {
    /// `networks` by family, IPv4 first: none, one or two.
    pub fn by_family(networks: &[Cidr]) -> Vec<Self> {
        [Family::V4, Family::V6].into_iter().filter_map(|family| Self::of(family, networks)).collect()
    }

    fn of(family: Family, networks: &[Cidr]) -> Option<Self> {
        let mut widest_first: Vec<Cidr> =
            networks.iter().filter(|network| network.family() == family).copied().collect();
        widest_first.sort_by_key(Cidr::prefix);
        let mut kept: Vec<Cidr> = Vec::new();
        for network in widest_first {
            if !kept.iter().any(|wider| wider.overlaps(&network)) {
                kept.push(network);
            }
        }
        kept.sort_by_key(|network| network.first().ip());
        (!kept.is_empty()).then_some(Self(kept))
    }

    /// Each of them.
    pub fn all(&self) -> impl Iterator<Item = &Cidr> {
        self.0.iter()
    }

    /// Of which family they are.
    pub fn family(&self) -> Family {
        self.0.first().map_or(Family::V4, Cidr::family)
    }

    pub(super) fn contains(&self, address: Address) -> bool {
        self.0.iter().any(|network| network.contains(address))
    }
}

/// A list of networks that is not one of [`Networks`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("networks of a rule are of one family, and at least one")]
pub struct Mixed;

impl TryFrom<Vec<Cidr>> for Networks {
    type Error = Mixed;

    fn try_from(networks: Vec<Cidr>) -> Result<Self, Mixed> {
        match <[Self; 1]>::try_from(Self::by_family(&networks)) {
            Ok([one]) => Ok(one),
            Err(_) => Err(Mixed),
        }
    }
}

impl From<Networks> for Vec<Cidr> {
    fn from(networks: Networks) -> Self {
        networks.0
    }
}

impl fmt::Display for Networks {
    /// As nftables lists them, a single one without braces.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.family() {
            Family::V4 => "ip saddr ",
            Family::V6 => "ip6 saddr ",
        })?;
        if let [one] = self.0.as_slice() {
            return one.fmt(f);
        }
        f.write_str("{ ")?;
        for (place, network) in self.0.iter().enumerate() {
            let comma = if place == 0 { "" } else { ", " };
            write!(f, "{comma}{network}")?;
        }
        f.write_str(" }")
    }
}
