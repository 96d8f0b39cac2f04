//! What becomes of a packet under the rules: the interpretation beside the rendering. It knows no kernel and no clock: a
//! packet is taken for one of the first of its source, so limits let it go on.

use super::packet::{Interface, Packet, PacketVerdict, Payload, Tracking};
use super::{Action, Match, Rule, Ruleset};
use crate::domain::Family;

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
