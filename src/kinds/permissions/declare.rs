//! How a playbook declares the kind `permissions`.

use super::Permissions;
use crate::domain::pattern::PATH;
use crate::resource::declare::list;
use crate::resource::{Declare, Unresolved};
use crate::scope::Scope;
use crate::source::shape::{Field, Shape, required};
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
        required("writable", Shape::List { of: &Shape::Text(&PATH), least: 0 }, "What everyone may write."),
    ];

    fn parse(map: &Map<'_>) -> Option<Permissions> {
        let paths = |name: &str| list(&map.required(name)?, Value::parse);
        let (set_id, writable) = (paths("set_id"), paths("writable"));
        Some(Self { set_id: set_id?, writable: writable? })
    }

    fn resolve(spec: &Permissions, _scope: Option<&Scope<'_>>) -> Result<Vec<Self>, Unresolved> {
        Ok(vec![spec.clone()])
    }
}
