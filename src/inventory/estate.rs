//! `inventories/ENV.yaml`: one environment. Refuses what is wrong within the file; what other files say is compared in
//! [`super::cross`].

use std::collections::{BTreeMap, BTreeSet};

use super::parts::{Found, from, keys, networks, unusable};
use super::people::account_name;
use super::reserved::is_reserved_label;
use super::{Automation, Estate, From, Host, Listener, PackageSource, Role, ServiceAccount, country};
use crate::domain::{
    Address, Cidr, Environment, HostName, ListenerName, Port, Protocol, PublicKey, RemotePath, RoleName,
    UserName,
};
use crate::source::{Map, Value};
use crate::text::{Malformed, nearest};

/// An environment, and where its parts stand.
pub(super) struct Draft<'d> {
    pub(super) estate: Estate,
    pub(super) hosts: Vec<DraftHost<'d>>,
    /// Every name under `hosts`, well-formed or not.
    pub(super) host_names: Vec<String>,
    /// Every name under `roles`, well-formed or not.
    pub(super) role_names: Vec<String>,
    pub(super) listeners: Vec<(RoleName, Found<'d, Listener>)>,
    pub(super) keys: Vec<(UserName, Found<'d, PublicKey>)>,
    pub(super) automation: Option<Found<'d, UserName>>,
    pub(super) accounts: Vec<Found<'d, UserName>>,
    pub(super) ssh_at: Option<Value<'d>>,
}

/// A host, and where its parts stand.
pub(super) struct DraftHost<'d> {
    pub(super) host: Host,
    pub(super) at: Value<'d>,
    pub(super) addresses: Vec<Found<'d, Address>>,
    pub(super) roles: Vec<Found<'d, RoleName>>,
    pub(super) jump_at: Option<Value<'d>>,
    pub(super) replica_at: Option<Value<'d>>,
}

const FIELDS: [&str; 9] =
    ["schema", "environment", "networks", "ssh", "automation", "accounts", "packages", "roles", "hosts"];

/// Reads the file of `environment`.
pub(super) fn draft<'d>(root: &Value<'d>, environment: Environment, most_admin: u32) -> Option<Draft<'d>> {
    let map = root.map(&FIELDS)?;
    super::schema(&map);
    if let Some(value) = map.required("environment") {
        if value.parse::<Environment>().is_some_and(|said| said != environment) {
            value.refuse(
                "the environment does not match the file",
                &format!("this file is {environment}.yaml: write {environment}"),
            );
        }
    }
    let (admin, private) =
        map.required("networks").map(|value| both_networks(&value, most_admin)).unwrap_or_default();
    let ssh_at = map.field("ssh").and_then(|value| options_checked(&value, &["from"])?.required("from"));
    let ssh_from = ssh_at.as_ref().and_then(from).unwrap_or(From::Admin);
    let mut all_keys = Vec::new();
    let automation = map.field("automation").and_then(|value| automation(&value, &mut all_keys));
    let (accounts, accounts_at) =
        map.field("accounts").map(|value| accounts(&value, &mut all_keys)).unwrap_or_default();
    let packages = map.field("packages").and_then(|value| package_source(&value));
    let mut listeners = Vec::new();
    let roles_at = map.required("roles");
    let role_names = names(roles_at.as_ref());
    let roles = roles_at.map(|value| roles(&value, &mut listeners)).unwrap_or_default();
    let hosts_at = map.required("hosts");
    let host_names = names(hosts_at.as_ref());
    let hosts = hosts_at.map(|value| hosts(&value, environment, &role_names)).unwrap_or_default();
    let by_name = hosts.iter().map(|draft| (draft.host.name.clone(), draft.host.clone())).collect();
    let automation_at =
        automation.as_ref().map(|found| Found { it: found.it.user.clone(), at: found.at.clone() });
    let estate = Estate {
        environment,
        admin: admin.into_iter().map(|found| found.it).collect(),
        private: private.into_iter().map(|found| found.it).collect(),
        ssh_from,
        automation: automation.map(|found| found.it),
        accounts,
        packages,
        roles,
        hosts: by_name,
    };
    Some(Draft {
        estate,
        hosts,
        host_names,
        role_names,
        listeners,
        keys: all_keys,
        automation: automation_at,
        accounts: accounts_at,
        ssh_at,
    })
}

fn names(value: Option<&Value<'_>>) -> Vec<String> {
    let Some(value) = value.filter(|value| value.is_map()) else { return Vec::new() };
    value.entries().unwrap_or_default().into_iter().map(|(name, _)| name).collect()
}

type Networks<'d> = (Vec<Found<'d, Cidr>>, Vec<Found<'d, Cidr>>);

fn both_networks<'d>(value: &Value<'d>, most_admin: u32) -> Networks<'d> {
    let Some(map) = value.map(&["admin", "private"]) else { return Networks::default() };
    let admin_at = map.required("admin");
    let admin = admin_at.as_ref().map(networks).unwrap_or_default();
    let addresses = admin.iter().fold(0_u128, |sum, found| sum.saturating_add(found.it.addresses()));
    if let Some(broad) = admin.iter().find(|found| found.it.addresses() > u128::from(most_admin)) {
        let why = format!("stands for more than {most_admin} addresses");
        broad.at.refuse(&why, "write each admin address on its own: the promise counts them");
    } else if addresses > u128::from(most_admin) {
        if let Some(value) = admin_at {
            let why = format!("{addresses} admin addresses, and {most_admin} are promised at most");
            value.refuse(&why, "take out those that are not needed");
        }
    }
    (admin, map.field("private").map(|value| networks(&value)).unwrap_or_default())
}

fn automation<'d>(
    value: &Value<'d>,
    all_keys: &mut Vec<(UserName, Found<'d, PublicKey>)>,
) -> Option<Found<'d, Automation>> {
    let entries = value.entries()?;
    if entries.len() > 1 {
        value.refuse("more than one automation account", "keep one for each environment");
    }
    let (name, at) = entries.into_iter().next()?;
    let user = account_name(&name, &at);
    let map = at.map(&["keys", "from"])?;
    let keys = map.required("keys").map(|value| keys(&value)).unwrap_or_default();
    let from = map.required("from").map(|value| networks(&value)).unwrap_or_default();
    let user = user?;
    all_keys.extend(keys.iter().map(|key| (user.clone(), key.clone())));
    let it = Automation {
        user,
        keys: keys.into_iter().map(|found| found.it).collect(),
        from: from.into_iter().map(|found| found.it).collect(),
    };
    Some(Found { it, at })
}

type Accounts<'d> = (BTreeMap<UserName, ServiceAccount>, Vec<Found<'d, UserName>>);

fn accounts<'d>(value: &Value<'d>, all_keys: &mut Vec<(UserName, Found<'d, PublicKey>)>) -> Accounts<'d> {
    let (mut accounts, mut places) = Accounts::default();
    for (name, at) in value.entries().unwrap_or_default() {
        if name == "root" {
            at.refuse_key(
                "root does not log in",
                "declare a person, or a service account with the commands it needs",
            );
            continue;
        }
        let user = match name.parse::<UserName>() {
            Ok(user) => user,
            Err(error) => {
                at.refuse_key(&error.why, &error.fix);
                continue;
            }
        };
        let Some(map) = at.map(&["purpose", "keys", "shell", "sudo", "roles"]) else { continue };
        let purpose = map.required("purpose").and_then(|value| value.parse());
        let keys = map.field("keys").map(|value| keys(&value)).unwrap_or_default();
        let shell = match map.field("shell") {
            Some(value) => value.parse::<RemotePath>(),
            None => "/bin/sh".parse().ok(),
        };
        let sudo = map.field("sudo").and_then(|value| value.list()).unwrap_or_default();
        let sudo = sudo.iter().filter_map(sudo_command).collect();
        let roles = map.field("roles").and_then(|value| value.list()).unwrap_or_default();
        let roles = roles.iter().filter_map(|item| item.parse()).collect();
        let (Some(purpose), Some(shell)) = (purpose, shell) else { continue };
        all_keys.extend(keys.iter().map(|key| (user.clone(), key.clone())));
        let keys = keys.into_iter().map(|found| found.it).collect();
        places.push(Found { it: user.clone(), at });
        accounts.insert(user.clone(), ServiceAccount { user, purpose, keys, shell, sudo, roles });
    }
    (accounts, places)
}

fn sudo_command(value: &Value<'_>) -> Option<String> {
    let text = value.text()?;
    let plain = text.chars().all(|c| c.is_ascii_alphanumeric() || " /_.@+-".contains(c));
    let path = text.split(' ').next().unwrap_or_default();
    let good = plain && path.parse::<RemotePath>().is_ok() && !text.contains("  ") && !text.ends_with(' ');
    value.checked(good.then(|| text.to_owned()).ok_or_else(|| {
        Malformed::new(
            "not one command with its arguments",
            "write an absolute path and arguments, without wildcards, commas, quotes or ALL",
        )
    }))
}

fn package_source(value: &Value<'_>) -> Option<PackageSource> {
    let map = value.map(&["mirror", "proxy"])?;
    let url = |name: &str| {
        map.field(name).and_then(|value| {
            let text = value.text()?;
            let rest = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
            let good = rest.is_some_and(|rest| {
                !rest.is_empty()
                    && rest.chars().all(|c| c.is_ascii_alphanumeric() || "._~:/[]%+-".contains(c))
            });
            value.checked(good.then(|| text.to_owned()).ok_or_else(|| {
                Malformed::new(
                    "not an address of a mirror or proxy",
                    "write http:// or https://, a host and a path",
                )
            }))
        })
    };
    Some(PackageSource { mirror: url("mirror"), proxy: url("proxy") })
}

fn label<T: std::str::FromStr<Err = Malformed>>(name: &str, at: &Value<'_>) -> Option<T> {
    if is_reserved_label(name) {
        at.refuse_key("the name means something else on the command line", "choose another name");
        return None;
    }
    match name.parse() {
        Ok(label) => Some(label),
        Err(error) => {
            at.refuse_key(&error.why, &error.fix);
            None
        }
    }
}

fn roles<'d>(value: &Value<'d>, all: &mut Vec<(RoleName, Found<'d, Listener>)>) -> BTreeMap<RoleName, Role> {
    let mut roles = BTreeMap::new();
    for (name, at) in value.entries().unwrap_or_default() {
        let role: Option<RoleName> = label(&name, &at);
        let Some(map) = at.map(&["listeners", "internet"]) else { continue };
        let declared_never =
            map.field("internet").is_some_and(|value| value.one_of(&[("never", true)]) == Some(true));
        let internet_never = declared_never || name == "database";
        let mut found: Vec<Found<'d, Listener>> = Vec::new();
        for at in map.required("listeners").and_then(|value| value.list()).unwrap_or_default() {
            let Some(it) = listener(&at) else { continue };
            if let Some(first) = found.iter().find(|other| other.it.name == it.name) {
                at.refuse(
                    &format!("a second listener `{}`", it.name),
                    &format!("one stands in {}", first.at.place()),
                );
            }
            if internet_never && it.from == From::Internet {
                let why = "a listener for the internet in a role that the internet must never reach";
                at.refuse(why, "write `from: private`, `from: admin` or `from: role:NAME`");
            }
            found.push(Found { it, at });
        }
        let Some(name) = role else { continue };
        all.extend(found.iter().map(|found| (name.clone(), found.clone())));
        let listeners = found.into_iter().map(|found| found.it).collect();
        roles.insert(name.clone(), Role { name, listeners, internet_never });
    }
    roles
}

fn listener(value: &Value<'_>) -> Option<Listener> {
    let map = value.map(&["name", "port", "protocol", "from"])?;
    let name = map.required("name").and_then(|value| value.parse::<ListenerName>());
    let port = map.required("port").and_then(|value| port(&value));
    let protocol = match map.field("protocol") {
        Some(value) => value.one_of(&[("tcp", Protocol::Tcp), ("udp", Protocol::Udp)]),
        None => Some(Protocol::Tcp),
    };
    let from = map.required("from").and_then(|value| from(&value));
    Some(Listener { name: name?, port: port?, protocol: protocol?, from: from? })
}

fn port(value: &Value<'_>) -> Option<Port> {
    let number = value.number(1..=65535)?;
    value.checked(Port::try_from(number))
}

fn hosts<'d>(value: &Value<'d>, environment: Environment, role_names: &[String]) -> Vec<DraftHost<'d>> {
    let entries = value.entries().unwrap_or_default();
    if entries.is_empty() && value.is_map() {
        value.refuse("no host", "add one, or remove the environment's file");
    }
    let mut hosts = Vec::new();
    for (name, at) in entries {
        if role_names.contains(&name) {
            at.refuse_key(
                "a host called like a role",
                "give one of the two another name: selections use both",
            );
        }
        let name: Option<HostName> = label(&name, &at);
        let host = host(&at, environment);
        if let (Some(name), Some(mut draft)) = (name, host) {
            draft.host.name = name;
            hosts.push(draft);
        }
    }
    hosts
}

const HOST_FIELDS: [&str; 8] =
    ["addresses", "ssh", "jump", "roles", "provider", "datacenter", "country", "replica_of"];

fn host<'d>(at: &Value<'d>, environment: Environment) -> Option<DraftHost<'d>> {
    let map = at.map(&HOST_FIELDS)?;
    let (public, private) = map.required("addresses").map(|value| addresses(&value)).unwrap_or_default();
    let ssh_port = match map.field("ssh").and_then(|value| options_checked(&value, &["port"])) {
        Some(ssh) => ssh.required("port").and_then(|value| port(&value)),
        None => Some(Port::SSH),
    };
    let jump_at = map.field("jump");
    let jump = jump_at.as_ref().and_then(|value| value.parse::<HostName>());
    let mut roles: Vec<Found<'d, RoleName>> = Vec::new();
    for item in map.required("roles").and_then(|value| value.list()).unwrap_or_default() {
        let Some(role) = item.parse::<RoleName>() else { continue };
        if roles.iter().any(|other| other.it == role) {
            item.refuse("the same role twice", "keep one");
        }
        roles.push(Found { it: role, at: item });
    }
    let provider = map.required("provider").and_then(|value| place(&value));
    let datacenter = map.required("datacenter").and_then(|value| place(&value));
    let country = map.required("country").and_then(|value| country_code(&value));
    let replica_at = map.field("replica_of");
    let replica_of = replica_at.as_ref().and_then(|value| value.parse::<HostName>());
    let host = Host {
        name: "unnamed".parse().ok()?,
        environment,
        public: public.iter().map(|found| found.it).collect(),
        private: private.iter().map(|found| found.it).collect(),
        ssh_port: ssh_port.unwrap_or(Port::SSH),
        jump,
        roles: roles.iter().map(|found| found.it.clone()).collect::<BTreeSet<_>>(),
        provider: provider.unwrap_or_default(),
        datacenter: datacenter.unwrap_or_default(),
        country: country.unwrap_or_default(),
        replica_of,
    };
    let addresses = public.into_iter().chain(private).collect();
    Some(DraftHost { host, at: at.clone(), addresses, roles, jump_at, replica_at })
}

/// The fields of `ssh`, with a word of its own for options that people know from ssh_config(5).
fn options_checked<'d>(value: &Value<'d>, known: &[&str]) -> Option<Map<'d>> {
    const WEAKENING: [&str; 12] = [
        "stricthostkeychecking",
        "userknownhostsfile",
        "globalknownhostsfile",
        "checkhostip",
        "hostkeyalias",
        "proxycommand",
        "proxyjump",
        "proxyusefdpass",
        "localcommand",
        "permitlocalcommand",
        "knownhostscommand",
        "nohostauthenticationforlocalhost",
    ];
    if value.is_map() {
        let mut weakened = false;
        for (name, field) in value.entries().unwrap_or_default() {
            let plain = name.to_lowercase().replace(['_', '-'], "");
            if WEAKENING.contains(&plain.as_str()) {
                weakened = true;
                let fix = "leave it out: host keys are pinned in known_hosts by `palisade enrol`, and the way is `jump: HOST`";
                field.refuse_key("an ssh option that weakens or bypasses the check of host keys", fix);
            }
        }
        if weakened {
            return None;
        }
    }
    value.map(known)
}

type Addresses<'d> = (Vec<Found<'d, Address>>, Vec<Found<'d, Address>>);

fn addresses<'d>(value: &Value<'d>) -> Addresses<'d> {
    let Some(map) = value.map(&["public", "private"]) else { return Addresses::default() };
    let read = |name: &str| {
        let Some(value) = map.field(name) else { return Vec::new() };
        let items = value.list().unwrap_or_default();
        let found = items.into_iter().filter_map(|at| {
            let it: Address = at.parse()?;
            if let Some(why) = unusable(it) {
                at.refuse(why, "write an address by which the host can be reached");
            }
            Some(Found { it, at })
        });
        found.collect::<Vec<_>>()
    };
    let (public, private) = (read("public"), read("private"));
    let declared =
        |name: &str| map.field(name).is_some_and(|value| value.list().is_some_and(|items| !items.is_empty()));
    if !declared("public") && !declared("private") {
        value.refuse("a host without an address", "write `addresses: {public: [198.51.100.21]}`");
    }
    (public, private)
}

fn place(value: &Value<'_>) -> Option<String> {
    let text = value.text()?;
    let good = text.len() <= 64
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_.".contains(c));
    value.checked(good.then(|| text.to_owned()).ok_or_else(|| {
        Malformed::new(
            "not the name of a provider or data centre",
            "use lower-case letters, digits and dashes, such as ovh or gra3",
        )
    }))
}

fn country_code(value: &Value<'_>) -> Option<String> {
    let text = value.text()?;
    if country::is_country(text) {
        return Some(text.to_owned());
    }
    let upper = text.to_uppercase();
    let fix = match (country::is_country(&upper), upper.as_str()) {
        (true, _) => format!("write it in capitals: {upper}"),
        (false, "UK") => "write GB".to_owned(),
        (false, _) => match nearest(text, ["france", "germany"]) {
            Some("france") => "write FR".to_owned(),
            Some(_) => "write DE".to_owned(),
            None => "write the two letters of ISO 3166-1, such as FR or DE".to_owned(),
        },
    };
    value.refuse("no such country", &fix);
    None
}
