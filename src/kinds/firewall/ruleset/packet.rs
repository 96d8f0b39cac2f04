//! A packet as the rules see it, and what may become of it.

use serde::{Deserialize, Serialize};

use crate::domain::{Address, Port, Protocol};

/// What the kernel knows of the connection that a packet belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, schemars::JsonSchema, Deserialize)]
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
