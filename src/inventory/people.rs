//! `inventories/fleet.yaml`: what all environments share.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::parts::{Found, keys, schema};
use super::reserved::is_reserved_account;
use super::{Fleet, Limits, Person, mail, release};
use crate::domain::{Comment, Environment, PublicKey, UserName};
use crate::source::{Map, Value};
use crate::text::Malformed;

/// A fleet without its environments, and where its parts stand.
pub(super) struct Shared<'d> {
    pub(super) fleet: Fleet,
    pub(super) people: Vec<Found<'d, Person>>,
    pub(super) keys: Vec<(UserName, Found<'d, PublicKey>)>,
    pub(super) people_at: Option<Value<'d>>,
    pub(super) rollback_timeout_at: Option<Value<'d>>,
}

/// Reads the shared part. What is missing or refused has a default, so that the rest can be checked all the same.
pub(super) fn shared<'d>(root: &Value<'d>) -> Option<Shared<'d>> {
    let map = root.map()?;
    schema(&map);
    let company = map.required("company").and_then(|value| value.parse::<Comment>());
    let limits_map = map.field("limits").and_then(|value| value.map());
    let limits = limits(limits_map.as_ref());
    let people_at = map.required("people");
    let (people, keys) = people_at.as_ref().map(people).unwrap_or_default();
    let administrators = map.field("contacts").map(|value| contacts(&value)).unwrap_or_default();
    let release = map.field("release").and_then(|value| release::plan(&value, &limits));
    let fleet = Fleet {
        company: company.map(String::from).unwrap_or_default(),
        limits,
        people: people.iter().map(|found| (found.it.user.clone(), found.it.clone())).collect(),
        administrators,
        mail: map.field("mail").and_then(|value| mail::server(&value)),
        release,
        environments: BTreeMap::new(),
    };
    let rollback_timeout_at = limits_map.and_then(|map| map.field("rollback_timeout"));
    Some(Shared { fleet, people, keys, people_at, rollback_timeout_at })
}

fn limits(map: Option<&Map<'_>>) -> Limits {
    let mut limits = Limits::default();
    let Some(map) = map else { return limits };
    let number = |name: &str| map.field(name).and_then(|value| value.number());
    limits.people = number("people").unwrap_or(limits.people);
    limits.admin_addresses = number("admin_addresses").unwrap_or(limits.admin_addresses);
    limits.failed_attempts = number("failed_attempts").unwrap_or(limits.failed_attempts);
    if let Some((value, cycle)) =
        map.field("patch_cycle").and_then(|value| Some((value.clone(), value.duration()?)))
    {
        match u32::try_from(cycle.as_secs() / 86_400) {
            Ok(days) if (1..=limits.patch_cycle_days).contains(&days) => limits.patch_cycle_days = days,
            _ => value.refuse("longer than four weeks, or shorter than a day", "write 1 day to 4 weeks"),
        }
    }
    if let Some((value, timeout)) =
        map.field("rollback_timeout").and_then(|value| Some((value.clone(), value.duration()?)))
    {
        if timeout > Duration::from_mins(30) || timeout < Duration::from_secs(2) {
            value.refuse("a rollback timeout outside its bounds", "write 60s to 30min");
        }
        limits.rollback_timeout = timeout;
    }
    limits
}

type People<'d> = (Vec<Found<'d, Person>>, Vec<(UserName, Found<'d, PublicKey>)>);

fn people<'d>(value: &Value<'d>) -> People<'d> {
    let (mut people, mut all_keys) = (Vec::new(), Vec::new());
    for (name, at) in value.entries().unwrap_or_default() {
        let user = account_name(&name, &at);
        let Some(map) = at.map() else {
            continue;
        };
        let full_name = map.required("name").and_then(|value| value.parse());
        let title = map.required("title").and_then(|value| value.parse());
        // What is neither true nor false was refused, and may well have been meant.
        let approver = map.field("approver").is_some_and(|value| value.boolean().unwrap_or(true));
        let access = map.required("access").map(|value| access(&value)).unwrap_or_default();
        let keys = map.field("keys").map(|value| keys(&value));
        if keys.is_none() && !access.is_empty() {
            at.refuse_key("someone with access but no key", "add `keys: [\"ssh-ed25519 AAAA… comment\"]`");
        }
        let keys = keys.unwrap_or_default();
        let since = map.field("since").and_then(|value| value.date());
        let until = map.field("until").and_then(|value| value.date().or(since));
        if let (Some(first), Some(last)) = (since, until)
            && last < first
        {
            at.refuse_key("`until` lies before `since`", "swap the two, or correct one");
        }
        let (Some(user), Some(name), Some(title)) = (user, full_name, title) else { continue };
        all_keys.extend(keys.iter().map(|key| (user.clone(), key.clone())));
        let keys = keys.into_iter().map(|found| found.it).collect();
        let person = Person { user, name, title, approver, keys, access, since, until };
        people.push(Found { it: person, at });
    }
    (people, all_keys)
}

/// An account's name that is free on every host.
pub(super) fn account_name(name: &str, at: &Value<'_>) -> Option<UserName> {
    if is_reserved_account(name) {
        at.refuse_key(
            "the name is taken on every host",
            "choose another: Debian, a package or a provider uses this one",
        );
        return None;
    }
    match name.parse() {
        Ok(user) => Some(user),
        Err(error) => {
            let Malformed { why, fix } = error;
            at.refuse_key(&why, &fix);
            None
        }
    }
}

fn access(value: &Value<'_>) -> BTreeSet<Environment> {
    let mut access = BTreeSet::new();
    for item in value.list().unwrap_or_default() {
        if let Some(environment) = item.parse::<Environment>()
            && !access.insert(environment)
        {
            item.refuse("the same environment twice", "keep one");
        }
    }
    access
}

fn contacts(value: &Value<'_>) -> Vec<String> {
    let Some(map) = value.map() else { return Vec::new() };
    let Some(list) = map.required("administrators").and_then(|value| value.list()) else { return Vec::new() };
    list.iter().filter_map(mail::mail_address).collect()
}
