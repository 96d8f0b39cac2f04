//! What shall be true of one host: the controls' declarations, resolved against the inventory into typed resources
//! without conflict. Nothing here asks or changes a host.

mod around;
mod concern;
pub mod firewall;
mod local;
mod principals;
mod reach;

use jiff::Timestamp;
use jiff::civil::Date;
use std::collections::{BTreeMap, HashMap};

use serde::Serialize;

pub use around::Around;
pub use concern::{Concern, concerned};
pub use firewall::management;
use firewall::{Firewall, FirewallError};
pub use local::resolve_local;
pub use principals::{Class, Principal, principals};

use crate::calendar::Turn;
use crate::domain::{
    Address, ControlId, Digest, Family, HomePath, HostName, KernelKey, Malformed, Port, UserName,
};
use crate::inventory::{Estate, Fleet, Host};
use crate::playbook::{Accounts, Control, Declaration, FileBody, Hosts};
use crate::resource::authorized_keys::{AuthorizedKeys, KEYS_FILE};
use crate::resource::encryption::Encryption;
use crate::resource::file::File;
use crate::resource::group::Group;
use crate::resource::lockout::Lockout;
use crate::resource::machine::{Machine, Site};
use crate::resource::modules::Modules;
use crate::resource::mounts::Mounts;
use crate::resource::package::Package;
use crate::resource::permissions::Permissions;
use crate::resource::releases::Releases;
use crate::resource::ruleset::Networks;
use crate::resource::service::Service;
use crate::resource::sources::PackageSources;
use crate::resource::sshd::{self, Algorithms, Sshd};
use crate::resource::sudo::{Grant, Sudo, SudoCommand};
use crate::resource::sysctl::Sysctl;
use crate::resource::time::Time;
use crate::resource::updates::Updates;
use crate::resource::user::User;
use crate::resource::{FileContent, Resource};
use crate::template::{BANS_TEMPLATE, Context, HostContext, Templates};
use crate::waiver::{Exception, Waivers};

/// Everything that the playbook wants of one host.
#[derive(Debug, Clone, Serialize)]
pub struct Desired {
    /// Which.
    pub host: HostName,
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
    /// What.
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

/// Everything that a host's desired state follows from.
pub struct Place<'a> {
    /// The fleet.
    pub fleet: &'a Fleet,
    /// The host's environment.
    pub estate: &'a Estate,
    /// The host.
    pub host: &'a Host,
    /// `debian-12` or `debian-13`, as found when it was enrolled.
    pub distribution: &'a str,
    /// When it was enrolled; none where it was not.
    pub enrolled: Option<Timestamp>,
    /// The turns of its environment around today; none where the inventory does not say when releases come.
    pub turns: Option<&'a [Turn]>,
    /// The day for which people's access and waivers are judged.
    pub day: Date,
    /// The project's waivers.
    pub waivers: &'a Waivers,
    /// What the hosts of the environment have around them.
    pub around: &'a Around<'a>,
}

/// Why a desired state cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unresolved {
    /// Two controls want different things of one resource.
    #[error("{host}: {first} and {second} want different things of {resource}")]
    Conflict {
        /// On which host.
        host: HostName,
        /// One control.
        first: ControlId,
        /// The other.
        second: ControlId,
        /// Of what.
        resource: String,
    },
    /// A template could not be rendered.
    #[error("{host}: control {control}: {why}")]
    Template {
        /// For which host.
        host: HostName,
        /// Which control names it.
        control: ControlId,
        /// What is wrong.
        why: String,
    },
    /// There is no firewall that may be loaded.
    #[error("{host}: {why}")]
    Firewall {
        /// On which host.
        host: HostName,
        /// Why.
        why: FirewallError,
    },
    /// A name that the inventory holds does not make a well-formed value on the host.
    #[error("{host}: {why}")]
    Malformed {
        /// On which host.
        host: HostName,
        /// What.
        why: Malformed,
    },
}

/// The controls' declarations for one host, resolved.
pub fn resolve(
    controls: &[Control],
    place: &Place<'_>,
    templates: &Templates,
) -> Result<Desired, Unresolved> {
    let principals = principals(place.fleet, place.estate, place.host, place.day)
        .map_err(|why| Unresolved::Firewall { host: place.host.name.clone(), why })?;
    let context = context(place, &principals)
        .map_err(|why| Unresolved::Firewall { host: place.host.name.clone(), why })?;
    let context = Templates::context(&context);
    let mut gathering = Gathering::of(place.host.name.clone());
    gathering.desired.waivers = place.waivers.on(place.host, place.day);
    for control in controls.iter().filter(|control| applies(&control.hosts, place.host)) {
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
            for resource in resources(declaration, control, place, &principals, &context, templates)? {
                gathering.add(resource, enforced, &control.id)?;
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

fn context(place: &Place<'_>, principals: &[Principal]) -> Result<HostContext, FirewallError> {
    let management = Networks::by_family(&management(place.estate, place.host)?);
    let of = |family: Family| -> Vec<String> {
        let networks = management.iter().filter(|networks| networks.family() == family);
        networks.flat_map(Networks::all).map(ToString::to_string).collect()
    };
    Ok(HostContext {
        management4: of(Family::V4),
        management6: of(Family::V6),
        failed_attempts: place.fleet.limits.failed_attempts,
        host: place.host.name.to_string(),
        environment: place.estate.environment.to_string(),
        distribution: place.distribution.to_owned(),
        ssh_port: place.host.ssh_port.number(),
        accounts: login_names(principals).iter().map(ToString::to_string).collect(),
        forward_to: place
            .around
            .behind(&place.host.name)
            .iter()
            .filter_map(|host| host.address().map(|address| forward(address, host.ssh_port)))
            .collect(),
        algorithms: Algorithms::of(place.distribution),
    })
}

/// An address and port as sshd's `PermitOpen` takes it (`sshd_config(5)`).
fn forward(address: Address, port: Port) -> String {
    match address.family() {
        Family::V4 => format!("{address}:{port}"),
        Family::V6 => format!("[{address}]:{port}"),
    }
}

fn login_names(principals: &[Principal]) -> Vec<UserName> {
    principals
        .iter()
        .filter(|principal| !principal.keys.is_empty())
        .map(|principal| principal.user.clone())
        .collect()
}

fn resources(
    declaration: &Declaration,
    control: &Control,
    place: &Place<'_>,
    principals: &[Principal],
    context: &Context,
    templates: &Templates,
) -> Result<Vec<Resource>, Unresolved> {
    let host = &place.host.name;
    Ok(match declaration {
        Declaration::Package { name } => vec![Resource::Package(Package { name: name.clone() })],
        Declaration::File { path, body, owner, group, mode } => {
            let text = match body {
                FileBody::Absent => None,
                FileBody::Content(text) => Some(text.clone()),
                FileBody::Template(name) => {
                    Some(templates.render(name, context).map_err(|error| Unresolved::Template {
                        host: host.clone(),
                        control: control.id.clone(),
                        why: error.to_string(),
                    })?)
                }
            };
            vec![Resource::File(File {
                path: path.clone(),
                content: text.map(|content| FileContent {
                    content,
                    mode: *mode,
                    owner: owner.clone(),
                    group: group.clone(),
                }),
            })]
        }
        Declaration::Service { unit, enabled, active } => {
            vec![Resource::Service(Service { unit: unit.clone(), enabled: *enabled, active: *active })]
        }
        Declaration::Users { for_each } => principals
            .iter()
            .filter(|principal| principal.class == class(*for_each))
            .map(|principal| {
                Ok(Resource::User(User::Present {
                    user: principal.user.clone(),
                    comment: principal.comment.clone(),
                    shell: principal.shell.clone(),
                    home: home(&principal.user)
                        .map_err(|why| Unresolved::Malformed { host: host.clone(), why })?,
                }))
            })
            .collect::<Result<_, Unresolved>>()?,
        Declaration::OtherUsersClosed => vec![Resource::User(User::OthersClosed {
            declared: principals.iter().map(|principal| principal.user.clone()).collect(),
        })],
        Declaration::Group { name, only } => {
            vec![Resource::Group(Group { group: name.clone(), only: only.clone() })]
        }
        Declaration::AuthorizedKeys => vec![Resource::AuthorizedKeys(AuthorizedKeys {
            declared: principals
                .iter()
                .filter(|principal| !principal.keys.is_empty())
                .map(|principal| (principal.user.clone(), principal.keys.clone()))
                .collect(),
        })],
        Declaration::Sudo => vec![Resource::Sudo(sudo(host, principals)?)],
        Declaration::Sshd { settings } => vec![Resource::Sshd(sshd(settings, place, principals)?)],
        Declaration::Nftables => vec![Resource::Nftables(firewall(place)?.nftables)],
        Declaration::Lockout => vec![Resource::Lockout(lockout(control, place, context, templates)?)],
        Declaration::Sockets => vec![Resource::Sockets(firewall(place)?.sockets)],
        Declaration::Machine => vec![Resource::Machine(Machine {
            declared: Some(Site {
                provider: place.host.provider.clone(),
                datacenter: place.host.datacenter.clone(),
                country: place.host.country.clone(),
            }),
        })],
        Declaration::Sysctl { file, settings } => {
            vec![Resource::Sysctl(Sysctl { file: file.clone(), settings: settings.clone() })]
        }
        Declaration::Modules { never } => vec![Resource::Modules(Modules { never: never.clone() })],
        Declaration::Mounts { at, options } => {
            vec![Resource::Mounts(Mounts { at: at.clone(), options: options.clone() })]
        }
        Declaration::AdminInterfaces => vec![Resource::Allowlist(reach::admin_interfaces(place))],
        Declaration::NeverExposed => vec![Resource::Exposure(
            reach::exposure(place).map_err(|why| Unresolved::Firewall { host: host.clone(), why })?,
        )],
        Declaration::Separated => vec![Resource::Separation(place.around.separation())],
        Declaration::Releases => vec![Resource::Releases(Releases {
            turns: place.turns.map(<[Turn]>::to_vec),
            enrolled: place.enrolled,
        })],
        Declaration::Updates => vec![Resource::Updates(Updates {})],
        Declaration::Sources { origins } => {
            vec![Resource::PackageSources(PackageSources { origins: origins.clone() })]
        }
        Declaration::Permissions { set_id, writable } => {
            vec![Resource::Permissions(Permissions { set_id: set_id.clone(), writable: writable.clone() })]
        }
        Declaration::Encryption { except } => {
            vec![Resource::Encryption(Encryption {
                except: except.iter().map(ToString::to_string).collect(),
            })]
        }
        Declaration::Time { servers } => vec![Resource::Time(Time { servers: servers.clone() })],
    })
}

fn lockout(
    control: &Control,
    place: &Place<'_>,
    context: &Context,
    templates: &Templates,
) -> Result<Lockout, Unresolved> {
    let template = |why: String| Unresolved::Template {
        host: place.host.name.clone(),
        control: control.id.clone(),
        why,
    };
    let name = BANS_TEMPLATE.parse().map_err(|why: Malformed| template(why.to_string()))?;
    let firewall = firewall(place)?;
    Ok(Lockout {
        attempts: place.fleet.limits.failed_attempts,
        management: Networks::by_family(&firewall.nftables.management)
            .iter()
            .flat_map(Networks::all)
            .copied()
            .collect(),
        table: templates.render(&name, context).map_err(|error| template(error.to_string()))?,
    })
}

fn sudo(host: &HostName, principals: &[Principal]) -> Result<Sudo, Unresolved> {
    let grant = |principal: &Principal| {
        let Some(commands) = &principal.sudo else { return Ok(Some(Grant::All)) };
        let commands: Vec<SudoCommand> =
            commands.iter().map(|command| command.parse()).collect::<Result<_, _>>()?;
        Ok((!commands.is_empty()).then_some(Grant::Commands(commands)))
    };
    let mut rules = BTreeMap::new();
    for principal in principals {
        let granted = grant(principal).map_err(|why| Unresolved::Malformed { host: host.clone(), why })?;
        rules.extend(granted.map(|grant| (principal.user.clone(), grant)));
    }
    Ok(Sudo { rules })
}

fn sshd(
    settings: &BTreeMap<String, String>,
    place: &Place<'_>,
    principals: &[Principal],
) -> Result<Sshd, Unresolved> {
    let host = &place.host.name;
    let malformed =
        |why: &str| Unresolved::Malformed { host: host.clone(), why: Malformed::new(why, "declare one") };
    let way = place.estate.way(place.host).ok_or_else(|| malformed("the host has no address"))?;
    Ok(Sshd {
        principals: principals
            .iter()
            .filter(|principal| !principal.keys.is_empty())
            .map(|principal| sshd::Principal {
                user: principal.user.clone(),
                sources: principal.sources.clone(),
            })
            .collect(),
        settings: settings.clone(),
        host_address: way.address,
        port: place.host.ssh_port,
        allow_users: Some(login_names(principals)),
        keys_file: Some(KEYS_FILE.parse().map_err(|why| Unresolved::Malformed { host: host.clone(), why })?),
    })
}

fn class(accounts: Accounts) -> Class {
    match accounts {
        Accounts::People => Class::Person,
        Accounts::Automation => Class::Automation,
        Accounts::Accounts => Class::Service,
    }
}

fn home(user: &UserName) -> Result<HomePath, Malformed> {
    format!("/home/{user}").parse()
}

fn firewall(place: &Place<'_>) -> Result<Firewall, Unresolved> {
    firewall::firewall(place.estate, place.host, place.fleet.limits.failed_attempts)
        .map_err(|why| Unresolved::Firewall { host: place.host.name.clone(), why })
}

/// A desired state that comes to be.
struct Gathering {
    desired: Desired,
    /// Where each resource stands in it, by its name.
    places: HashMap<String, usize>,
}

impl Gathering {
    fn of(host: HostName) -> Self {
        Self { desired: Desired::of(host), places: HashMap::new() }
    }

    /// Adds a resource, or joins it with the same one that another control wants.
    fn add(&mut self, resource: Resource, enforced: bool, control: &ControlId) -> Result<(), Unresolved> {
        let name = resource.name();
        let place = self.places.get(&name).copied();
        if let Some(wanted) = place.and_then(|place| self.desired.resources.get_mut(place)) {
            if wanted.resource != resource {
                return Err(Unresolved::Conflict {
                    host: self.desired.host.clone(),
                    first: wanted.controls.first().unwrap_or(control).clone(),
                    second: control.clone(),
                    resource: name,
                });
            }
            wanted.enforced |= enforced;
            if !wanted.controls.contains(control) {
                wanted.controls.push(control.clone());
            }
            return Ok(());
        }
        if let Some((first, key)) = self.contradicted(&resource) {
            return Err(Unresolved::Conflict {
                host: self.desired.host.clone(),
                first,
                second: control.clone(),
                resource: format!("kernel setting {key}"),
            });
        }
        self.places.insert(name, self.desired.resources.len());
        self.desired.resources.push(Wanted { resource, enforced, controls: vec![control.clone()] });
        Ok(())
    }

    /// A kernel setting that `resource` wants to be otherwise than a resource of another file, and whose that is.
    fn contradicted(&self, resource: &Resource) -> Option<(ControlId, KernelKey)> {
        let Resource::Sysctl(new) = resource else { return None };
        self.desired.resources.iter().find_map(|wanted| match &wanted.resource {
            Resource::Sysctl(known) => {
                Some((wanted.controls.first()?.clone(), new.contradicted_by(known)?.clone()))
            }
            _ => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Environment;
    use crate::inventory::Identities;
    use crate::known_hosts::KnownHosts;
    use crate::source::Sources;

    /// The enforced resources of db-2 that serve `firewall`, with and without others.
    fn enforced(waivers: &str, day: &str) -> Vec<String> {
        let fleet = crate::inventory::parse(&crate::inventory::example()).unwrap();
        let playbook = crate::playbook::parse(&Sources::new()).unwrap();
        let sources = Sources::new().with(crate::waiver::WAIVERS_FILE, waivers);
        let waivers = Waivers::parse(&sources, &fleet, &playbook).unwrap();
        let estate = &fleet.environments[&Environment::Prod];
        let place = Place {
            fleet: &fleet,
            estate,
            host: &estate.hosts[&"db-2".parse().unwrap()],
            distribution: "debian-12",
            enrolled: None,
            turns: None,
            day: day.parse().unwrap(),
            waivers: &waivers,
            around: &Around::new(&fleet, estate, &Identities::default(), &KnownHosts::default()),
        };
        let templates = Templates::read(&Sources::new()).unwrap();
        let desired = resolve(&playbook.controls, &place, &templates).unwrap();
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

    #[test]
    fn two_files_do_not_set_one_kernel_setting_differently() {
        let sysctl = |file: &str, value: &str| {
            let settings = [("kernel.sysrq".parse().unwrap(), value.parse().unwrap())].into();
            Resource::Sysctl(Sysctl { file: file.parse().unwrap(), settings })
        };
        let control = |id: &str| id.parse::<ControlId>().unwrap();
        let mut gathering = Gathering::of("web-1".parse().unwrap());
        gathering.add(sysctl("/etc/sysctl.d/a.conf", "0"), true, &control("one")).unwrap();
        gathering.add(sysctl("/etc/sysctl.d/b.conf", "0"), true, &control("two")).unwrap();
        let refused =
            gathering.add(sysctl("/etc/sysctl.d/c.conf", "1"), true, &control("three")).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "web-1: one and three want different things of kernel setting kernel.sysrq"
        );
    }
}
