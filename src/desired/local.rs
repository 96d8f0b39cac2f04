//! What can be asked of a machine that no inventory declares: the controls' literal values. What follows from people,
//! listeners and networks is unknown there, and said to be.

use std::collections::BTreeMap;

use super::{Desired, Gathering, Missing, Unresolved};
use crate::domain::{Address, HostName, Port};
use crate::playbook::{Control, Declaration, FileBody};
use crate::resource::encryption::Encryption;
use crate::resource::file::File;
use crate::resource::group::Group;
use crate::resource::machine::Machine;
use crate::resource::modules::Modules;
use crate::resource::mounts::Mounts;
use crate::resource::package::Package;
use crate::resource::permissions::Permissions;
use crate::resource::releases::Releases;
use crate::resource::service::Service;
use crate::resource::sources::PackageSources;
use crate::resource::sshd::Sshd;
use crate::resource::sysctl::Sysctl;
use crate::resource::time::Time;
use crate::resource::updates::Updates;
use crate::resource::{FileContent, Resource};

/// The controls' declarations, as far as they need no inventory. Nothing is enforced by it.
pub fn resolve_local(controls: &[Control], host: HostName) -> Result<Desired, Unresolved> {
    let mut gathering = Gathering::of(host);
    for control in controls {
        gathering.desired.controls.push(control.id.clone());
        for declaration in control.declarations() {
            match literal(declaration) {
                Ok(resource) => gathering.add(resource, false, &control.id)?,
                Err(what) => gathering.desired.unresolved.push(Missing {
                    control: control.id.clone(),
                    resource: what.to_owned(),
                    enforced: false,
                }),
            }
        }
    }
    Ok(gathering.desired)
}

/// The resource that a declaration stands for by itself, or what it would need an inventory for.
fn literal(declaration: &Declaration) -> Result<Resource, &'static str> {
    Ok(match declaration {
        Declaration::Package { name } => Resource::Package(Package { name: name.clone() }),
        Declaration::File { path, body, owner, group, mode } => {
            let content = match body {
                FileBody::Template(_) => return Err("files made from the inventory"),
                FileBody::Content(text) => Some(text.clone()),
                FileBody::Absent => None,
            };
            let content = content.map(|content| FileContent {
                content,
                mode: *mode,
                owner: owner.clone(),
                group: group.clone(),
            });
            Resource::File(File { path: path.clone(), content })
        }
        Declaration::Service { unit, enabled, active } => {
            Resource::Service(Service { unit: unit.clone(), enabled: *enabled, active: *active })
        }
        Declaration::Group { name, only } => {
            Resource::Group(Group { group: name.clone(), only: only.clone() })
        }
        Declaration::Sshd { settings } => Resource::Sshd(sshd(settings)),
        Declaration::Machine => Resource::Machine(Machine { declared: None }),
        Declaration::Sysctl { file, settings } => {
            Resource::Sysctl(Sysctl { file: file.clone(), settings: settings.clone() })
        }
        Declaration::Modules { never } => Resource::Modules(Modules { never: never.clone() }),
        Declaration::Mounts { at, options } => {
            Resource::Mounts(Mounts { at: at.clone(), options: options.clone() })
        }
        Declaration::Time { servers } => Resource::Time(Time { servers: servers.clone() }),
        Declaration::Encryption { except } => {
            Resource::Encryption(Encryption { except: except.iter().map(ToString::to_string).collect() })
        }
        Declaration::Releases => Resource::Releases(Releases { turns: None, enrolled: None }),
        Declaration::Updates => Resource::Updates(Updates {}),
        Declaration::Sources { origins } => {
            Resource::PackageSources(PackageSources { origins: origins.clone() })
        }
        Declaration::Permissions { set_id, writable } => {
            Resource::Permissions(Permissions { set_id: set_id.clone(), writable: writable.clone() })
        }
        Declaration::Users { .. } => return Err("the declared accounts"),
        Declaration::OtherUsersClosed => return Err("accounts that nobody declared"),
        Declaration::AuthorizedKeys => return Err("the declared keys"),
        Declaration::Sudo => return Err("the declared sudo rules"),
        Declaration::Nftables => {
            return Err("the firewall's rules, which follow from listeners and networks");
        }
        Declaration::Lockout => {
            return Err("the ban of those who fail to log in, which follows from limits and networks");
        }
        Declaration::Sockets => return Err("the declared listeners"),
        Declaration::AdminInterfaces => return Err("the declared admin interfaces and addresses"),
        Declaration::NeverExposed => return Err("what the internet must never reach"),
        Declaration::Separated => return Err("what belongs to other environments"),
    })
}

fn sshd(settings: &BTreeMap<String, String>) -> Sshd {
    Sshd {
        principals: Vec::new(),
        settings: settings.clone(),
        host_address: Address::new(std::net::Ipv4Addr::LOCALHOST.into()),
        port: Port::SSH,
        allow_users: None,
        keys_file: None,
    }
}
