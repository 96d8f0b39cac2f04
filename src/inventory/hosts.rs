//! `hosts`: the servers of an environment. Refuses what is wrong with one of them by itself.

use std::collections::BTreeSet;

use super::parts::{Found, unusable};
use super::roles::{label, port};
use super::{Host, Unlock, country};
use crate::domain::{Address, Environment, HostName, Port, RoleName};
use crate::source::{Map, Value};
use crate::text::{Malformed, nearest};

/// A host, and where its parts stand.
pub(super) struct DraftHost<'d> {
    pub(super) host: Host,
    pub(super) at: Value<'d>,
    pub(super) addresses: Vec<Found<'d, Address>>,
    /// Whether none of its addresses was refused.
    pub(super) addresses_known: bool,
    pub(super) roles: Vec<Found<'d, RoleName>>,
    pub(super) jump_at: Option<Value<'d>>,
    pub(super) replica_at: Option<Value<'d>>,
}

/// The hosts under `hosts`.
pub(super) fn hosts<'d>(
    value: &Value<'d>,
    environment: Environment,
    role_names: &[String],
) -> Vec<DraftHost<'d>> {
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

fn host<'d>(at: &Value<'d>, environment: Environment) -> Option<DraftHost<'d>> {
    let map = at.map()?;
    let before = at.refused_so_far();
    let (public, private) = map.required("addresses").map(|value| addresses(&value)).unwrap_or_default();
    let addresses_known = at.refused_so_far() == before;
    let ssh_port = match map.field("ssh").and_then(|value| options_checked(&value)) {
        Some(ssh) => ssh.required("port").and_then(|value| port(&value)),
        None => Some(Port::SSH),
    };
    let jump_at = map.field("jump");
    let jump = jump_at.as_ref().and_then(Value::parse::<HostName>);
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
    let replica_of = replica_at.as_ref().and_then(Value::parse::<HostName>);
    let unlock = map.field("unlock").and_then(|value| Unlock::read(&value));
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
        unlock,
    };
    let addresses = public.into_iter().chain(private).collect();
    Some(DraftHost { host, at: at.clone(), addresses, addresses_known, roles, jump_at, replica_at })
}

/// The fields of `ssh`, with a word of its own for options that people know from `ssh_config(5)`.
pub(super) fn options_checked<'d>(value: &Value<'d>) -> Option<Map<'d>> {
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
    value.map()
}

type Addresses<'d> = (Vec<Found<'d, Address>>, Vec<Found<'d, Address>>);

fn addresses<'d>(value: &Value<'d>) -> Addresses<'d> {
    let Some(map) = value.map() else { return Addresses::default() };
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
    value.checked(is_place(text).then(|| text.to_owned()).ok_or_else(|| {
        Malformed::new(
            "not the name of a provider or data centre",
            "use lower-case letters, digits and dashes, such as ovh or gra3",
        )
    }))
}

/// Whether `text` can be the name of a provider or data centre.
pub(super) fn is_place(text: &str) -> bool {
    text.len() <= 64
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_.".contains(c))
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
