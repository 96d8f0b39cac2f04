//! A copy of a fleet: the same hosts, roles, people and numbers, at the lab's addresses and with the lab's keys. Pure:
//! fleet, record and keys in, the text of a project's files out.
//!
//! Nobody and no host of the original can be reached through the copy: every address and every key is replaced, and
//! where packages come from and the server for mail are left out, lest practice be announced to the administrators.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::addresses::{Networks, Pair};
use super::error::LabError;
use super::record::LabRecord;
use super::spec::{Attachment, Form, HostSpec, MOST_PRIVATE, Spec, Suites};
use crate::domain::{Address, Cidr, Environment, Family, PublicKey, UserName};
use crate::inventory::{EnvironmentInventory, Fleet, From, Host, LAB_FILE};
use crate::schema::Subject;

/// Who needs a key of the lab's: an account, and the environment where it is not the same person everywhere.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeyOwner {
    /// The account.
    pub user: UserName,
    /// None for people, who have the same key everywhere.
    pub environment: Option<Environment>,
}

impl KeyOwner {
    /// The name of the key's file.
    pub fn file_name(&self) -> String {
        match self.environment {
            None => format!("person-{}", self.user),
            Some(environment) => format!("{environment}-{}", self.user),
        }
    }
}

/// Everyone in `fleet` who logs in.
pub(super) fn key_owners(fleet: &Fleet) -> Vec<KeyOwner> {
    let people = fleet.people.keys().map(|user| KeyOwner { user: user.clone(), environment: None });
    let machines = fleet.environments.values().flat_map(|inventory| {
        let accounts =
            inventory.accounts.values().filter(|account| !account.keys.is_empty()).map(|a| &a.user);
        inventory
            .automation
            .iter()
            .map(|automation| &automation.user)
            .chain(accounts)
            .map(|user| KeyOwner { user: user.clone(), environment: Some(inventory.environment) })
    });
    people.chain(machines).collect()
}

/// The private networks of all environments, each once, in the order in which the lab's stand for them.
fn private_networks(fleet: &Fleet) -> Vec<(Environment, Cidr)> {
    fleet
        .environments
        .values()
        .flat_map(|inventory| inventory.private.iter().map(|network| (inventory.environment, *network)))
        .collect()
}

/// The place of a family's pair: an IPv4 and an IPv6 network of one environment share one network of the lab's where
/// they follow each other's order.
fn lab_network(networks: &[(Environment, Cidr)], environment: Environment, of: Address) -> Option<usize> {
    let of_family = |family: Family| {
        networks.iter().filter(move |(other, network)| *other == environment && network.family() == family)
    };
    let within = of_family(of.family()).position(|(_, network)| network.contains(of))?;
    Some(first_of(networks, environment) + within)
}

/// How many of the lab's networks `environment` needs: as many as its more numerous family has.
fn width(networks: &[(Environment, Cidr)], environment: Environment) -> usize {
    [Family::V4, Family::V6]
        .map(|family| {
            networks.iter().filter(|(other, n)| *other == environment && n.family() == family).count()
        })
        .into_iter()
        .max()
        .unwrap_or_default()
}

fn first_of(networks: &[(Environment, Cidr)], environment: Environment) -> usize {
    Environment::ALL
        .into_iter()
        .take_while(|other| *other != environment)
        .map(|other| width(networks, other))
        .sum()
}

impl Spec {
    /// A lab with one host for every host of `fleet`, on the same networks, in the order of environments and names.
    pub fn copy_of(fleet: &Fleet, suites: Suites) -> Result<Self, LabError> {
        let networks = private_networks(fleet);
        let needed: usize = Environment::ALL.into_iter().map(|e| width(&networks, e)).sum();
        if needed > usize::from(MOST_PRIVATE) {
            return Err(LabError::Spec {
                why: format!("{needed} private networks are more than {MOST_PRIVATE}"),
            });
        }
        let hosts = hosts_of(fleet)
            .enumerate()
            .map(|(at, (_, host))| {
                let mut private = vec![Attachment::NONE; needed];
                for address in &host.private {
                    let network = lab_network(&networks, host.environment, *address);
                    if let Some(attachment) = network.and_then(|network| private.get_mut(network)) {
                        attachment.add(*address);
                    }
                }
                let mut public = Attachment::NONE;
                for address in &host.public {
                    public.add(*address);
                }
                HostSpec {
                    name: host.name.clone(),
                    suite: suites.at(at),
                    public,
                    private,
                    ssh_port: host.ssh_port,
                    form: Form::Container,
                    stocked: false,
                }
            })
            .collect();
        Ok(Self { name: None, hosts })
    }
}

impl Attachment {
    fn add(&mut self, address: Address) {
        match address.family() {
            Family::V4 => self.v4 = self.v4.saturating_add(1),
            Family::V6 => self.v6 = self.v6.saturating_add(1),
        }
    }
}

fn hosts_of(fleet: &Fleet) -> impl Iterator<Item = (&EnvironmentInventory, &Host)> {
    fleet
        .environments
        .values()
        .flat_map(|inventory| inventory.hosts.values().map(move |host| (inventory, host)))
}

/// The files of the copy, by their paths within the project.
pub(super) fn files(
    fleet: &Fleet,
    lab: &LabRecord,
    keys: &BTreeMap<KeyOwner, PublicKey>,
    rollback_timeout: Duration,
) -> Result<BTreeMap<String, String>, LabError> {
    let mut files = BTreeMap::new();
    let marker = json!({ "subnets": [lab.networks.all_v4.to_string(), lab.networks.all_v6.to_string()] });
    let mut add = |path: &str, value: &Value| {
        files.insert(path.to_owned(), yaml(path, value)?);
        Ok::<(), LabError>(())
    };
    add(LAB_FILE, &marker)?;
    add("inventories/fleet.yaml", &shared(fleet, keys, rollback_timeout))?;
    for inventory in fleet.environments.values() {
        let text = environment(fleet, inventory, lab, keys);
        add(&format!("inventories/{}.yaml", inventory.environment), &text)?;
    }
    Ok(files)
}

/// The text of a file of the copy.
pub(super) fn yaml(path: &str, value: &Value) -> Result<String, LabError> {
    let schema = Subject::of(path).map_or_else(String::new, |subject| subject.modeline() + "\n");
    let head =
        "# Written by `palisade lab up`: this project is about throwaway hosts alone, and goes with them.\n";
    let text = serde_saphyr::to_string_with_options(
        value,
        serde_saphyr::ser_options! { prefer_block_scalars: false },
    )
    .map_err(|why| LabError::Spec { why: format!("{path} cannot be written as YAML: {why}") })?;
    Ok(format!("{schema}{head}{text}"))
}

fn shared(fleet: &Fleet, keys: &BTreeMap<KeyOwner, PublicKey>, rollback_timeout: Duration) -> Value {
    let limits = &fleet.limits;
    let people: Map<String, Value> = fleet
        .people
        .values()
        .map(|person| {
            let owner = KeyOwner { user: person.user.clone(), environment: None };
            let mut entry = json!({
                "name": person.name,
                "title": person.title,
                "approver": person.approver,
                "keys": keys.get(&owner).into_iter().map(ToString::to_string).collect::<Vec<_>>(),
                "access": person.access.iter().map(ToString::to_string).collect::<Vec<_>>(),
            });
            set(&mut entry, "since", person.since.map(|day| json!(day.to_string())));
            set(&mut entry, "until", person.until.map(|day| json!(day.to_string())));
            (person.user.to_string(), entry)
        })
        .collect();
    let mut all = json!({
        "company": fleet.company,
        "limits": {
            "people": limits.people,
            "admin_addresses": limits.admin_addresses,
            "failed_attempts": limits.failed_attempts,
            "patch_cycle": format!("{} days", limits.patch_cycle_days),
            "rollback_timeout": format!("{}s", rollback_timeout.as_secs()),
        },
        "people": people,
    });
    let contacts =
        (!fleet.administrators.is_empty()).then(|| json!({ "administrators": fleet.administrators }));
    set(&mut all, "contacts", contacts);
    let release = fleet.release.as_ref().map(|release| {
        let window = &release.window;
        let day = if window.day == crate::calendar::Day::Sunday { "Sun" } else { "Sat" };
        json!({
            "first": release.first.to_string(),
            "timezone": release.timezone.name(),
            "window": {
                "start": format!("{day} {}", window.time.strftime("%H:%M")),
                "duration": format!("{}s", window.duration.as_secs()),
            },
            "notice": format!("{}s", release.notice.as_secs()),
            "order": release.order.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "ahead": {
                "dev": format!("{} weeks", release.ahead.dev),
                "test": format!("{} weeks", release.ahead.test),
            },
            "soak": format!("{}s", release.soak.as_secs()),
            "holidays": release.holidays.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "freezes": release.freezes.iter().map(freeze).collect::<Vec<_>>(),
            "deny_restart": release.deny_restart,
        })
    });
    set(&mut all, "release", release);
    all
}

fn freeze(freeze: &crate::calendar::Freeze) -> Value {
    json!({
        "from": freeze.from.to_string(),
        "to": freeze.to.to_string(),
        "reason": freeze.reason,
        "environments": freeze.environments.iter().map(ToString::to_string).collect::<Vec<_>>(),
    })
}

fn environment(
    fleet: &Fleet,
    inventory: &EnvironmentInventory,
    lab: &LabRecord,
    keys: &BTreeMap<KeyOwner, PublicKey>,
) -> Value {
    let networks = &lab.networks;
    let key_of = |user: &UserName| {
        let owner = KeyOwner { user: user.clone(), environment: Some(inventory.environment) };
        keys.get(&owner).into_iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let admin = as_many_as(networks.control, fleet.limits.admin_addresses);
    let mut all = json!({
        "environment": inventory.environment.as_str(),
        "networks": { "admin": admin },
    });
    let private = own_private(fleet, inventory, networks);
    if let (false, Some(networks)) = (private.is_empty(), all.get_mut("networks")) {
        set(networks, "private", Some(json!(private)));
    }
    if inventory.ssh_from != From::Admin {
        set(&mut all, "ssh", Some(json!({ "from": source(&inventory.ssh_from) })));
    }
    let automation = inventory.automation.as_ref().map(|automation| {
        json!({ automation.user.as_str(): {
            "keys": key_of(&automation.user),
            "from": as_many_as(networks.automation, 2),
        }})
    });
    set(&mut all, "automation", automation);
    let accounts: Map<String, Value> = inventory
        .accounts
        .values()
        .map(|account| {
            let entry = json!({
                "purpose": account.purpose,
                "keys": key_of(&account.user),
                "shell": account.shell,
                "sudo": account.sudo,
                "roles": account.roles.iter().map(ToString::to_string).collect::<Vec<_>>(),
            });
            (account.user.to_string(), entry)
        })
        .collect();
    set(&mut all, "accounts", (!accounts.is_empty()).then_some(Value::Object(accounts)));
    let roles: Map<String, Value> = inventory
        .roles
        .values()
        .map(|role| {
            let listeners: Vec<Value> = role
                .listeners
                .iter()
                .map(|listener| {
                    json!({
                        "name": listener.name,
                        "port": listener.port.number(),
                        "protocol": listener.protocol,
                        "from": source(&listener.from),
                        "container": listener.container,
                    })
                })
                .collect();
            let mut entry = json!({ "listeners": listeners });
            set(&mut entry, "internet", role.internet_never.then(|| json!("never")));
            set(&mut entry, "check", role.check.as_ref().map(|program| json!(program)));
            (role.name.to_string(), entry)
        })
        .collect();
    set(&mut all, "roles", Some(Value::Object(roles)));
    let hosts: Map<String, Value> =
        inventory.hosts.values().map(|host| (host.name.to_string(), host_entry(host, lab))).collect();
    set(&mut all, "hosts", Some(Value::Object(hosts)));
    all
}

fn host_entry(host: &Host, lab: &LabRecord) -> Value {
    let record = lab.hosts.iter().find(|record| record.spec.name == host.name);
    let text = |addresses: Option<&Vec<Address>>| {
        addresses.into_iter().flatten().map(ToString::to_string).collect::<Vec<_>>()
    };
    let public = text(record.map(|record| &record.public));
    let private = text(record.map(|record| &record.private));
    let mut addresses = json!({});
    set(&mut addresses, "public", (!public.is_empty()).then(|| json!(public)));
    set(&mut addresses, "private", (!private.is_empty()).then(|| json!(private)));
    let mut entry = json!({ "addresses": addresses });
    if host.ssh_port != crate::domain::Port::SSH {
        set(&mut entry, "ssh", Some(json!({ "port": host.ssh_port.number() })));
    }
    set(&mut entry, "jump", host.jump.as_ref().map(|jump| json!(jump)));
    set(&mut entry, "roles", Some(json!(host.roles.iter().map(ToString::to_string).collect::<Vec<_>>())));
    set(&mut entry, "provider", Some(json!(host.provider)));
    set(&mut entry, "datacenter", Some(json!(host.datacenter)));
    set(&mut entry, "country", Some(json!(host.country)));
    set(&mut entry, "unlock", host.unlock.map(|unlock| json!(unlock)));
    set(&mut entry, "replica_of", host.replica_of.as_ref().map(|primary| json!(primary)));
    entry
}

/// The lab's networks that stand for the environment's private ones.
fn own_private(fleet: &Fleet, inventory: &EnvironmentInventory, networks: &Networks) -> Vec<String> {
    let all = private_networks(fleet);
    let families = [Family::V4, Family::V6].map(|family| {
        let count = inventory.private.iter().filter(|network| network.family() == family).count();
        let own = networks.private.iter().skip(first_of(&all, inventory.environment)).take(count);
        own.map(move |subnet| if family == Family::V4 { subnet.v4 } else { subnet.v6 }).collect::<Vec<_>>()
    });
    families.concat().iter().map(ToString::to_string).collect()
}

/// Both addresses where `most` allows two, else the one in IPv4.
fn as_many_as(pair: Pair, most: u32) -> Vec<String> {
    if most >= 2 { vec![pair.v4.to_string(), pair.v6.to_string()] } else { vec![pair.v4.to_string()] }
}

fn source(from: &From) -> String {
    match from {
        From::Internet => "internet".to_owned(),
        From::Admin => "admin".to_owned(),
        From::Private => "private".to_owned(),
        From::Role(role) => format!("role:{role}"),
    }
}

fn set(object: &mut Value, field: &str, value: Option<Value>) {
    if let (Some(map), Some(value)) = (object.as_object_mut(), value) {
        map.insert(field.to_owned(), value);
    }
}

#[cfg(test)]
mod tests {
    use super::super::record::HostRecord;
    use super::*;
    use crate::inventory::{example, parse};
    use crate::source::Sources;

    const KEYS: [&str; 6] = [
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILwP1P1Hiw0ZUVcnjZT1H1dzmWOnYNk8w7HnOEPaqMrs a",
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIENrck2lviyxfxMp6F1BQvKU/fMO2jsT7uMRzuNF0CEr b",
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKlmHU/D9CZt97cM8Y+wwX96SlIClgl5sJICmBXrl7YO c",
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHhHadzR9TdRYqYzrtXfuzZ1Zfc9S6N7KgjB/N89mm8Z d",
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJsOJqIGSdhMFcbjNH8O1o8Jgacd2ehbkOrf+a7In1m6 e",
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOJDxfoJKIiVo0rPzTABFUb2DIag0YI+08fqGK0sofzx f",
    ];

    fn copy() -> (Fleet, LabRecord, Sources) {
        let fleet = parse(&example()).expect("the example");
        let spec = Spec::copy_of(&fleet, Suites::InTurn).expect("a copy");
        let networks = Networks::new([10, 99, 32, 0].into(), [7; 5]).expect("networks");
        let hosts = networks
            .assign(&spec.hosts)
            .expect("addresses")
            .into_iter()
            .zip(&spec.hosts)
            .map(|(given, spec)| HostRecord {
                spec: spec.clone(),
                number: 0,
                base: String::new(),
                public: given.public,
                private: given.private,
            })
            .collect();
        let id = "abcde".parse().expect("an id");
        let record = LabRecord::new(id, "lab".to_owned(), jiff::Timestamp::UNIX_EPOCH, None, networks, hosts);
        let keys = key_owners(&fleet)
            .into_iter()
            .zip(KEYS)
            .map(|(owner, key)| (owner, key.parse().expect("a key")))
            .collect();
        let files = files(&fleet, &record, &keys, Duration::from_secs(8)).expect("files");
        let mut sources = Sources::new();
        for (path, text) in &files {
            sources.insert(path, text.as_str());
        }
        (fleet, record, sources)
    }

    #[test]
    fn the_copy_is_a_fleet_in_the_labs_own_networks() {
        let (original, record, sources) = copy();
        let copy = parse(&sources).unwrap_or_else(|refusals| panic!("{}", refusals.annotated(false)));
        assert_eq!(copy.limits.rollback_timeout, Duration::from_secs(8));
        assert_eq!(copy.people.len(), original.people.len());
        for (environment, inventory) in &copy.environments {
            let before = &original.environments[environment];
            assert_eq!(inventory.roles.len(), before.roles.len());
            for (name, host) in &inventory.hosts {
                let was = &before.hosts[name];
                assert_eq!((&host.roles, &host.jump), (&was.roles, &was.jump));
                assert_eq!((host.public.len(), host.private.len()), (was.public.len(), was.private.len()));
                for address in host.addresses() {
                    let networks = &record.networks;
                    assert!(networks.all_v4.contains(address) || networks.all_v6.contains(address));
                }
            }
        }
    }

    #[test]
    fn environments_do_not_share_a_private_network() {
        let (_, _, sources) = copy();
        let copy = parse(&sources).expect("a fleet");
        let networks: Vec<_> = copy.environments.values().flat_map(|inventory| &inventory.private).collect();
        for (at, one) in networks.iter().enumerate() {
            assert!(networks.iter().skip(at + 1).all(|other| !one.overlaps(other)));
        }
        assert_eq!(networks.len(), 3);
    }

    #[test]
    fn no_address_and_no_key_of_the_original_is_in_the_copy() {
        let original = parse(&example()).expect("the example");
        let spec = Spec::copy_of(&original, Suites::InTurn).expect("a copy");
        assert_eq!(spec.hosts.len(), original.environments.values().map(|e| e.hosts.len()).sum::<usize>());
        let (_, _, sources) = copy();
        let all: String =
            sources.iter().map(|(_, bytes)| String::from_utf8_lossy(bytes).into_owned()).collect();
        for (_, host) in hosts_of(&original) {
            for address in host.addresses() {
                assert!(!all.contains(&format!("{address}")), "{address}");
            }
        }
        let machines = original.environments.values().flat_map(|e| &e.automation).flat_map(|a| &a.keys);
        for key in original.people.values().flat_map(|person| &person.keys).chain(machines) {
            assert!(!all.contains(&key.material()), "{key}");
        }
        for inventory in original.environments.values() {
            for network in inventory.admin.iter().chain(&inventory.private) {
                assert!(!all.contains(&network.to_string()), "{network}");
            }
        }
    }
}
