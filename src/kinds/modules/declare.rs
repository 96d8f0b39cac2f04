//! How a playbook declares the kind `modules`.

use super::Modules;
use crate::domain::pattern::MODULE;
use crate::resource::declare::set;
use crate::resource::{Declare, Unresolved};
use crate::scope::Scope;
use crate::source::shape::{Field, Shape, required};
use crate::source::{Map, Value};

impl Declare for Modules {
    type Spec = Modules;

    const ABOUT: &'static str = "Kernel modules that are never loaded, whoever asks for them.";

    const FIELDS: &'static [Field] =
        &[required("never", Shape::Set { of: &Shape::Text(&MODULE), least: 1 }, "Which.")];

    fn parse(map: &Map<'_>) -> Option<Modules> {
        Some(Self { never: set(&map.required("never")?, Value::parse)? })
    }

    fn resolve(spec: &Modules, _scope: Option<&Scope<'_>>) -> Result<Vec<Self>, Unresolved> {
        Ok(vec![spec.clone()])
    }
}
