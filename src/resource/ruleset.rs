//! The firewall as typed rules. One list of rules is both rendered as nftables text and interpreted here, so that what
//! is loaded and what is promised cannot differ. It owns one table, `inet palisade`, and names no other.
//!
//! Everything inbound is dropped but answers, loopback, what ICMP needs, SSH from the management sources, and the
//! declared listeners. Where SSH is open to others than the management, each of their addresses opens a few connections
//! a minute and no more. Nothing is forwarded but connections to a declared port that a container publishes, and their
//! answers. What the host itself sends is not filtered. Only numbers are written, so that a host without /etc/services
//! and /etc/protocols reads the same.

use std::fmt::{self, Write as _};

use serde::{Deserialize, Serialize};

use crate::domain::{Address, Cidr, Family, ListenerName, Port, Protocol, RoleName};

/// All rules, in order: for packets to the host, and for those that it passes on. A packet that none of them decides is
/// dropped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ruleset {
    input: Vec<Rule>,
    /// Empty where no container publishes a declared port.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    forward: Vec<Rule>,
}

/// One rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rule {
    /// Which packets.
    on: Match,
    /// What becomes of them.
    action: Action,
    /// Why it is there: the rule's comment.
    why: Purpose,
}

/// Which packets a rule is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
enum Match {
    /// All.
    Any,
    /// Those of a connection in one of these states.
    Tracked(Vec<Tracking>),
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
        /// From where; none for everywhere.
        from: Option<Networks>,
    },
    /// Those of a connection to a port of the host that was passed on to another address (DNAT), by the port that it was
    /// to before: which container has it, and on which port, is not ours to know.
    PassedOn {
        /// TCP or UDP.
        protocol: Protocol,
        /// The port of the host.
        port: Port,
        /// From where; none for everywhere.
        from: Option<Networks>,
    },
}

/// What becomes of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
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
        /// Whose sources.
        family: Family,
        /// How many.
        a_minute: u32,
    },
}

/// Why a rule is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
enum Purpose {
    Answers,
    Invalid,
    Loopback,
    Control,
    Lease,
    Management,
    Ssh,
    Burst,
    Listener { role: RoleName, listener: ListenerName },
    Dropped,
}

impl fmt::Display for Purpose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Answers => f.write_str("answers"),
            Self::Invalid => f.write_str("of no connection"),
            Self::Loopback => f.write_str("loopback"),
            Self::Control => f.write_str("errors, echo, neighbours"),
            Self::Lease => f.write_str("DHCPv6 answers"),
            Self::Management => f.write_str("management"),
            Self::Ssh => f.write_str("ssh"),
            Self::Burst => f.write_str("ssh burst"),
            // 127 bytes at most: a comment has room for 128 (nftables' NFTNL_UDATA_COMMENT_MAXLEN).
            Self::Listener { role, listener } => write!(f, "{role}/{listener}"),
            Self::Dropped => f.write_str("dropped"),
        }
    }
}

/// What the kernel knows of the connection that a packet belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Tracking {
    /// The first of a connection.
    New,
    /// Of a connection that passed before.
    Established,
    /// About such a connection: an ICMP error.
    Related,
    /// Of none, and the first of none.
    Invalid,
}

impl Tracking {
    fn as_str(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Established => "established",
            Self::Related => "related",
            Self::Invalid => "invalid",
        }
    }
}

/// Networks of one family: at least one, sorted, none within another (nftables refuses overlaps in a set).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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

    fn contains(&self, address: Address) -> bool {
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
    /// From where.
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

/// A packet that reaches the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packet {
    /// Its source.
    pub source: Address,
    /// Where it comes in.
    pub interface: Interface,
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
            tracking: Tracking::New,
            payload: Payload::To(protocol, port),
        }
    }
}

/// What becomes of a packet in the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It passes.
    Accept,
    /// It is dropped.
    Drop,
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

/// The comment of the rules that widen puts in front.
const WIDEN: &str = "palisade widen";

impl Ruleset {
    /// SSH from the management first, without a limit, then from where else it is open, then each of `openings`.
    pub fn new(management: &[Cidr], ssh: &Ssh, openings: &[Opening]) -> Self {
        let mut input = vec![
            Rule {
                on: Match::Tracked(vec![Tracking::Established, Tracking::Related]),
                action: Action::Accept,
                why: Purpose::Answers,
            },
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
            forward.splice(0..0, [0, 2].into_iter().filter_map(|place| input.get(place).cloned()));
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

    /// What becomes of `packet`: the first rule that accepts or drops it decides, and the policy drops the rest. It is
    /// taken for one of the first of its source: limits let it go on.
    pub fn simulate(&self, packet: &Packet) -> Fate {
        decide(&self.input, packet)
    }

    /// What becomes of `packet`, which the host passes on: its port is the one that it was to before that.
    pub fn simulate_passed_on(&self, packet: &Packet) -> Fate {
        decide(&self.forward, packet)
    }

    /// The ports whose connections are passed on to containers.
    pub fn passes_on(&self) -> impl Iterator<Item = (Protocol, Port)> {
        self.forward.iter().filter_map(|rule| match &rule.on {
            Match::PassedOn { protocol, port, .. } => Some((*protocol, *port)),
            _ => None,
        })
    }

    /// What `nft -f` loads, at once: the whole table, in the place of the one that may be there. `destroy` is unknown
    /// to nftables 1.0.6, so the table is named before it is deleted.
    pub fn render(&self) -> String {
        let mut text =
            String::from("table inet palisade\ndelete table inet palisade\ntable inet palisade {\n");
        for family in self.counted() {
            // As many sources as nftables itself would take, each for as long as it takes to forget its connections:
            // after a minute of silence a source may begin as many as at first.
            let (set, of) = counting(family);
            let _ = write!(
                text,
                "\tset {set} {{\n\t\ttype {of}\n\t\tsize 65535\n\t\tflags dynamic,timeout\n\t\ttimeout 1m\n\t}}\n\n"
            );
        }
        text.push_str("\tchain input {\n\t\ttype filter hook input priority filter; policy drop;\n");
        for rule in &self.input {
            let _ = writeln!(text, "\t\t{rule}");
        }
        text.push_str(
            "\t}\n\n\tchain forward {\n\t\ttype filter hook forward priority filter; policy drop;\n",
        );
        for rule in &self.forward {
            let _ = writeln!(text, "\t\t{rule}");
        }
        text.push_str(
            "\t}\n\n\tchain output {\n\t\ttype filter hook output priority filter; policy accept;\n\t}\n}\n",
        );
        text
    }

    /// How many of the first lines of a listing of this table stand before whatever could cut the management off:
    /// up to its last management rule. `listing` is this table as nft prints it.
    pub(super) fn head(listing: &str) -> usize {
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

/// The first rule that accepts or drops a packet decides, and the policy drops the rest.
fn decide(rules: &[Rule], packet: &Packet) -> Fate {
    rules
        .iter()
        .filter(|rule| rule.on.holds(packet))
        .find_map(|rule| match rule.action {
            Action::Accept => Some(Fate::Accept),
            Action::Drop => Some(Fate::Drop),
            Action::Log | Action::Count | Action::Limit { .. } => None,
        })
        .unwrap_or(Fate::Drop)
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

/// The set in which sources of a family are counted, and the type of its elements.
fn counting(family: Family) -> (&'static str, &'static str) {
    match family {
        Family::V4 => ("ssh4", "ipv4_addr"),
        Family::V6 => ("ssh6", "ipv6_addr"),
    }
}

/// The rules that let `management` in to SSH in front of whatever is loaded: one for each network, as nft lists them.
pub(super) fn widening(management: &[Cidr], ssh_port: Port) -> Vec<String> {
    Networks::by_family(management)
        .iter()
        .flat_map(|networks| &networks.0)
        .map(|network| {
            let from = Networks(vec![*network]);
            format!("{from} tcp dport {ssh_port} accept comment \"{WIDEN}\"")
        })
        .collect()
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

impl Match {
    fn holds(&self, packet: &Packet) -> bool {
        match (self, packet.payload) {
            (Self::Any, _) => true,
            (Self::Tracked(states), _) => states.contains(&packet.tracking),
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

impl fmt::Display for Match {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |words: Vec<String>| words.join(", ");
        match self {
            Self::Any => Ok(()),
            Self::Tracked(states) => {
                let states: Vec<&str> = states.iter().map(|state| state.as_str()).collect();
                write!(f, "ct state {} ", states.join(","))
            }
            Self::Loopback => f.write_str("iif \"lo\" "),
            Self::Icmp(types) => {
                write!(f, "icmp type {{ {} }} ", list(types.iter().map(u8::to_string).collect()))
            }
            Self::Icmpv6(types) => {
                write!(f, "icmpv6 type {{ {} }} ", list(types.iter().map(u8::to_string).collect()))
            }
            Self::To { protocol, port, from } => {
                if let Some(networks) = from {
                    write!(f, "{networks} ")?;
                }
                write!(f, "{} dport {port} ", protocol.as_str())
            }
            Self::PassedOn { protocol, port, from } => {
                if let Some(networks) = from {
                    write!(f, "{networks} ")?;
                }
                // By number (IANA's protocol numbers): a host may have no /etc/protocols.
                let number = match protocol {
                    Protocol::Tcp => 6,
                    Protocol::Udp => 17,
                };
                write!(f, "ct status dnat meta l4proto {number} ct original proto-dst {port} ")
            }
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let action = match self.action {
            Action::Accept => "accept".to_owned(),
            Action::Drop => "drop".to_owned(),
            Action::Log => "limit rate 5/minute burst 10 packets log prefix \"palisade drop: \"".to_owned(),
            Action::Count => "counter".to_owned(),
            Action::Limit { family, a_minute } => {
                let (set, _) = counting(family);
                let source = match family {
                    Family::V4 => "ip saddr",
                    Family::V6 => "ip6 saddr & ffff:ffff:ffff:ffff::",
                };
                format!(
                    "ct state new update @{set} {{ {source} limit rate over {a_minute}/minute burst {a_minute} \
                     packets }} drop"
                )
            }
        };
        write!(f, "{}{action} comment \"{}\"", self.on, self.why)
    }
}

#[cfg(test)]
pub(super) mod tests;
