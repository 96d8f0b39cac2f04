//! What was found out about each host when it was enrolled. Written by `enrol` and `retire` alone, read by everything
//! that connects: a host that shows another machine id or environment is not the host that was enrolled.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use jiff::Timestamp;
use serde::Serialize;

use super::Fleet;
use super::shapes::IDENTITIES;
use crate::domain::{Environment, HostName, MachineId, UserName};
use crate::source::{Document, Refusals, Report, Value};
use crate::text::Malformed;

/// Where they stand within a project.
pub const IDENTITIES_FILE: &str = "inventories/identities.yaml";

/// Every host that was enrolled.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Identities {
    /// By name.
    pub hosts: BTreeMap<HostName, HostIdentity>,
}

/// One enrolled host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct HostIdentity {
    /// /etc/machine-id as it was then.
    pub machine_id: MachineId,
    /// Environment of the host, as its own marker says too.
    pub environment: Environment,
    /// Its distribution and version: `debian-12`.
    pub distribution: String,
    /// The account with which its provider delivered it, locked since.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vendor: Option<UserName>,
    /// Time of its enrolment.
    pub enrolled: Timestamp,
    /// Account that enrolled it.
    pub by: UserName,
}

impl Identities {
    /// Reads the file.
    pub fn parse(bytes: &[u8]) -> Result<Self, Refusals> {
        let report = Report::new();
        let document = Document::read(IDENTITIES_FILE, bytes, &report);
        let identities = document.as_ref().and_then(|document| {
            let map = document.shaped(&IDENTITIES, &report)?.map()?;
            Some(Self { hosts: hosts(&map.required("hosts")?)? })
        });
        report.finish(identities)
    }

    /// Refuses a host that was enrolled into another environment than the one it stands in now.
    pub fn check_against(&self, fleet: &Fleet, report: &Report) {
        for host in fleet.environments.values().flat_map(|inventory| inventory.hosts.values()) {
            let Some(identity) = self.hosts.get(&host.name) else { continue };
            if identity.environment != host.environment {
                let why = format!(
                    "{} was enrolled into {}, and stands in {}",
                    host.name, identity.environment, host.environment
                );
                let fix = "a server does not move between environments: put it back, or reinstall it and enrol it with --replace";
                report.whole(IDENTITIES_FILE, &why, fix);
            }
        }
    }

    /// As the file's text.
    pub fn to_yaml(&self) -> String {
        let mut text = String::from(
            "# Written by `palisade enrol` and `palisade retire`. A host that shows anything else is refused.\nhosts:",
        );
        if self.hosts.is_empty() {
            text.push_str(" {}");
        }
        text.push('\n');
        for (name, host) in &self.hosts {
            let mut fields = vec![
                ("machine_id", host.machine_id.to_string()),
                ("environment", host.environment.to_string()),
                ("distribution", host.distribution.clone()),
            ];
            fields.extend(host.vendor.as_ref().map(|vendor| ("vendor", vendor.to_string())));
            fields.push(("enrolled", host.enrolled.to_string()));
            fields.push(("by", host.by.to_string()));
            let _ = writeln!(text, "  {}:", serde_json::Value::from(name.as_str()));
            for (field, value) in fields {
                // JSON's strings are YAML's, so that no value can become anything but text.
                let _ = writeln!(text, "    {field}: {}", serde_json::Value::from(value));
            }
        }
        text
    }
}

fn hosts(value: &Value<'_>) -> Option<BTreeMap<HostName, HostIdentity>> {
    let mut hosts: BTreeMap<HostName, HostIdentity> = BTreeMap::new();
    for (name, at) in value.entries()? {
        let name = match name.parse::<HostName>() {
            Ok(name) => name,
            Err(error) => {
                at.refuse_key(&error.why, &error.fix);
                continue;
            }
        };
        let Some(identity) = identity(&at) else { continue };
        if let Some((other, first)) = hosts.iter().find(|(_, host)| host.machine_id == identity.machine_id) {
            let why = if first.environment == identity.environment {
                format!("the same machine id as {other}")
            } else {
                format!("the same machine id as {other}, in {}", first.environment)
            };
            at.refuse_key(
                &why,
                "one of the two is a copy: give it a new /etc/machine-id and enrol it with --replace",
            );
        }
        hosts.insert(name, identity);
    }
    Some(hosts)
}

fn identity(value: &Value<'_>) -> Option<HostIdentity> {
    let map = value.map()?;
    let machine_id = map.required("machine_id").and_then(|value| value.parse());
    let environment = map.required("environment").and_then(|value| value.parse());
    let distribution = map.required("distribution").and_then(|value| {
        let text = value.text()?;
        let good = text.len() <= 40
            && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "-.".contains(c));
        value.checked(good.then(|| text.to_owned()).ok_or_else(|| {
            Malformed::new(
                "not a distribution",
                "write it as ID and VERSION_ID of /etc/os-release: debian-12",
            )
        }))
    });
    let vendor = map.field("vendor").map(|value| value.parse());
    let enrolled = map.required("enrolled").and_then(|value| {
        let text = value.text()?;
        value.checked(
            text.parse::<Timestamp>()
                .map_err(|_| Malformed::new("not a time", "write it in UTC, such as 2026-11-28T22:00:00Z")),
        )
    });
    let by = map.required("by").and_then(|value| value.parse());
    Some(HostIdentity {
        machine_id: machine_id?,
        environment: environment?,
        distribution: distribution?,
        vendor: match vendor {
            None => None,
            Some(vendor) => Some(vendor?),
        },
        enrolled: enrolled?,
        by: by?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(machine_id: &str, environment: Environment) -> HostIdentity {
        HostIdentity {
            machine_id: machine_id.parse().unwrap(),
            environment,
            distribution: "debian-12".to_owned(),
            vendor: Some("debian".parse().unwrap()),
            enrolled: "2026-11-28T22:00:00Z".parse().unwrap(),
            by: "alice".parse().unwrap(),
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        let mut identities = Identities::default();
        assert_eq!(Identities::parse(identities.to_yaml().as_bytes()).unwrap(), identities);
        identities.hosts.insert("web-1".parse().unwrap(), identity(&"a".repeat(32), Environment::Prod));
        identities.hosts.insert("1e3".parse().unwrap(), identity(&"1".repeat(32), Environment::Dev));
        assert_eq!(Identities::parse(identities.to_yaml().as_bytes()).unwrap(), identities);
    }

    #[test]
    fn one_machine_is_not_two_hosts() {
        let mut identities = Identities::default();
        identities.hosts.insert("a".parse().unwrap(), identity(&"a".repeat(32), Environment::Dev));
        identities.hosts.insert("b".parse().unwrap(), identity(&"a".repeat(32), Environment::Prod));
        let refused = Identities::parse(identities.to_yaml().as_bytes()).unwrap_err();
        assert!(refused.to_string().contains("the same machine id as a, in dev"), "{refused}");
    }
}
