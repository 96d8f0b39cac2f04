//! What becomes of a packet under the rules: the interpretation beside the rendering. It knows no kernel and no clock: a
//! packet is taken for one of the first of its source, so limits let it go on.

use serde::{Deserialize, Serialize};

use super::{Action, Match, Rule, Ruleset};
use crate::domain::{Address, Family, Port, Protocol};

/// What the kernel knows of the connection that a packet belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Tracking {
    /// The first of a connection.
    New,
    /// Of a connection that passed before.
    Established,
    /// About such a connection: an ICMP error, or a connection that a helper of the kernel expects.
    Related,
    /// Of none, and the first of none.
    Invalid,
}

impl Tracking {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Established => "established",
            Self::Related => "related",
            Self::Invalid => "invalid",
        }
    }
}

/// A packet that reaches the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packet {
    /// Its source.
    pub source: Address,
    /// Where it comes in.
    pub interface: Interface,
    /// Whether what is sent to its source goes out there.
    pub routed_back: bool,
    /// What it belongs to.
    pub tracking: Tracking,
    /// What it is.
    pub payload: Payload,
}

/// Where a packet comes in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interface {
    /// `lo`.
    Loopback,
    /// Any other.
    Other,
}

/// What a packet is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Payload {
    /// TCP or UDP to a port.
    To(Protocol, Port),
    /// ICMP, or `ICMPv6` where the source is IPv6, of this type.
    Control(u8),
}

impl Packet {
    /// The first packet of a connection from `source`, another machine, to a port.
    pub fn first(source: Address, protocol: Protocol, port: Port) -> Self {
        Self {
            source,
            interface: Interface::Other,
            routed_back: true,
            tracking: Tracking::New,
            payload: Payload::To(protocol, port),
        }
    }
}

/// What becomes of a packet in the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PacketVerdict {
    /// It passes.
    Accept,
    /// It is dropped.
    Drop,
}

impl Ruleset {
    /// What becomes of `packet`: the first rule that accepts or drops it decides, and the policy drops the rest. It is
    /// taken for one of the first of its source: limits let it go on.
    pub fn simulate(&self, packet: &Packet) -> PacketVerdict {
        decide(&self.input, packet)
    }

    /// What becomes of `packet`, which the host passes on: its port is the one that it was to before that.
    pub fn simulate_passed_on(&self, packet: &Packet) -> PacketVerdict {
        decide(&self.forward, packet)
    }
}

/// The first rule that accepts or drops a packet decides, and the policy drops the rest.
fn decide(rules: &[Rule], packet: &Packet) -> PacketVerdict {
    rules
        .iter()
        .filter(|rule| rule.on.holds(packet))
        .find_map(|rule| match rule.action {
            Action::Accept => Some(PacketVerdict::Accept),
            Action::Drop => Some(PacketVerdict::Drop),
            Action::Log | Action::Count | Action::Limit { .. } => None,
        })
        .unwrap_or(PacketVerdict::Drop)
}

impl Match {
    fn holds(&self, packet: &Packet) -> bool {
        match (self, packet.payload) {
            (Self::Any, _) => true,
            (Self::Tracked(states), _) => states.contains(&packet.tracking),
            (Self::Errors, payload) => {
                packet.tracking == Tracking::Related && matches!(payload, Payload::Control(_))
            }
            (Self::Forged(networks), _) => !packet.routed_back && networks.contains(packet.source),
            (Self::Loopback, _) => packet.interface == Interface::Loopback,
            (Self::Icmp(types), Payload::Control(kind)) => {
                packet.source.family() == Family::V4 && types.contains(&kind)
            }
            (Self::Icmpv6(types), Payload::Control(kind)) => {
                packet.source.family() == Family::V6 && types.contains(&kind)
            }
            (
                Self::To { protocol, port, from } | Self::PassedOn { protocol, port, from },
                Payload::To(to, at),
            ) => {
                *protocol == to
                    && *port == at
                    && from.as_ref().is_none_or(|networks| networks.contains(packet.source))
            }
            (Self::Icmp(_) | Self::Icmpv6(_), Payload::To(..))
            | (Self::To { .. } | Self::PassedOn { .. }, Payload::Control(_)) => false,
        }
    }
}
