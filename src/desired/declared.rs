//! What one declaration of a control means on one host, as resources. It knows no other control.

use std::collections::BTreeMap;

use super::firewall::{self, Firewall, FirewallError, management};
use super::{Class, Place, Principal, Unresolved, reach};
use crate::calendar::Turn;
use crate::domain::{Address, Family, HomePath, HostName, Malformed, Port, UserName};
use crate::playbook::{Accounts, Control, Declaration, FileBody};
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

pub(super) fn context(place: &Place<'_>, principals: &[Principal]) -> Result<HostContext, FirewallError> {
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

pub(super) fn resources(
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
