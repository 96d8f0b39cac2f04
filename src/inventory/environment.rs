//! `inventories/ENV.yaml`: one environment. Refuses what is wrong within the file; what other files say is compared in
//! [`super::cross`].

use std::collections::BTreeMap;

use super::hosts::{DraftHost, hosts, options_checked};
use super::parts::{Found, from, keys, networks, schema};
use super::people::account_name;
use super::roles::{DraftListener, roles};
use super::{Automation, EnvironmentInventory, From, PackageSource, ServiceAccount};
use crate::domain::{Address, Cidr, Environment, PublicKey, RemotePath, Url, UserName};
use crate::source::Value;
use crate::text::Malformed;

/// An environment, and where its parts stand.
pub(super) struct Draft<'d> {
    pub(super) inventory: EnvironmentInventory,
    pub(super) hosts: Vec<DraftHost<'d>>,
    /// Every name under `hosts`, well-formed or not.
    pub(super) host_names: Vec<String>,
    /// Every name under `roles`, well-formed or not.
    pub(super) role_names: Vec<String>,
    pub(super) listeners: Vec<DraftListener<'d>>,
    /// Whether nothing of `networks` was refused, so that addresses can be held against them.
    pub(super) gateways: Vec<Found<'d, Address>>,
    pub(super) networks_known: bool,
    pub(super) keys: Vec<(UserName, Found<'d, PublicKey>)>,
    pub(super) automation: Option<Found<'d, UserName>>,
    pub(super) accounts: Vec<Found<'d, UserName>>,
    pub(super) ssh_at: Option<Value<'d>>,
}

/// Reads the file of `environment`.
pub(super) fn draft<'d>(root: &Value<'d>, environment: Environment, most_admin: u32) -> Option<Draft<'d>> {
    let map = root.map()?;
    schema(&map);
    if let Some(value) = map.required("environment")
        && value.parse::<Environment>().is_some_and(|said| said != environment)
    {
        let fix = format!("this file is {environment}.yaml: write {environment}");
        value.refuse("the environment does not match the file", &fix);
    }
    let before = root.refused_so_far();
    let Declared { admin, private, gateways } =
        map.required("networks").map(|value| declared(&value, most_admin)).unwrap_or_default();
    let networks_known =
        root.refused_so_far() == before && root.fields().iter().any(|(name, _)| name == "networks");
    let ssh_at = map.field("ssh").and_then(|value| options_checked(&value)?.required("from"));
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
    let inventory = EnvironmentInventory {
        environment,
        admin: admin.into_iter().map(|found| found.it).collect(),
        private: private.into_iter().map(|found| found.it).collect(),
        gateways: gateways.iter().map(|found| found.it).collect(),
        ssh_from,
        automation: automation.map(|found| found.it),
        accounts,
        packages,
        roles,
        hosts: by_name,
    };
    Some(Draft {
        inventory,
        hosts,
        host_names,
        role_names,
        listeners,
        gateways,
        networks_known,
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

#[derive(Default)]
struct Declared<'d> {
    admin: Vec<Found<'d, Cidr>>,
    private: Vec<Found<'d, Cidr>>,
    gateways: Vec<Found<'d, Address>>,
}

fn declared<'d>(value: &Value<'d>, most_admin: u32) -> Declared<'d> {
    let Some(map) = value.map() else { return Declared::default() };
    let admin_at = map.required("admin");
    let admin = admin_at.as_ref().map(networks).unwrap_or_default();
    let addresses = admin.iter().fold(0_u128, |sum, found| sum.saturating_add(found.it.addresses()));
    let usual = |found: &&Found<'_, Cidr>| found.it.prefix() >= found.it.family().broadest();
    let many = |found: &&Found<'_, Cidr>| found.it.addresses() > u128::from(most_admin);
    if admin.iter().any(|found| !usual(&found)) {
        // Refused already, as broader than any network may be.
    } else if let Some(broad) = admin.iter().find(many) {
        let why = format!("stands for more than {most_admin} addresses");
        broad.at.refuse(&why, "write each admin address on its own: the promise counts them");
    } else if let Some(value) = admin_at.filter(|_| addresses > u128::from(most_admin)) {
        let why = format!("{addresses} admin addresses, and {most_admin} are promised at most");
        value.refuse(&why, "take out those that are not needed");
    }
    let private = map.field("private").map(|value| networks(&value)).unwrap_or_default();
    let mut gateways: Vec<Found<'d, Address>> = Vec::new();
    for at in map.field("gateways").and_then(|value| value.list()).unwrap_or_default() {
        let Some(it) = at.parse::<Address>() else { continue };
        if !private.iter().any(|network| network.it.contains(it)) {
            at.refuse(
                "a gateway in none of the private networks",
                "write the router's address on one of `networks.private`",
            );
        }
        if gateways.iter().any(|other| other.it == it) {
            at.refuse("a second time the same gateway", "leave one of them out");
        }
        gateways.push(Found { it, at });
    }
    Declared { admin, private, gateways }
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
    let map = at.map()?;
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
        let Some(map) = at.map() else { continue };
        let purpose = map.required("purpose").and_then(|value| value.parse());
        let keys = map.field("keys").map(|value| keys(&value)).unwrap_or_default();
        let shell = match map.field("shell") {
            Some(value) => value.parse::<RemotePath>(),
            None => "/bin/sh".parse().ok(),
        };
        let sudo = map.field("sudo").and_then(|value| value.list()).unwrap_or_default();
        let sudo = sudo.iter().filter_map(sudo_command).collect();
        let roles = map.field("roles").and_then(|value| value.list()).unwrap_or_default();
        let roles = roles.iter().filter_map(Value::parse).collect();
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
    value.checked(is_sudo_command(text).then(|| text.to_owned()).ok_or_else(|| {
        Malformed::new(
            "not one command with its arguments",
            "write an absolute path and arguments, without wildcards, commas, quotes or ALL",
        )
    }))
}

/// Whether `text` is a path and plain arguments.
pub(super) fn is_sudo_command(text: &str) -> bool {
    let plain = text.chars().all(|c| c.is_ascii_alphanumeric() || " /_.@+-".contains(c));
    let path = text.split(' ').next().unwrap_or_default();
    plain && path.parse::<RemotePath>().is_ok() && !text.contains("  ") && !text.ends_with(' ')
}

/// Whether `text` is an address without a login.
pub(super) fn is_url(text: &str) -> bool {
    text.parse::<Url>().is_ok()
}

fn package_source(value: &Value<'_>) -> Option<PackageSource> {
    let map = value.map()?;
    let url = |name: &str| {
        map.field(name).and_then(|value| {
            let text = value.text()?;
            if text.contains('@') {
                return None; // refused already, as a login
            }
            value.checked(is_url(text).then(|| text.to_owned()).ok_or_else(|| {
                Malformed::new(
                    "not an address of a mirror or proxy",
                    "write http:// or https://, a host and a path",
                )
            }))
        })
    };
    Some(PackageSource { mirror: url("mirror"), proxy: url("proxy") })
}
