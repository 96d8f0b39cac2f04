//! How a playbook declares the kind `encryption`.

use super::Encryption;
use crate::domain::RemotePath;
use crate::domain::pattern::PATH;
use crate::resource::declare::{list, says};
use crate::resource::{Declare, Unresolved};
use crate::scope::Scope;
use crate::source::shape::{Field, Shape, optional, required};
use crate::source::{Map, Value};

impl Declare for Encryption {
    type Spec = Vec<RemotePath>;

    const ABOUT: &'static str = "Below every file system and every swap area lies strong encryption.";

    const FIELDS: &'static [Field] = &[
        required("disks", Shape::Word(&["encrypted"]), "What they are."),
        optional(
            "except",
            Shape::List { of: &Shape::Text(&PATH), least: 1 },
            "Mount points that need not be: what a boot loader and a firmware read.",
        ),
    ];

    fn waived_in_lab(machine: bool) -> Option<&'static str> {
        machine.then_some("the disks of the lab's machines are in plain, for nobody is there to unlock them")
    }

    fn parse(map: &Map<'_>) -> Option<Vec<RemotePath>> {
        let disks = says(map, "disks", "encrypted");
        let except = match map.field("except") {
            Some(value) => list(&value, Value::parse)?,
            None => Vec::new(),
        };
        disks.then_some(except)
    }

    fn resolve(except: &Vec<RemotePath>, _scope: Option<&Scope<'_>>) -> Result<Vec<Self>, Unresolved> {
        Ok(vec![Self { except: except.iter().map(ToString::to_string).collect() }])
    }
}
