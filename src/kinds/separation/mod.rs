//! Nothing of this host belongs to another environment: its marker, machine id, addresses, host keys and the keys that
//! open its accounts. What the inventory shows by itself is refused before anything is contacted; this is what the host
//! answers.

mod declare;

use std::collections::HashSet;
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::domain::{Address, Environment, MachineId, PublicKey};
use crate::kinds::firewall::exposure;
use crate::resource::{Defeated, Frame, Kind, Question, Reading, Step, Unread, Verdict, parts};
use crate::shell::Perl;
use crate::text::visible;

/// What other environments have, and this host must not. All hosts of an environment share it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Separation {
    /// Environment of the host.
    pub environment: Environment,
    /// Addresses of hosts elsewhere, each with its owner: `web-1 in prod`.
    pub addresses: Arc<[(Address, String)]>,
    /// Machine ids of hosts elsewhere.
    pub machines: Arc<[(MachineId, String)]>,
    /// Pinned host keys of hosts elsewhere.
    pub host_keys: Arc<[(PublicKey, String)]>,
    /// Keys of machine accounts elsewhere.
    pub automation: Arc<[(PublicKey, String)]>,
}

/// What the host says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Answer {
    /// Its marker.
    pub marker: String,
    /// /etc/machine-id.
    pub machine: MachineId,
    /// Its addresses.
    pub addresses: Vec<Address>,
    /// Its public host keys, one line each.
    pub host_keys: Vec<String>,
    /// Every line of its files of authorized keys: file and line.
    pub keys: Vec<(String, String)>,
}

impl Kind for Separation {
    type Answer = Answer;

    fn question(_all: &[&Self]) -> Question {
        let body = Perl::new(include_str!("question.pl")).into();
        Question { label: "separation", body, seconds: 20, cap: 4 << 20 }
    }

    fn read(all: &[&Self], frame: &Frame) -> Vec<Reading<Answer>> {
        let reading = answer(frame);
        all.iter().map(|_| reading.clone()).collect()
    }

    fn judge(&self, answer: &Answer, _now: Timestamp) -> Verdict {
        let mut findings = Vec::new();
        if answer.marker != self.environment.to_string() {
            let marker =
                if answer.marker.is_empty() { "nothing".to_owned() } else { visible(&answer.marker) };
            findings.push(format!("it is marked as a machine of {marker}, not {}", self.environment));
        }
        for (_, owner) in self.machines.iter().filter(|(id, _)| *id == answer.machine) {
            findings.push(format!("it has the machine id of {owner}"));
        }
        for (address, owner) in self.addresses.iter().filter(|(one, _)| answer.addresses.contains(one)) {
            findings.push(format!("it has the address {address} of {owner}"));
        }
        let shown: HashSet<&str> = answer.host_keys.iter().flat_map(|line| line.split_whitespace()).collect();
        for (key, owner) in self.host_keys.iter() {
            if key.material().split(' ').nth(1).is_some_and(|blob| shown.contains(blob)) {
                findings.push(format!("it has the host key {} of {owner}", key.fingerprint().as_str()));
            }
        }
        for (key, owner) in self.automation.iter() {
            for (file, _) in answer.keys.iter().filter(|(_, line)| holds(line, key)) {
                findings.push(format!("{} lets in the key of {owner}", visible(file)));
            }
        }
        Verdict::from_findings(findings)
    }

    fn remedy(&self, _answer: &Answer) -> Result<Vec<Step>, Defeated> {
        Ok(Vec::new())
    }

    fn name(&self) -> String {
        "separation of environments".to_owned()
    }
}

/// Whether a line names a key, whatever stands around it.
fn holds(line: &str, key: &PublicKey) -> bool {
    let material = key.material();
    line.split_whitespace().any(|word| material.split(' ').nth(1) == Some(word))
}

fn answer(frame: &Frame) -> Reading<Answer> {
    let marker = parts::part(frame, "marker")?;
    let machine = parts::succeeded(frame, "machine")?;
    let machine =
        machine.text.trim().parse().map_err(|_| Unread("the host has no valid machine id".to_owned()))?;
    let addresses = exposure::addresses(&parts::succeeded(frame, "addresses")?)?;
    let host_keys = parts::succeeded(frame, "hostkeys")?;
    if !host_keys.lines().any(|line| line.parse::<PublicKey>().is_ok()) {
        return Err(Unread("the host did not show a host key (/etc/ssh/ssh_host_*_key.pub)".to_owned()));
    }
    let keys = parts::succeeded(frame, "keys")?;
    let mut lines = keys.lines();
    if lines.next() != Some("looked") {
        return Err(Unread("the host did not say which keys open its accounts".to_owned()));
    }
    Ok(Answer {
        marker: if marker.status == 0 { marker.text.trim().to_owned() } else { String::new() },
        machine,
        addresses: addresses.into_iter().map(|(_, address)| address).collect(),
        host_keys: host_keys.lines().map(str::to_owned).collect(),
        keys: lines
            .filter_map(|line| line.split_once('\t'))
            .map(|(file, line)| (file.to_owned(), line.to_owned()))
            .collect(),
    })
}
