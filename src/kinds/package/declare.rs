//! How a playbook declares the kind `package`.

use super::Package;
use crate::domain::PackageName;
use crate::domain::pattern::PACKAGE;
use crate::resource::{Declare, Unresolved};
use crate::scope::Scope;
use crate::source::Map;
use crate::source::shape::{Field, Shape, required};

impl Declare for Package {
    type Spec = PackageName;

    const ABOUT: &'static str = "A package is installed.";

    const FIELDS: &'static [Field] = &[required("name", Shape::Text(&PACKAGE), "Which.")];

    fn parse(map: &Map<'_>) -> Option<PackageName> {
        map.required("name")?.parse()
    }

    fn resolve(name: &PackageName, _scope: Option<&Scope<'_>>) -> Result<Vec<Self>, Unresolved> {
        Ok(vec![Self { name: name.clone() }])
    }
}
