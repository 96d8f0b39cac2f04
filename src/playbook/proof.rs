//! The items of a control: what it enforces and checks, which the kinds read, and what is observed from outside. No value
//! is a template, and none holds shell syntax.

use serde::Serialize;

use super::shape::PROOFS;
use crate::kinds::{Declaration, SHAPES};
use crate::resource::declare::{list, says};
use crate::source::shape::Kind;
use crate::source::{Map, Value};
use crate::text::nearest;

/// What is observed from outside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Proof {
    /// From every vantage, the declared ports answer whom they may, and nothing else answers.
    Ports,
    /// From every vantage, sshd offers these ways to prove who one is, and no other.
    SshMethods {
        /// The methods.
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
    let (kind, map) = single(value, SHAPES)?;
    Declaration::parse(kind, &map)
}

/// One item of `prove`.
pub(super) fn proof(value: &Value<'_>) -> Option<Proof> {
    let (kind, map) = single(value, PROOFS)?;
    match kind {
        "ports" => {
            let (vantages, open) = (says(&map, "for_each", "vantages"), says(&map, "open", "listeners"));
            (vantages && open).then_some(Proof::Ports)
        }
        "ssh-methods" => {
            let vantages = says(&map, "for_each", "vantages");
            let methods = [("publickey", AuthMethod::Publickey)];
            let offered = list(&map.required("offered")?, |item| item.one_of(&methods))?;
            vantages.then_some(Proof::SshMethods { offered })
        }
        "ssh-logins" => says(&map, "for_each", "principals").then_some(Proof::SshLogins),
        _ => None,
    }
}
