//! How a playbook declares a kind, and what a declaration means on a host.

use serde::Serialize;

use super::Kind;
use crate::domain::{Malformed, TemplateName};
use crate::scope::{Scope, ScopeError};
use crate::source::shape::Field;
use crate::source::{Map, Value};

/// How a playbook declares a kind. `kinds!` makes the enums, the parser's dispatch and the JSON Schema from it.
pub trait Declare: Kind {
    /// What a declaration holds, before it is resolved for a host.
    type Spec: Clone + std::fmt::Debug + PartialEq + Eq + Serialize;

    /// What a declaration of this kind promises, as a sentence.
    const ABOUT: &'static str;

    /// The fields of a declaration.
    const FIELDS: &'static [Field];

    /// Whether a declaration decides who gets in: such controls change together, or somebody is left outside.
    fn decides_access(spec: &Self::Spec) -> bool {
        let _ = spec;
        false
    }

    /// The template that a declaration names.
    fn template(spec: &Self::Spec) -> Option<&TemplateName> {
        let _ = spec;
        None
    }

    /// Why a host of the lab cannot keep it: a container, or a virtual machine. None where it can.
    fn waived_in_lab(machine: bool) -> Option<&'static str> {
        let _ = machine;
        None
    }

    /// Reads the fields of a declaration. None where something was refused, which the reader has written down.
    fn parse(map: &Map<'_>) -> Option<Self::Spec>;

    /// The resources that a declaration means on a host. Without a scope, those that need no inventory.
    fn resolve(spec: &Self::Spec, scope: Option<&Scope<'_>>) -> Result<Vec<Self>, Unresolved>;
}

/// Why a declaration means nothing on a host.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unresolved {
    /// It follows from an inventory, and there is none. What it declares, as a noun phrase.
    #[error("{0}: they follow from an inventory")]
    NoInventory(&'static str),
    /// A template gives no body.
    #[error("{0}")]
    Template(String),
    /// The inventory gives no firewall that may be loaded, or no way to the host.
    #[error("{0}")]
    Refused(String),
    /// A name that the inventory holds makes no well-formed value on the host.
    #[error("{0}")]
    Malformed(Malformed),
}

impl From<ScopeError> for Unresolved {
    fn from(error: ScopeError) -> Self {
        Self::Refused(error.to_string())
    }
}

impl From<Malformed> for Unresolved {
    fn from(error: Malformed) -> Self {
        Self::Malformed(error)
    }
}

/// The scope, or that `what` needs an inventory.
pub fn needed<'s, 'a>(scope: Option<&'s Scope<'a>>, what: &'static str) -> Result<&'s Scope<'a>, Unresolved> {
    scope.ok_or(Unresolved::NoInventory(what))
}

/// Whether `field` holds the one word that it may.
pub fn says(map: &Map<'_>, field: &str, word: &'static str) -> bool {
    map.required(field).and_then(|value| value.one_of(&[(word, ())])).is_some()
}

/// A list, read item by item.
pub fn list<'d, T>(value: &Value<'d>, read: impl FnMut(&Value<'d>) -> Option<T>) -> Option<Vec<T>> {
    value.list()?.iter().map(read).collect()
}

/// A list of at least one item, none of them twice.
pub fn set<'d, T: PartialEq>(value: &Value<'d>, read: impl Fn(&Value<'d>) -> Option<T>) -> Option<Vec<T>> {
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
