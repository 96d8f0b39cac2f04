//! What a lab's network can be made to lose. Packets are dropped in the switch, between the bridge's ports, so that
//! neither the host nor the control node can tell it from a network that loses them, and a host's own ruleset stays
//! as it is. A fault stays through reboots of the host, until it is lifted.

use super::error::LabError;
use super::invocation::Invocation;
use super::record::LabRecord;
use super::switch;
use crate::program::Program;

/// What is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Every attempt to open a TCP connection to the host. Connections that stand go on.
    NewConnections,
    /// Every packet, in both directions.
    Everything,
    /// Every IPv6 packet, in both directions; neighbour discovery with them.
    Ipv6,
}

/// Where it is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum At {
    /// At every port of the host with this number.
    Host(u8),
    /// At the control node's port.
    Control,
}

impl At {
    fn table(self) -> String {
        match self {
            Self::Host(number) => format!("fault-h{number}"),
            Self::Control => "fault-control".to_owned(),
        }
    }

    fn ports(self) -> Vec<String> {
        match self {
            Self::Host(number) => {
                [switch::PUBLIC, switch::PRIVATE].map(|network| switch::port(number, network)).into()
            }
            Self::Control => vec![switch::CONTROL.to_owned()],
        }
    }
}

/// Lets the network lose `fault` there, in the place of what it lost there before.
pub(super) fn inject(lab: &LabRecord, at: At, fault: Fault) -> Result<(), LabError> {
    nft(lab, &ruleset(at, fault))
}

/// Lets the network lose nothing there any more.
pub(super) fn lift(lab: &LabRecord, at: At) -> Result<(), LabError> {
    let table = at.table();
    // declared first, since deleting a table that is not there is an error
    nft(lab, &format!("table bridge {table}\ndelete table bridge {table}\n"))
}

/// Whether anything is lost there.
pub(super) fn is_injected(lab: &LabRecord, at: At) -> Result<bool, LabError> {
    let tables = within(lab, Program::Nft).args(["list", "tables", "bridge"]).run()?;
    Ok(tables.lines().any(|line| line.trim() == format!("table bridge {}", at.table())))
}

fn nft(lab: &LabRecord, ruleset: &str) -> Result<(), LabError> {
    within(lab, Program::Nft).args(["-f", "-"]).input(ruleset).run().map(drop)
}

fn within(lab: &LabRecord, program: Program) -> Invocation {
    Invocation::of(Program::Nsenter).arg(format!("--net=/run/netns/{}", lab.switch())).arg(program.name())
}

fn ruleset(at: At, fault: Fault) -> String {
    let table = at.table();
    let ports = at.ports().iter().map(|port| format!("\"{port}\"")).collect::<Vec<_>>().join(", ");
    // a first packet has SYN without ACK (RFC 9293 3.5)
    let rules = match fault {
        Fault::NewConnections => {
            vec![format!("oifname {{ {ports} }} tcp flags & (syn | ack) == syn counter drop")]
        }
        Fault::Everything => {
            vec![format!("oifname {{ {ports} }} counter drop"), format!("iifname {{ {ports} }} counter drop")]
        }
        Fault::Ipv6 => vec![
            format!("oifname {{ {ports} }} ether type ip6 counter drop"),
            format!("iifname {{ {ports} }} ether type ip6 counter drop"),
        ],
    };
    let rules = rules.join("\n    ");
    format!(
        "table bridge {table}\ndelete table bridge {table}\ntable bridge {table} {{\n  chain forward {{\n    \
         type filter hook forward priority 0; policy accept;\n    {rules}\n  }}\n}}\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_first_packets_towards_the_host_are_lost() {
        let text = ruleset(At::Host(2), Fault::NewConnections);
        assert!(
            text.contains("oifname { \"h2-public\", \"h2-private\" } tcp flags & (syn | ack) == syn"),
            "{text}"
        );
        assert!(!text.contains("iifname"), "{text}");
    }
}
