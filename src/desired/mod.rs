//! What shall be true of one host: the controls' declarations, resolved against the inventory into typed resources
//! without conflict. Nothing here asks or changes a host.

mod context;
mod gathering;

use serde::Serialize;

use context::Rendered;
use gathering::Gathering;

use crate::domain::{Cidr, ControlId, Digest, HostName};
use crate::inventory::Host;
use crate::kinds::Resource;
use crate::playbook::{Control, Hosts};
use crate::resource;
use crate::scope::{Inputs, Scope, ScopeError};
use crate::template::Templates;
use crate::waiver::{Exception, Waivers};

/// Everything that the playbook wants of one host.
#[derive(Debug, Clone, Serialize)]
pub struct Desired {
    /// The host.
    pub host: HostName,
    /// The networks from which the host is managed ([`Scope::management`]). Nothing is wanted of the host by it alone.
    #[serde(skip)]
    pub management: Vec<Cidr>,
    /// Each resource once, with the controls that want it.
    pub resources: Vec<Wanted>,
    /// The controls that apply to the host, in the playbook's order.
    pub controls: Vec<ControlId>,
    /// The waivers that bear on the host.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub waivers: Vec<Exception>,
    /// What could not be resolved, and so is unknown: on a machine without an inventory.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unresolved: Vec<Missing>,
}

/// Something that a control declares and that only an inventory can resolve.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Missing {
    /// The control.
    pub control: ControlId,
    /// What it declares, for people.
    pub resource: String,
    /// Whether it would be enforced.
    pub enforced: bool,
}

/// A resource, and why it is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Wanted {
    /// The resource.
    pub resource: Resource,
    /// Whether palisade makes it so, or only looks.
    pub enforced: bool,
    /// The controls that it serves.
    pub controls: Vec<ControlId>,
}

impl Desired {
    /// Nothing yet.
    fn of(host: HostName) -> Self {
        Self {
            host,
            management: Vec::new(),
            resources: Vec::new(),
            controls: Vec::new(),
            waivers: Vec::new(),
            unresolved: Vec::new(),
        }
    }

    /// The digest of all that is wanted.
    pub fn digest(&self) -> Digest {
        Digest::of(serde_json::to_string(self).unwrap_or_default().as_bytes())
    }

    /// The resources alone, in order.
    pub fn resources(&self) -> Vec<&Resource> {
        self.resources.iter().map(|wanted| &wanted.resource).collect()
    }
}

/// Why a desired state cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unresolved {
    /// Two controls want different things of one resource.
    #[error("{host}: {first} and {second} want different things of {resource}")]
    Conflict {
        /// The host.
        host: HostName,
        /// One control.
        first: ControlId,
        /// The other.
        second: ControlId,
        /// The resource that they differ about.
        resource: String,
    },
    /// A template could not be rendered.
    #[error("{host}: control {control}: {why}")]
    Template {
        /// The host.
        host: HostName,
        /// The control that names it.
        control: ControlId,
        /// What is wrong.
        why: String,
    },
    /// The inventory gives a control nothing that may be applied to the host.
    #[error("{host}: {why}")]
    Inventory {
        /// The host.
        host: HostName,
        /// What is wrong.
        why: String,
    },
}

impl Unresolved {
    fn of_scope(host: &HostName, error: &ScopeError) -> Self {
        Self::Inventory { host: host.clone(), why: error.to_string() }
    }

    fn of(host: &HostName, control: &ControlId, why: &resource::Unresolved) -> Self {
        match why {
            resource::Unresolved::Template(why) => {
                Self::Template { host: host.clone(), control: control.clone(), why: why.clone() }
            }
            other => Self::Inventory { host: host.clone(), why: other.to_string() },
        }
    }
}

/// The controls' declarations for one host, resolved.
pub fn resolve(
    controls: &[Control],
    inputs: Inputs<'_>,
    waivers: &Waivers,
    templates: &Templates,
) -> Result<Desired, Unresolved> {
    let bodies = Rendered::by(templates);
    let host = inputs.host;
    let scope = Scope::new(inputs, &bodies).map_err(|why| Unresolved::of_scope(&host.name, &why))?;
    let mut gathering = Gathering::of(host.name.clone());
    gathering.desired.management.clone_from(&scope.management);
    gathering.desired.waivers = waivers.on(host, inputs.day);
    for control in controls.iter().filter(|control| applies(&control.hosts, host)) {
        gathering.desired.controls.push(control.id.clone());
        // What is waived is judged and shown, and not enforced.
        let enforced =
            !gathering.desired.waivers.iter().any(|waiver| waiver.control == control.id && !waiver.expired);
        let declared = control
            .enforce
            .iter()
            .map(|declaration| (declaration, enforced))
            .chain(control.check.iter().map(|declaration| (declaration, false)));
        for (declaration, enforced) in declared {
            let resources = declaration.resolve(Some(&scope));
            let resources = resources.map_err(|why| Unresolved::of(&host.name, &control.id, &why))?;
            for resource in resources {
                gathering.add(resource, enforced, &control.id)?;
            }
        }
    }
    Ok(gathering.desired)
}

/// What can be asked of a machine that no inventory declares: the controls' literal values. What follows from people,
/// listeners and networks is unknown there. Nothing is enforced by it.
pub fn resolve_local(controls: &[Control], host: &HostName) -> Result<Desired, Unresolved> {
    let mut gathering = Gathering::of(host.clone());
    for control in controls {
        gathering.desired.controls.push(control.id.clone());
        for declaration in control.declarations() {
            match declaration.resolve(None) {
                Ok(resources) => {
                    for resource in resources {
                        gathering.add(resource, false, &control.id)?;
                    }
                }
                Err(resource::Unresolved::NoInventory(what)) => {
                    gathering.desired.unresolved.push(Missing {
                        control: control.id.clone(),
                        resource: what.to_owned(),
                        enforced: false,
                    });
                }
                Err(why) => return Err(Unresolved::of(host, &control.id, &why)),
            }
        }
    }
    Ok(gathering.desired)
}

fn applies(hosts: &Hosts, host: &Host) -> bool {
    match hosts {
        Hosts::All => true,
        Hosts::Role(role) => host.roles.contains(role),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::domain::{Address, Environment};
    use crate::inventory::{Fleet, Identities};
    use crate::known_hosts::KnownHosts;
    use crate::scope::{EnvironmentIndex, concerned};
    use crate::source::Sources;

    /// The enforced resources of db-2 that serve `firewall`, with and without others.
    fn enforced(waivers: &str, day: &str) -> Vec<String> {
        let fleet = crate::inventory::parse(&crate::inventory::example()).unwrap();
        let playbook = crate::playbook::parse(&Sources::new()).unwrap();
        let sources = Sources::new().with(crate::waiver::WAIVERS_FILE, waivers);
        let waivers = Waivers::parse(&sources, &fleet, &playbook).unwrap();
        let estate = &fleet.environments[&Environment::Prod];
        let inputs = Inputs {
            fleet: &fleet,
            estate,
            host: &estate.hosts[&"db-2".parse().unwrap()],
            distribution: "debian-12",
            enrolled: None,
            turns: None,
            day: day.parse().unwrap(),
            index: &EnvironmentIndex::new(&fleet, estate, &Identities::default(), &KnownHosts::default()),
        };
        let templates = Templates::read(&Sources::new()).unwrap();
        let desired = resolve(&playbook.controls, inputs, &waivers, &templates).unwrap();
        let firewall: ControlId = "firewall".parse().unwrap();
        assert!(desired.controls.contains(&firewall) && desired.resources.len() > 10);
        let enforced = desired.resources.iter().filter(|wanted| wanted.enforced);
        enforced
            .filter(|wanted| wanted.controls.contains(&firewall))
            .map(|wanted| wanted.resource.kind().to_owned())
            .collect()
    }

    #[test]
    fn what_is_waived_is_still_asked_and_no_longer_enforced() {
        let waiver =
            "- {control: firewall, hosts: [db-2], owner: Alice Martin, reason: x, expires: 2026-12-31}\n";
        let all = enforced("[]\n", "2026-11-28");
        assert!(all.contains(&"nftables".to_owned()), "{all:?}");
        // The package alone, which the lockout needs too.
        assert_eq!(enforced(waiver, "2026-12-31"), ["package"]);
        assert_eq!(enforced(waiver, "2027-01-01"), all);
        assert_eq!(enforced(&waiver.replace("db-2", "db-1"), "2026-12-31"), all);
    }

    /// What is wanted of every host of prod, where `moved` has other addresses.
    fn wanted(fleet: &Fleet, moved: Option<&HostName>) -> Vec<(HostName, String)> {
        let mut estate = fleet.environments[&Environment::Prod].clone();
        if let Some(host) = moved.and_then(|name| estate.hosts.get_mut(name)) {
            let other = |address: &Address| -> Address {
                let text = address.to_string();
                let at = text.rfind(['.', ':']).unwrap() + 1;
                format!("{}77", &text[..at]).parse().unwrap()
            };
            host.public = host.public.iter().map(other).collect();
            host.private = host.private.iter().map(other).collect();
        }
        let playbook = crate::playbook::parse(&Sources::new()).unwrap();
        let templates = Templates::read(&Sources::new()).unwrap();
        let (identities, pins) = (Identities::default(), KnownHosts::default());
        let index = EnvironmentIndex::new(fleet, &estate, &identities, &pins);
        let one = |host: &Host| {
            let inputs = Inputs {
                fleet,
                estate: &estate,
                host,
                distribution: "debian-13",
                enrolled: None,
                turns: None,
                day: "2026-11-28".parse().unwrap(),
                index: &index,
            };
            let desired = resolve(&playbook.controls, inputs, &Waivers::default(), &templates).unwrap();
            // What is only looked at may name any host; nothing is changed for it.
            let enforced: Vec<_> = desired.resources.iter().filter(|wanted| wanted.enforced).collect();
            (host.name.clone(), serde_json::to_string(&enforced).unwrap())
        };
        estate.hosts.values().map(one).collect()
    }

    #[test]
    fn a_host_that_moves_changes_what_is_wanted_of_exactly_those() {
        let fleet = crate::inventory::parse(&crate::inventory::example()).unwrap();
        let before = wanted(&fleet, None);
        for (moved, _) in &before {
            let after = wanted(&fleet, Some(moved));
            let changed: Vec<&HostName> = before
                .iter()
                .zip(&after)
                .filter(|(before, after)| before != after && before.0 != *moved)
                .map(|(before, _)| &before.0)
                .collect();
            let named = concerned(&fleet.environments[&Environment::Prod], &BTreeSet::from([moved.clone()]));
            assert_eq!(named.iter().map(|one| &one.host).collect::<Vec<_>>(), changed, "{moved} moves");
        }
    }
}
