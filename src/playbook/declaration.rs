//! What a control may declare: a closed set of kinds, each with literals or a closed set of references to the
//! inventory. No value is a template, and none holds shell syntax.

use std::collections::BTreeMap;

use serde::Serialize;

use super::kinds::{ACCOUNT_FILES, KINDS, PROOFS, UNMANAGED};
use crate::domain::{
    GroupName, KernelKey, Mode, ModuleName, PackageName, RemotePath, TemplateName, UnitName, UserName,
};
use crate::resource::mounts::MountOption;
use crate::resource::sysctl::{self, Accepted};
use crate::source::shape::Kind;
use crate::source::{Map, Value};
use crate::text::{Malformed, nearest};

/// One thing that shall be so on a host, before it is resolved against the inventory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Declaration {
    /// A package is installed.
    Package {
        /// Which.
        name: PackageName,
    },
    /// A file stands where it shall, or does not.
    File {
        /// Where.
        path: RemotePath,
        /// With what in it.
        body: FileBody,
        /// Whose.
        owner: UserName,
        /// Which group's.
        group: GroupName,
        /// With which permissions.
        mode: Mode,
    },
    /// A unit starts at boot, or runs, or does not.
    Service {
        /// Which.
        unit: UnitName,
        /// Whether it starts at boot, where that is declared.
        enabled: Option<bool>,
        /// Whether it runs, where that is declared.
        active: Option<bool>,
    },
    /// Accounts are there, one for each of these.
    Users {
        /// For whom.
        for_each: Accounts,
    },
    /// No other account can log in: the vendor's is closed, and nobody else has uid 0.
    OtherUsersClosed,
    /// A group has these members and no others.
    Group {
        /// Which.
        name: GroupName,
        /// Its members.
        only: Vec<UserName>,
    },
    /// Exactly the declared keys open exactly the declared accounts.
    AuthorizedKeys,
    /// Exactly the declared accounts may use sudo, for exactly what is declared.
    Sudo,
    /// sshd's effective settings, for every declared account from every source.
    Sshd {
        /// By keyword, in lower case, as `sshd -T` shows them.
        settings: BTreeMap<String, String>,
    },
    /// The packet filter's table `inet palisade`, made from the listeners: its file and the live rules.
    Nftables,
    /// Whoever fails to log in as often as the limits say is blocked.
    Lockout,
    /// Who listens beyond loopback is what the listeners declare.
    Sockets,
    /// The hardware is the host's own: no virtual machine, no container.
    Machine,
    /// The kernel's settings, now and at every boot.
    Sysctl {
        /// The file that sets them at boot.
        file: RemotePath,
        /// What each may be.
        settings: BTreeMap<KernelKey, Accepted>,
    },
    /// Kernel modules that are never loaded.
    Modules {
        /// Which.
        never: Vec<ModuleName>,
    },
    /// What folders are mounted with.
    Mounts {
        /// Which.
        at: Vec<RemotePath>,
        /// With what.
        options: Vec<MountOption>,
    },
    /// Admin interfaces are reached from the admin addresses alone.
    AdminInterfaces,
    /// What is declared `internet: never` cannot be reached from there.
    NeverExposed,
    /// Nothing of a host belongs to another environment.
    Separated,
    /// No release is overdue.
    Releases,
    /// Security updates are installed.
    Updates,
    /// Packages come from signed sources of these origins.
    Sources {
        /// As their indexes say it: `Debian`.
        origins: Vec<String>,
    },
    /// What lends rights and what everyone may write is what may.
    Permissions {
        /// Programs that may lend their owner's or group's rights.
        set_id: Vec<RemotePath>,
        /// What everyone may write.
        writable: Vec<RemotePath>,
    },
    /// Every disk is encrypted.
    Encryption {
        /// Mount points that need not be.
        except: Vec<RemotePath>,
    },
    /// The clock is synchronised.
    Time {
        /// Names or addresses of the servers that may be asked; empty where any may.
        servers: Vec<String>,
    },
}

/// What a file holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum FileBody {
    /// What this template gives.
    Template(TemplateName),
    /// This text.
    Content(String),
    /// Nothing: there is no such file.
    Absent,
}

/// Which accounts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Accounts {
    /// Everyone with access to the host's environment.
    People,
    /// The environment's machine account.
    Automation,
    /// The declared service accounts.
    Accounts,
}

/// What is observed from outside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Proof {
    /// From every vantage, the declared ports answer whom they may, and nothing else answers.
    Ports,
    /// From every vantage, sshd offers these ways to prove who one is, and no other.
    SshMethods {
        /// Which.
        offered: Vec<AuthMethod>,
    },
    /// Every declared account gets in with its key, and an undeclared key or account does not.
    SshLogins,
}

/// A way of proving to sshd who one is (RFC 4252).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum AuthMethod {
    /// By private key.
    Publickey,
}

/// The one `kind: {fields}` of a list's item.
fn single<'d>(value: &Value<'d>, kinds: &'static [Kind]) -> Option<(&'static str, Map<'d>)> {
    let entries = value.entries()?;
    if entries.len() != 1 {
        value.refuse("an item names one kind", "write `- kind: {field: value}`, one kind to an item");
        return None;
    }
    let (written, fields) = entries.into_iter().next()?;
    let names = || kinds.iter().map(|kind| kind.name);
    let Some(kind) = names().find(|kind| *kind == written) else {
        let fix = match nearest(&written, names()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("use one of: {}", names().collect::<Vec<_>>().join(", ")),
        };
        fields.refuse_key("unknown kind", &fix);
        return None;
    };
    Some((kind, fields.map()?))
}

/// One item of `enforce` or `check`.
pub(super) fn declaration(value: &Value<'_>) -> Option<Declaration> {
    let (kind, map) = single(value, KINDS)?;
    match kind {
        "package" => Some(Declaration::Package { name: map.required("name")?.parse()? }),
        "file" => file(&map),
        "service" => service(&map),
        "user" => user(&map),
        "group" => {
            let name = map.required("name")?.parse()?;
            let only = map.required("only")?.list()?.iter().map(Value::parse).collect::<Option<Vec<_>>>()?;
            Some(Declaration::Group { name, only })
        }
        "authorized-keys" => word(&map, "only", "declared").then_some(Declaration::AuthorizedKeys),
        "sudo" => word(&map, "only", "declared").then_some(Declaration::Sudo),
        "sshd" => {
            let for_each = word(&map, "for_each", "principals");
            let settings = settings(&map.required("settings")?)?;
            for_each.then_some(Declaration::Sshd { settings })
        }
        "nftables" => {
            let (table, from) = (word(&map, "table", "palisade"), word(&map, "from", "listeners"));
            (table && from).then_some(Declaration::Nftables)
        }
        "lockout" => word(&map, "after", "failed-attempts").then_some(Declaration::Lockout),
        "sockets" => word(&map, "expected", "listeners").then_some(Declaration::Sockets),
        "sysctl" => sysctl(&map),
        "modules" => {
            let never = once(&map.required("never")?, Value::parse)?;
            Some(Declaration::Modules { never })
        }
        "mounts" => {
            let at = map.required("at").and_then(|value| once(&value, Value::parse));
            let options =
                map.required("options").and_then(|value| once(&value, |item| item.one_of(&MountOption::ALL)));
            Some(Declaration::Mounts { at: at?, options: options? })
        }
        "allowlist" => word(&map, "interfaces", "admin").then_some(Declaration::AdminInterfaces),
        "exposure" => word(&map, "internet", "never").then_some(Declaration::NeverExposed),
        "separation" => word(&map, "from", "environments").then_some(Declaration::Separated),
        "releases" => word(&map, "overdue", "never").then_some(Declaration::Releases),
        "updates" => word(&map, "security", "installed").then_some(Declaration::Updates),
        "sources" => {
            let signed = word(&map, "signed", "always");
            let origins = map.required("origins")?.list()?;
            let origins =
                origins.iter().map(|item| item.text().map(str::to_owned)).collect::<Option<Vec<_>>>()?;
            signed.then_some(Declaration::Sources { origins })
        }
        "permissions" => {
            let paths = |name: &str| -> Option<Vec<RemotePath>> {
                map.required(name)?.list()?.iter().map(Value::parse).collect()
            };
            let (set_id, writable) = (paths("set_id"), paths("writable"));
            Some(Declaration::Permissions { set_id: set_id?, writable: writable? })
        }
        "machine" => word(&map, "hardware", "dedicated").then_some(Declaration::Machine),
        "encryption" => {
            let disks = word(&map, "disks", "encrypted");
            let except = match map.field("except") {
                Some(value) => value.list()?.iter().map(Value::parse).collect::<Option<Vec<_>>>()?,
                None => Vec::new(),
            };
            disks.then_some(Declaration::Encryption { except })
        }
        "time" => {
            let clock = word(&map, "clock", "synchronised");
            let servers = match map.field("servers") {
                Some(value) => time_servers(&value)?,
                None => Vec::new(),
            };
            clock.then_some(Declaration::Time { servers })
        }
        _ => None,
    }
}

/// One item of `prove`.
pub(super) fn proof(value: &Value<'_>) -> Option<Proof> {
    let (kind, map) = single(value, PROOFS)?;
    match kind {
        "ports" => {
            let (vantages, open) = (word(&map, "for_each", "vantages"), word(&map, "open", "listeners"));
            (vantages && open).then_some(Proof::Ports)
        }
        "ssh-methods" => {
            let vantages = word(&map, "for_each", "vantages");
            let methods = [("publickey", AuthMethod::Publickey)];
            let offered = map
                .required("offered")?
                .list()?
                .iter()
                .map(|item| item.one_of(&methods))
                .collect::<Option<_>>()?;
            vantages.then_some(Proof::SshMethods { offered })
        }
        "ssh-logins" => word(&map, "for_each", "principals").then_some(Proof::SshLogins),
        _ => None,
    }
}

/// Whether `field` says the one word that it can.
fn word(map: &Map<'_>, field: &str, only: &'static str) -> bool {
    map.required(field).and_then(|value| value.one_of(&[(only, ())])).is_some()
}

fn file(map: &Map<'_>) -> Option<Declaration> {
    let path = map.required("path").and_then(|value| {
        let path: RemotePath = value.parse()?;
        if let Some(tree) = UNMANAGED.iter().find(|tree| path.as_str() == **tree || path.is_below(tree)) {
            value.refuse(
                &format!("a file below {tree} is not managed"),
                "declare what it is for, not the file",
            );
        }
        if ACCOUNT_FILES.contains(&path.as_str()) {
            value.refuse("accounts are not managed as a file", "declare `user` or `group`");
        }
        Some(path)
    });
    let bodies: Vec<&str> =
        ["template", "content", "absent"].into_iter().filter(|name| map.field(name).is_some()).collect();
    let body = match bodies.as_slice() {
        ["template"] => map.field("template").and_then(|value| value.parse()).map(FileBody::Template),
        ["content"] => {
            map.field("content").and_then(|value| value.text()).map(|text| FileBody::Content(text.to_owned()))
        }
        ["absent"] => map.field("absent").and_then(|value| {
            let absent = value.boolean()?;
            value.checked(absent.then_some(FileBody::Absent).ok_or_else(|| {
                Malformed::new(
                    "a file is absent, or it has a body",
                    "write `absent: true`, `template: NAME` or `content: TEXT`",
                )
            }))
        }),
        _ => {
            map.value()
                .refuse("a file has one of `template`, `content` and `absent`", "write exactly one of them");
            None
        }
    };
    let or_root =
        |name: &str| map.field(name).map_or_else(|| "root".parse().ok(), |value| value.parse::<UserName>());
    let owner = or_root("owner");
    let group = match map.field("group") {
        Some(value) => value.parse::<GroupName>(),
        None => Some(GroupName::root()),
    };
    let mode = match map.field("mode") {
        Some(value) => value.parse::<Mode>(),
        None => Some(Mode::PUBLIC),
    };
    Some(Declaration::File { path: path?, body: body?, owner: owner?, group: group?, mode: mode? })
}

fn service(map: &Map<'_>) -> Option<Declaration> {
    let unit = map.required("unit").and_then(|value| value.parse());
    let enabled = map.field("enabled").map(|value| value.boolean());
    let active = map.field("active").map(|value| value.boolean());
    if enabled.is_none() && active.is_none() {
        map.value().refuse("a service that nothing is asked of", "add `enabled:`, `active:` or both");
        return None;
    }
    Some(Declaration::Service { unit: unit?, enabled: enabled.flatten(), active: active.flatten() })
}

fn user(map: &Map<'_>) -> Option<Declaration> {
    let groups = [
        ("people", Accounts::People),
        ("automation", Accounts::Automation),
        ("accounts", Accounts::Accounts),
    ];
    match (map.field("for_each"), map.field("others")) {
        (Some(value), None) => Some(Declaration::Users { for_each: value.one_of(&groups)? }),
        (None, Some(value)) => value.one_of(&[("closed", ())]).map(|()| Declaration::OtherUsersClosed),
        _ => {
            map.value().refuse(
                "`for_each` or `others`, one of the two",
                "write `user: {for_each: people}` or `user: {others: closed}`",
            );
            None
        }
    }
}

fn sysctl(map: &Map<'_>) -> Option<Declaration> {
    let file = match map.field("file") {
        None => sysctl::FILE.parse().ok(),
        Some(value) => value.parse::<RemotePath>().and_then(|path| {
            let read = path.parent() == "/etc/sysctl.d" && path.file_name().strip_suffix(".conf").is_some();
            value.checked(read.then_some(path).ok_or_else(|| {
                Malformed::new(
                    "not a file that is read at boot for kernel settings",
                    format!(
                        "write one directly in /etc/sysctl.d that ends in .conf, such as {}",
                        sysctl::FILE
                    ),
                )
            }))
        }),
    };
    let mut settings = BTreeMap::new();
    let mut sound = true;
    for (key, value) in map.required("settings")?.entries()? {
        let key = match key.parse::<KernelKey>() {
            Ok(key) => Some(key),
            Err(error) => {
                value.refuse_key(&error.why, &error.fix);
                None
            }
        };
        let accepted = value.parse::<Accepted>();
        match key.zip(accepted) {
            Some((key, accepted)) => {
                sound &= value.checked(sysctl::check_reversible(&key, &accepted)).is_some();
                settings.insert(key, accepted);
            }
            None => sound = false,
        }
    }
    if settings.is_empty() && sound {
        map.value().refuse("no kernel setting", "add one below `settings:`");
        sound = false;
    }
    let file = file?;
    sound.then_some(Declaration::Sysctl { file, settings })
}

/// A list of at least one, none of them twice.
fn once<'d, T: PartialEq>(value: &Value<'d>, read: impl Fn(&Value<'d>) -> Option<T>) -> Option<Vec<T>> {
    let items = value.list()?;
    if items.is_empty() {
        value.refuse("an empty list", "name at least one, or leave the item out");
        return None;
    }
    let mut all: Vec<T> = Vec::new();
    let mut sound = true;
    for item in items {
        match read(&item) {
            Some(one) if all.contains(&one) => {
                item.refuse("it is there twice", "leave one out");
                sound = false;
            }
            Some(one) => all.push(one),
            None => sound = false,
        }
    }
    sound.then_some(all)
}

/// Names and addresses, none of them empty.
fn time_servers(value: &Value<'_>) -> Option<Vec<String>> {
    let items = value.list()?;
    if items.is_empty() {
        value.refuse("no server", "name one, or leave `servers` out where any may be asked");
    }
    let server = |item: &Value<'_>| {
        let text = item.text()?;
        item.checked(is_server(text).then(|| text.to_owned()).ok_or_else(|| {
            Malformed::new(
                "not the name or address of a server",
                "write it as the daemon has it: ntp.example.com",
            )
        }))
    };
    let servers: Vec<Option<String>> = items.iter().map(server).collect();
    servers.into_iter().collect()
}

/// Whether `text` can be a time server's name or address.
pub(super) fn is_server(text: &str) -> bool {
    !text.is_empty()
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b':'))
        && !text.starts_with('-')
}

fn settings(value: &Value<'_>) -> Option<BTreeMap<String, String>> {
    let mut settings = BTreeMap::new();
    let mut sound = true;
    for (keyword, value) in value.entries()? {
        if !keyword.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()) {
            value.refuse_key("not a keyword of sshd_config in lower case", "write it as `sshd -T` shows it");
            sound = false;
        }
        match value.text() {
            Some(text) if text.contains('\n') => {
                value.refuse("a setting of several lines", "write one line");
                sound = false;
            }
            Some(text) => {
                settings.insert(keyword, text.to_owned());
            }
            None => sound = false,
        }
    }
    sound.then_some(settings)
}
