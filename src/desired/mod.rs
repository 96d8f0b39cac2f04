//! What shall be true of one host: the controls' declarations, resolved against the inventory into typed resources
//! without conflict. Nothing here asks or changes a host.

mod context;
mod gathering;
mod state;

use context::Rendered;
use gathering::Gathering;
pub use state::{Desired, Missing, Unresolved, Wanted};

use crate::domain::HostName;
use crate::inventory::Host;
use crate::playbook::{Control, Hosts};
use crate::resource;
use crate::scope::{Inputs, Scope};
use crate::template::Templates;
use crate::waiver::Waivers;

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
    use crate::domain::{Address, ControlId, Environment};
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
        let inventory = &fleet.environments[&Environment::Prod];
        let inputs = Inputs {
            fleet: &fleet,
            inventory,
            host: &inventory.hosts[&"db-2".parse().unwrap()],
            distribution: "debian-12",
            enrolled: None,
            turns: None,
            day: day.parse().unwrap(),
            index: &EnvironmentIndex::new(&fleet, inventory, &Identities::default(), &KnownHosts::default()),
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
        let mut inventory = fleet.environments[&Environment::Prod].clone();
        if let Some(host) = moved.and_then(|name| inventory.hosts.get_mut(name)) {
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
        let index = EnvironmentIndex::new(fleet, &inventory, &identities, &pins);
        let one = |host: &Host| {
            let inputs = Inputs {
                fleet,
                inventory: &inventory,
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
        inventory.hosts.values().map(one).collect()
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
