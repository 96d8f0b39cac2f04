//! How a playbook declares the kind `group`.

use super::Group;
use crate::domain::pattern::ACCOUNT;
use crate::resource::declare::list;
use crate::resource::{Declare, Unresolved};
use crate::scope::Scope;
use crate::source::shape::{Field, Shape, required};
use crate::source::{Map, Value};

impl Declare for Group {
    type Spec = Group;

    const ABOUT: &'static str = "A group has these members and no others.";

    const FIELDS: &'static [Field] = &[
        required("name", Shape::Text(&ACCOUNT), "Which."),
        required("only", Shape::List { of: &Shape::Text(&ACCOUNT), least: 0 }, "Its members."),
    ];

    fn parse(map: &Map<'_>) -> Option<Group> {
        let group = map.required("name")?.parse()?;
        let only = list(&map.required("only")?, Value::parse)?;
        Some(Self { group, only })
    }

    fn resolve(spec: &Group, _scope: Option<&Scope<'_>>) -> Result<Vec<Self>, Unresolved> {
        Ok(vec![spec.clone()])
    }
}
