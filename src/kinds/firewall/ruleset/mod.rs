//! The firewall as typed rules. One list of rules is both rendered as nftables text and interpreted here, so that what
//! is loaded and what is promised cannot differ. It owns one table, `inet palisade`, and names no other.
//!
//! Everything inbound is dropped but answers, loopback, what ICMP needs, SSH from the management sources, and the
//! declared listeners. Where SSH is open to others than the management, each of their addresses opens a few connections
//! a minute and no more. Nothing is forwarded but connections to a declared port that a container publishes, and their
//! answers. What the host itself sends is not filtered. Only numbers are written, so that a host without /etc/services
//! and /etc/protocols reads the same.

mod networks;
mod packet;
mod simulator;
mod text;

use serde::{Deserialize, Serialize};

pub use self::networks::{Mixed, Networks};
pub use self::packet::{Interface, Packet, PacketVerdict, Payload, Tracking};
pub(super) use self::text::widening;
use crate::domain::{Cidr, Family, ListenerName, Port, Protocol, RoleName};

/// All rules, in order: for packets to the host, and for those that it passes on. A packet that none of them decides is
/// dropped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ruleset {
    /// Rules of packets to the host itself.
    input: Vec<Rule>,
    /// Rules of packets to containers; empty where no container publishes a declared port.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    forward: Vec<Rule>,
}

/// One rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rule {
    /// Packets that it matches.
    on: Match,
    /// Action on those packets.
    action: Action,
    /// Reason for the rule: its comment.
    why: Purpose,
}

/// Which packets a rule is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
enum Match {
    /// All.
    Any,
    /// Those of a connection in one of these states.
    Tracked(Vec<Tracking>),
    /// ICMP errors about a connection that passed before; not the connections that a helper of the kernel expects.
    Errors,
    /// Those from these networks whose way back is not the interface that they came in by: their source is forged.
    Forged(Networks),
    /// Those from the host itself.
    Loopback,
    /// ICMP of these types (RFC 792).
    Icmp(Vec<u8>),
    /// `ICMPv6` of these types (RFC 4443, 4861, 2710, 3810).
    Icmpv6(Vec<u8>),
    /// Those to a port.
    To {
        /// TCP or UDP.
        protocol: Protocol,
        /// The port.
        port: Port,
        /// Sources; none for everywhere.
        from: Option<Networks>,
    },
    /// Those of a connection to a port of the host that was passed on to another address (DNAT), by the port that it was
    /// to before: which container has it, and on which port, is not ours to know.
    PassedOn {
        /// TCP or UDP.
        protocol: Protocol,
        /// The port of the host.
        port: Port,
        /// Sources; none for everywhere.
        from: Option<Networks>,
    },
}

/// What becomes of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, schemars::JsonSchema, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Action {
    /// It passes.
    Accept,
    /// It does not.
    Drop,
    /// It is written to the kernel's log, at most 5 times a minute after a burst of 10, and goes on.
    Log,
    /// It is counted, and goes on.
    Count,
    /// It is dropped where its source began more connections a minute than this, after a burst of as many; else it goes
    /// on. IPv6 sources count by their /64, which is what one customer holds.
    Limit {
        /// Family of the sources.
        family: Family,
        /// Number of packets each minute.
        a_minute: u32,
    },
}

/// Why a rule is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
enum Purpose {
    Answers,
    Invalid,
    Forged,
    Loopback,
    Control,
    Lease,
    Management,
    Ssh,
    Burst,
    /// A declared listener.
    Listener {
        /// Role that has it.
        role: RoleName,
        /// Name of the listener.
        listener: ListenerName,
    },
    Dropped,
}

/// A declared listener, and from where it is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opening {
    /// The role that declares it.
    pub role: RoleName,
    /// Its name.
    pub listener: ListenerName,
    /// TCP or UDP.
    pub protocol: Protocol,
    /// The port.
    pub port: Port,
    /// The networks that may reach it.
    pub from: Reach,
    /// Whether a container publishes it: then connections to it are passed on too.
    pub container: bool,
}

/// Where sshd listens, from where it is reached beside the management, and how often.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ssh {
    /// Its port.
    pub port: Port,
    /// From where else.
    pub from: Reach,
    /// Most connections that one address, or one IPv6 /64, begins in a minute; the management has no limit.
    pub attempts: u32,
}

/// From where a listener is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reach {
    /// From everywhere.
    Everywhere,
    /// From these networks; from nowhere where there is none.
    Networks(Vec<Cidr>),
}

/// What ICMP needs for IPv4: unreachable (path MTU too), echo, time exceeded, parameter problem (RFC 792). Echo replies
/// are answers.
const ICMP: [u8; 4] = [3, 8, 11, 12];

/// What IPv6 cannot live without: errors 1 to 4 with packet-too-big, echo (RFC 4443 4.3.1), multicast listeners 130 to
/// 132 and 143, router and neighbour discovery 133 to 136.
const ICMPV6: [u8; 14] = [1, 2, 3, 4, 128, 129, 130, 131, 132, 133, 134, 135, 136, 143];

/// Where a client of DHCP for IPv6 listens, and to whom (RFC 8415 7.2). The server answers a multicast from a link-local
/// address, which the kernel does not see as an answer: without this rule a host loses its address when the lease ends.
const DHCPV6_CLIENT: (&str, u32) = ("fe80::/10", 546);

impl Ruleset {
    /// SSH from the management first, without a limit, then from where else it is open, then each of `openings`.
    pub fn new(management: &[Cidr], ssh: &Ssh, openings: &[Opening]) -> Self {
        let mut input = vec![
            Rule {
                on: Match::Tracked(vec![Tracking::Established]),
                action: Action::Accept,
                why: Purpose::Answers,
            },
            Rule { on: Match::Errors, action: Action::Accept, why: Purpose::Answers },
            Rule { on: Match::Loopback, action: Action::Accept, why: Purpose::Loopback },
            Rule { on: Match::Tracked(vec![Tracking::Invalid]), action: Action::Drop, why: Purpose::Invalid },
        ];
        let tcp = Protocol::Tcp;
        input.extend(accepts(tcp, ssh.port, &Reach::Networks(management.to_vec()), &Purpose::Management));
        // Nothing new where it is open to the management alone.
        if !matches!(&ssh.from, Reach::Networks(more) if more.iter().all(|one| management.contains(one))) {
            input.extend(limits(ssh));
            input.extend(accepts(tcp, ssh.port, &ssh.from, &Purpose::Ssh));
        }
        let mut forward = Vec::new();
        for opening in openings {
            let why = Purpose::Listener { role: opening.role.clone(), listener: opening.listener.clone() };
            // A container's too: where its engine listens on the port itself, as Docker's proxy does, nothing is passed on.
            let accepted = accepts(opening.protocol, opening.port, &opening.from, &why);
            forward.extend(accepted.iter().filter(|_| opening.container).map(Rule::passed_on));
            input.extend(accepted);
        }
        if !forward.is_empty() {
            // What belongs to a connection that passed.
            forward.splice(0..0, [0, 1, 3].into_iter().filter_map(|place| input.get(place).cloned()));
        }
        let (network, port) = DHCPV6_CLIENT;
        if let (Ok(network), Ok(port)) = (network.parse(), Port::try_from(port)) {
            input.extend(accepts(Protocol::Udp, port, &Reach::Networks(vec![network]), &Purpose::Lease));
        }
        let rule = |on, action, why| Rule { on, action, why };
        input.extend([
            rule(Match::Icmp(ICMP.to_vec()), Action::Accept, Purpose::Control),
            rule(Match::Icmpv6(ICMPV6.to_vec()), Action::Accept, Purpose::Control),
            rule(Match::Any, Action::Log, Purpose::Dropped),
            rule(Match::Any, Action::Count, Purpose::Dropped),
        ]);
        Self { input, forward }
    }

    /// The same, without packets from `private` that come in where those networks are not: a listener is open to a role by
    /// its private addresses, and anybody can write those into a packet. Answers pass before, and so does what keeps
    /// neighbours known; other networks may have ways that are not the same in both directions.
    #[must_use]
    pub fn behind(mut self, private: &[Cidr]) -> Self {
        let forged: Vec<Rule> = Networks::by_family(private)
            .into_iter()
            .map(|from| Rule { on: Match::Forged(from), action: Action::Drop, why: Purpose::Forged })
            .collect();
        for rules in [&mut self.input, &mut self.forward] {
            if let Some(at) = rules.iter().position(|rule| rule.why == Purpose::Invalid) {
                rules.splice(at + 1..=at, forged.iter().cloned());
            }
        }
        self
    }

    /// The ports that are open to somebody.
    pub fn opens(&self) -> impl Iterator<Item = (Protocol, Port)> {
        self.input.iter().filter_map(|rule| match (&rule.on, rule.action) {
            (Match::To { protocol, port, .. }, Action::Accept) => Some((*protocol, *port)),
            _ => None,
        })
    }

    /// The families whose sources are counted, each with a set.
    fn counted(&self) -> impl Iterator<Item = Family> {
        [Family::V4, Family::V6].into_iter().filter(|of| {
            self.input.iter().any(|rule| matches!(rule.action, Action::Limit { family, .. } if family == *of))
        })
    }

    /// The ports whose connections are passed on to containers.
    pub fn passes_on(&self) -> impl Iterator<Item = (Protocol, Port)> {
        self.forward.iter().filter_map(|rule| match &rule.on {
            Match::PassedOn { protocol, port, .. } => Some((*protocol, *port)),
            _ => None,
        })
    }

    /// How many of the first lines of a listing of this table stand before whatever could cut the management off:
    /// up to its last management rule. `listing` is this table as nft prints it.
    pub fn head(listing: &str) -> usize {
        let mark = format!("comment \"{}\"", Purpose::Management);
        listing
            .lines()
            .enumerate()
            .filter(|(_, line)| line.ends_with(&mark))
            .map(|(at, _)| at + 1)
            .max()
            .unwrap_or(0)
    }
}

/// What lets `from` in.
fn accepts(protocol: Protocol, port: Port, from: &Reach, why: &Purpose) -> Vec<Rule> {
    let rule =
        |from| Rule { on: Match::To { protocol, port, from }, action: Action::Accept, why: why.clone() };
    match from {
        Reach::Everywhere => vec![rule(None)],
        Reach::Networks(networks) => {
            Networks::by_family(networks).into_iter().map(|from| rule(Some(from))).collect()
        }
    }
}

/// What stops those of `ssh` that come too often. A burst is quicker than whatever reads sshd's journal, so it is the
/// kernel that counts; and only those who would be let in, so that nobody else fills its sets.
fn limits(ssh: &Ssh) -> Vec<Rule> {
    let rule = |from, family| Rule {
        on: Match::To { protocol: Protocol::Tcp, port: ssh.port, from },
        action: Action::Limit { family, a_minute: ssh.attempts },
        why: Purpose::Burst,
    };
    match &ssh.from {
        Reach::Everywhere => vec![rule(None, Family::V4), rule(None, Family::V6)],
        Reach::Networks(networks) => Networks::by_family(networks)
            .into_iter()
            .map(|from| {
                let family = from.family();
                rule(Some(from), family)
            })
            .collect(),
    }
}

impl Rule {
    /// The same, of what is passed on.
    fn passed_on(&self) -> Self {
        let on = match &self.on {
            Match::To { protocol, port, from } => {
                Match::PassedOn { protocol: *protocol, port: *port, from: from.clone() }
            }
            other => other.clone(),
        };
        Self { on, ..self.clone() }
    }
}

#[cfg(test)]
pub(super) mod tests;
