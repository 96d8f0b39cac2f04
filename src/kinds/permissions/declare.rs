//! How a playbook declares the kind `permissions`.

use std::collections::BTreeMap;

use super::Permissions;
use super::capability::NAMES;
use crate::domain::RemotePath;
use crate::domain::pattern::PATH;
use crate::resource::declare::{list, set};
use crate::resource::{Declare, Unresolved};
use crate::scope::Scope;
use crate::source::shape::{Field, Shape, optional, required};
use crate::source::{Map, Value};

impl Declare for Permissions {
    type Spec = Permissions;

    const ABOUT: &'static str = "What lends its owner's rights, and what everyone may write, is what may.";

    const FIELDS: &'static [Field] = &[
        required(
            "set_id",
            Shape::List { of: &Shape::Text(&PATH), least: 0 },
            "Programs that may, where a package brought them.",
        ),
        optional(
            "capabilities",
            Shape::Names {
                names: &PATH,
                of: &Shape::Set { of: &Shape::Word(&NAMES), least: 1 },
                least: 0,
                most: None,
            },
            "Programs that may have these file capabilities, where a package brought them.",
        ),
        required("writable", Shape::List { of: &Shape::Text(&PATH), least: 0 }, "What everyone may write."),
    ];

    fn parse(map: &Map<'_>) -> Option<Permissions> {
        let paths = |name: &str| list(&map.required(name)?, Value::parse);
        let (set_id, writable) = (paths("set_id"), paths("writable"));
        let capabilities = match map.field("capabilities") {
            Some(value) => capabilities(&value),
            None => Some(BTreeMap::new()),
        };
        Some(Self { set_id: set_id?, capabilities: capabilities?, writable: writable? })
    }

    fn resolve(spec: &Permissions, _scope: Option<&Scope<'_>>) -> Result<Vec<Self>, Unresolved> {
        Ok(vec![spec.clone()])
    }
}

fn capabilities(value: &Value<'_>) -> Option<BTreeMap<RemotePath, Vec<String>>> {
    let words: Vec<(&str, &str)> = NAMES.iter().map(|&name| (name, name)).collect();
    let mut all = BTreeMap::new();
    for (path, names) in value.entries()? {
        let path = names.checked(path.parse::<RemotePath>());
        let names = set(&names, |name| name.one_of(&words).map(str::to_owned));
        all.insert(path?, names?);
    }
    Some(all)
}
