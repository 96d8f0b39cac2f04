//! Admin interfaces, reached from the admin addresses alone. It reads from the live firewall from where each of them may
//! be reached; the firewall's own kind mends what differs.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::live::{self, LIVE, Live};
use crate::domain::{Cidr, ListenerName, Port, Protocol};
use crate::resource::{Defeated, Frame, Kind, Question, Reading, Step, Verdict, parts};
use crate::shell::Perl;

/// The admin interfaces of a host: the listeners that the inventory declares `from: admin`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Allowlist {
    /// The admin addresses of its environment.
    pub admin: Vec<Cidr>,
    /// Most addresses that may reach one.
    pub most: u32,
    /// The interfaces.
    pub interfaces: Vec<Interface>,
}

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Interface {
    /// Its name.
    pub name: ListenerName,
    /// TCP or UDP.
    pub protocol: Protocol,
    /// Its port.
    pub port: Port,
    /// True where a container publishes it: then what is passed on counts too.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub container: bool,
}

impl Interface {
    fn told(&self) -> String {
        format!("{} ({} port {})", self.name, self.protocol.as_str(), self.port)
    }
}

impl Kind for Allowlist {
    type Answer = Live;

    fn question(_all: &[&Self]) -> Question {
        let body = Perl::new(LIVE).then("live_table();").into();
        Question { label: "allowlist", body, seconds: 20, cap: 4 << 20 }
    }

    fn read(all: &[&Self], frame: &Frame) -> Vec<Reading<Live>> {
        let reading = live::live(frame);
        all.iter().map(|_| reading.clone()).collect()
    }

    fn judge(&self, answer: &Live, _now: Timestamp) -> Verdict {
        if self.interfaces.is_empty() {
            let reason = "no admin interface is declared here (a listener `from: admin`)".to_owned();
            return Verdict::NotApplicable { reason };
        }
        let all = || self.interfaces.iter().map(Interface::told).collect::<Vec<_>>().join(", ");
        let table = match answer {
            Live::NoTool => {
                let why = format!("nft is not installed (package nftables): everyone reaches {}", all());
                return Verdict::Drift { findings: vec![why] };
            }
            Live::NoTable => {
                let why = format!("no table inet palisade is loaded: everyone reaches {}", all());
                return Verdict::Drift { findings: vec![why] };
            }
            Live::Table(table) => table,
        };
        let mut findings = Vec::new();
        if !table.input_drops {
            findings.push(format!("the firewall drops nothing by itself: everyone reaches {}", all()));
        }
        let mut notes = Vec::new();
        for interface in &self.interfaces {
            let passed_on = table.passes.iter().filter(|_| interface.container);
            let about = table
                .accepts
                .iter()
                .chain(passed_on)
                .filter(|accept| accept.covers(interface.protocol, interface.port.number()));
            let mut sources = BTreeSet::new();
            for accept in about {
                let strangers = accept.beyond(&self.admin);
                if !strangers.is_empty() {
                    let from = parts::listed(&strangers, 5).join(", ");
                    findings.push(format!("{} is open to {from}: {}", interface.told(), accept.rule));
                }
                sources.extend(accept.sources.iter().flatten().copied());
            }
            let count =
                sources.iter().fold(0_u128, |sum, source: &Cidr| sum.saturating_add(source.addresses()));
            if count > u128::from(self.most) {
                findings.push(format!(
                    "{} is open to {count} addresses, and {} are promised at most",
                    interface.told(),
                    self.most
                ));
            }
            let from: Vec<String> = sources.iter().map(ToString::to_string).collect();
            notes.push(if from.is_empty() {
                format!("{} is reached from nowhere", interface.told())
            } else {
                format!("{} is reached from {} alone", interface.told(), from.join(", "))
            });
        }
        match (findings.is_empty(), table.strange.first()) {
            (false, _) => Verdict::Drift { findings },
            (true, Some(rule)) => Verdict::Unknown {
                reason: format!(
                    "the firewall has a rule that may let in more, and palisade does not understand it: {rule}"
                ),
            },
            (true, None) => Verdict::Compliant { notes },
        }
    }

    fn remedy(&self, _answer: &Live) -> Result<Vec<Step>, Defeated> {
        Ok(Vec::new())
    }

    fn name(&self) -> String {
        "admin interfaces".to_owned()
    }
}
