//! `roles`: named sets of listeners, and the names and ports that hosts share with them.

use std::collections::BTreeMap;

use super::parts::from;
use super::reserved::is_reserved_label;
use super::{From, Listener, Role};
use crate::domain::{ListenerName, Port, Protocol, RoleName};
use crate::source::Value;
use crate::text::Malformed;

/// A listener, and where its parts stand.
#[derive(Clone)]
pub(super) struct DraftListener<'d> {
    pub(super) role: RoleName,
    pub(super) listener: Listener,
    pub(super) at: Value<'d>,
    pub(super) port_at: Value<'d>,
    pub(super) from_at: Value<'d>,
}

/// What is wrong with a container's port where the internet must never come.
pub(super) const PUBLISHED: &str = "a container's port in a role that the internet must never reach";
/// What can be done instead.
pub(super) const PUBLISH_OTHERWISE: &str = "publish it on 127.0.0.1 behind a program of the host, or run the container in the host's network, and leave \
     `container` out";

/// The roles under `roles`; their listeners go to `all`, with their places.
pub(super) fn roles<'d>(value: &Value<'d>, all: &mut Vec<DraftListener<'d>>) -> BTreeMap<RoleName, Role> {
    let mut roles = BTreeMap::new();
    for (name, at) in value.entries().unwrap_or_default() {
        let role: Option<RoleName> = label(&name, &at);
        let Some(map) = at.map() else { continue };
        let declared_never =
            map.field("internet").is_some_and(|value| value.one_of(&[("never", true)]) == Some(true));
        let internet_never = declared_never || name == "database";
        let check = map.field("check").map_or(Some(None), |value| value.parse().map(Some)).flatten();
        let mut found: Vec<(Listener, [Value<'d>; 3])> = Vec::new();
        for at in map.required("listeners").and_then(|value| value.list()).unwrap_or_default() {
            let Some((listener, places)) = listener(&at) else { continue };
            if let Some((_, [first, ..])) = found.iter().find(|(other, _)| other.name == listener.name) {
                let why = format!("a second listener `{}`", listener.name);
                at.refuse(&why, &format!("one stands in {}", first.place()));
            }
            if internet_never && listener.from == From::Internet {
                let [_, _, from_at] = &places;
                let why = "a listener for the internet in a role that the internet must never reach";
                from_at.refuse(why, "write `from: private`, `from: admin` or `from: role:NAME`");
            }
            if internet_never && listener.container {
                at.refuse(PUBLISHED, PUBLISH_OTHERWISE);
            }
            found.push((listener, places));
        }
        let Some(name) = role else { continue };
        let listeners = found.iter().map(|(listener, _)| listener.clone()).collect();
        all.extend(found.into_iter().map(|(listener, [at, port_at, from_at])| DraftListener {
            role: name.clone(),
            listener,
            at,
            port_at,
            from_at,
        }));
        roles.insert(name.clone(), Role { name, listeners, internet_never, check });
    }
    roles
}

/// A listener, and where it, its port and its source stand.
fn listener<'d>(value: &Value<'d>) -> Option<(Listener, [Value<'d>; 3])> {
    let map = value.map()?;
    let name = map.required("name").and_then(|value| value.parse::<ListenerName>());
    let port_at = map.required("port");
    let number = port_at.as_ref().and_then(port);
    let protocol = match map.field("protocol") {
        Some(value) => value.one_of(&[("tcp", Protocol::Tcp), ("udp", Protocol::Udp)]),
        None => Some(Protocol::Tcp),
    };
    let from_at = map.required("from");
    let source = from_at.as_ref().and_then(from);
    let container = map.field("container").map_or(Some(false), |value| value.boolean());
    let listener =
        Listener { name: name?, port: number?, protocol: protocol?, from: source?, container: container? };
    Some((listener, [value.clone(), port_at?, from_at?]))
}

/// A port's number.
pub(super) fn port(value: &Value<'_>) -> Option<Port> {
    let number = value.number()?;
    value.checked(Port::try_from(number))
}

/// A name that selects nothing else on the command line.
pub(super) fn label<T: std::str::FromStr<Err = Malformed>>(name: &str, at: &Value<'_>) -> Option<T> {
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
