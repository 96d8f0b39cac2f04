//! How a playbook declares the kind `mounts`.

use super::{MountOption, Mounts};
use crate::domain::pattern::PATH;
use crate::resource::declare::set;
use crate::resource::{Declare, Unresolved};
use crate::scope::Scope;
use crate::source::shape::{Field, Shape, required};
use crate::source::{Map, Value};

impl Declare for Mounts {
    type Spec = Mounts;

    const ABOUT: &'static str =
        "What folders are mounted with, where they are file systems of their own. Looked at only.";

    const FIELDS: &'static [Field] = &[
        required("at", Shape::Set { of: &Shape::Text(&PATH), least: 1 }, "Which."),
        required(
            "options",
            Shape::Set { of: &Shape::Word(&["nodev", "nosuid", "noexec"]), least: 1 },
            "With what.",
        ),
    ];

    fn parse(map: &Map<'_>) -> Option<Mounts> {
        let at = map.required("at").and_then(|value| set(&value, Value::parse));
        let options =
            map.required("options").and_then(|value| set(&value, |item| item.one_of(&MountOption::ALL)));
        Some(Self { at: at?, options: options? })
    }

    fn resolve(spec: &Mounts, _scope: Option<&Scope<'_>>) -> Result<Vec<Self>, Unresolved> {
        Ok(vec![spec.clone()])
    }
}
