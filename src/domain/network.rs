//! Addresses, prefixes and ports. Host bits, leading zeros and names are refused; nothing is resolved.

use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{Checked, Malformed, checked_text};

/// IPv4 or IPv6.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, schemars::JsonSchema, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// Fewest bits of a network's prefix that an inventory may name: 16 or 48.
    pub fn broadest(self) -> u8 {
        match self {
            Self::V4 => 16,
            Self::V6 => 48,
        }
    }
}

/// One address. An IPv4-mapped IPv6 address is the IPv4 address that it stands for (RFC 4291 2.5.5.2), so that one
/// host cannot be written in two ways.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, schemars::JsonSchema, Deserialize,
)]
#[serde(try_from = "String", into = "String")]
pub struct Address(IpAddr);

impl Address {
    /// From the standard type, normalised.
    pub fn new(ip: IpAddr) -> Self {
        Self(ip.to_canonical())
    }

    /// As the standard type.
    pub fn ip(self) -> IpAddr {
        self.0
    }

    /// IPv4 or IPv6.
    pub fn family(self) -> Family {
        if self.0.is_ipv4() { Family::V4 } else { Family::V6 }
    }

    /// The network of this address alone.
    pub fn as_cidr(self) -> Cidr {
        Cidr(cidr::IpCidr::new_host(self.0))
    }
}

impl FromStr for Address {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        text.parse::<IpAddr>().map(Self::new).map_err(|_| {
            Malformed::new(
                "not an IP address",
                "write one IPv4 or IPv6 address, without leading zeros, port, prefix or name",
            )
        })
    }
}

impl TryFrom<String> for Address {
    type Error = Malformed;

    fn try_from(text: String) -> Result<Self, Malformed> {
        text.parse()
    }
}

impl From<Address> for String {
    fn from(address: Address) -> Self {
        address.to_string()
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Checked for Address {
    fn text(&self) -> Cow<'_, str> {
        Cow::Owned(self.to_string())
    }
}

/// A network prefix with no host bits set. A bare address is a prefix of full length.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, schemars::JsonSchema, Deserialize,
)]
#[serde(try_from = "String", into = "String")]
pub struct Cidr(cidr::IpCidr);

impl Cidr {
    /// Whether `address` lies in it.
    pub fn contains(&self, address: Address) -> bool {
        self.0.contains(&address.0)
    }

    /// Whether the two share an address.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.family() == other.family()
            && (self.0.contains(&other.0.first_address()) || other.0.contains(&self.0.first_address()))
    }

    /// IPv4 or IPv6.
    pub fn family(&self) -> Family {
        if self.0.is_ipv4() { Family::V4 } else { Family::V6 }
    }

    /// Length of the prefix in bits.
    pub fn prefix(&self) -> u8 {
        self.0.network_length()
    }

    /// The lowest address.
    pub fn first(&self) -> Address {
        Address(self.0.first_address())
    }

    /// The highest address.
    pub fn last(&self) -> Address {
        Address(self.0.last_address())
    }

    /// For how many addresses it stands; [`u128::MAX`] for all of IPv6.
    pub fn addresses(&self) -> u128 {
        let bits = if self.family() == Family::V4 { 32 } else { 128 };
        1_u128.checked_shl(u32::from(bits - self.prefix())).unwrap_or(u128::MAX)
    }

    /// Whether it stands for exactly one address.
    pub fn is_host(&self) -> bool {
        self.0.is_host_address()
    }
}

impl FromStr for Cidr {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        if let Some((address, prefix)) = text.split_once('/') {
            let ip: Address = address.parse()?;
            let most = if ip.family() == Family::V4 { 32 } else { 128 };
            let digits = (1..=3).contains(&prefix.len())
                && prefix.bytes().all(|b| b.is_ascii_digit())
                && (prefix == "0" || !prefix.starts_with('0'));
            let length: u8 = prefix.parse().ok().filter(|n| digits && *n <= most).ok_or_else(|| {
                Malformed::new("not a prefix length", format!("write /0 to /{most} after the address"))
            })?;
            return cidr::IpCidr::new(ip.0, length).map(Self).map_err(|_| {
                let network = cidr::IpInet::new(ip.0, length)
                    .map_or_else(|_| String::new(), |n| n.network().to_string());
                Malformed::new(
                    "host bits are set behind the prefix",
                    format!("write the network itself: {network}"),
                )
            });
        }
        text.parse::<Address>().map(Address::as_cidr)
    }
}

impl TryFrom<String> for Cidr {
    type Error = Malformed;

    fn try_from(text: String) -> Result<Self, Malformed> {
        text.parse()
    }
}

impl From<Cidr> for String {
    fn from(cidr: Cidr) -> Self {
        cidr.to_string()
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Checked for Cidr {
    fn text(&self) -> Cow<'_, str> {
        Cow::Owned(self.to_string())
    }
}

checked_text!(
    /// A place on a web server: `http://` or `https://`, a host and a path, without a login.
    Url,
    check_url
);

fn check_url(text: &str) -> Result<(), Malformed> {
    let rest = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
    let good = rest.is_some_and(|rest| {
        !rest.is_empty() && rest.chars().all(|c| c.is_ascii_alphanumeric() || "._~:/[]%+-".contains(c))
    });
    if good {
        Ok(())
    } else {
        Err(Malformed::new("not the address of a web server", "write http:// or https://, a host and a path"))
    }
}

/// A TCP or UDP port, 1 to 65535.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, schemars::JsonSchema, Deserialize,
)]
#[serde(try_from = "u32", into = "u16")]
pub struct Port(std::num::NonZeroU16);

impl Port {
    /// The port registered for SSH (RFC 4251 and IANA's registry).
    pub const SSH: Self = Self(std::num::NonZeroU16::MIN.saturating_add(21));

    /// As a number.
    pub fn number(self) -> u16 {
        self.0.get()
    }
}

impl TryFrom<u32> for Port {
    type Error = Malformed;

    fn try_from(number: u32) -> Result<Self, Malformed> {
        u16::try_from(number).ok().and_then(std::num::NonZeroU16::new).map(Self).ok_or_else(|| {
            Malformed::new("a port lies between 1 and 65535", "write a number from 1 to 65535")
        })
    }
}

impl From<Port> for u16 {
    fn from(port: Port) -> Self {
        port.number()
    }
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Checked for Port {
    fn text(&self) -> Cow<'_, str> {
        Cow::Owned(self.to_string())
    }
}

/// A transport protocol.
#[derive(
    Debug,
    Clone,
    Copy,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    schemars::JsonSchema,
    Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// TCP.
    #[default]
    Tcp,
    /// UDP.
    Udp,
}

impl Protocol {
    /// `tcp` or `udp`, as nftables writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_has_no_host_bits() {
        assert_eq!("10.9.0.1/24".parse::<Cidr>().unwrap_err().fix, "write the network itself: 10.9.0.0/24");
        assert!("10.9.0.0/33".parse::<Cidr>().is_err());
        assert!("010.9.0.0/24".parse::<Cidr>().is_err());
        assert!("10.9.0.0/+8".parse::<Cidr>().is_err());
        assert_eq!("10.9.0.1".parse::<Cidr>().unwrap().to_string(), "10.9.0.1");
        assert_eq!("10.9.0.0/24".parse::<Cidr>().unwrap().to_string(), "10.9.0.0/24");
    }

    #[test]
    fn a_mapped_address_is_the_address_it_stands_for() {
        assert_eq!("::ffff:192.0.2.1".parse::<Address>().unwrap(), "192.0.2.1".parse().unwrap());
    }

    #[test]
    fn ports() {
        assert_eq!(Port::SSH.number(), 22);
        assert!(Port::try_from(0).is_err());
        assert!(Port::try_from(65536).is_err());
    }
}
