//! The rules as nftables writes them. Only numbers are written, so that a host without /etc/services and /etc/protocols
//! reads the same.

use std::fmt::{self, Write as _};

use super::{Action, Match, Networks, Purpose, Rule, Ruleset};
use crate::domain::{Cidr, Family, Port, Protocol};

/// The comment of the rules that widen puts in front.
const WIDEN: &str = "palisade widen";

impl fmt::Display for Purpose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Answers => f.write_str("answers"),
            Self::Invalid => f.write_str("of no connection"),
            Self::Forged => f.write_str("forged source"),
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

impl Ruleset {
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
}

/// The set in which sources of a family are counted, and the type of its elements.
fn counting(family: Family) -> (&'static str, &'static str) {
    match family {
        Family::V4 => ("ssh4", "ipv4_addr"),
        Family::V6 => ("ssh6", "ipv6_addr"),
    }
}

/// The rules that let `management` in to SSH in front of whatever is loaded: one for each network, as nft lists them.
pub(in crate::kinds::firewall) fn widening(management: &[Cidr], ssh_port: Port) -> Vec<String> {
    Networks::by_family(management)
        .iter()
        .flat_map(Networks::all)
        .flat_map(|network| Networks::by_family(&[*network]))
        .map(|from| format!("{from} tcp dport {ssh_port} accept comment \"{WIDEN}\""))
        .collect()
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
            // ICMP and ICMPv6 by number, as below.
            Self::Errors => f.write_str("ct state related meta l4proto { 1, 58 } "),
            Self::Forged(networks) => write!(f, "{networks} fib saddr . iif oif missing "),
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
