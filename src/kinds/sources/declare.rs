//! How a playbook declares the kind `sources`.

use super::PackageSources;
use crate::resource::declare::{list, says};
use crate::resource::{Declare, Unresolved};
use crate::scope::Scope;
use crate::source::Map;
use crate::source::shape::{DATA, Field, Shape, required};

impl Declare for PackageSources {
    type Spec = PackageSources;

    const ABOUT: &'static str = "Packages come from signed sources of known origin.";

    const FIELDS: &'static [Field] = &[
        required("signed", Shape::Word(&["always"]), "Whether each has a valid signature."),
        required(
            "origins",
            Shape::List { of: &Shape::Text(&DATA), least: 0 },
            "Whose they may be, as their indexes say it.",
        ),
    ];

    fn waived_in_lab(_machine: bool) -> Option<&'static str> {
        Some("the lab's hosts install from a repository of their own, which nobody signs")
    }

    fn parse(map: &Map<'_>) -> Option<PackageSources> {
        let signed = says(map, "signed", "always");
        let origins = list(&map.required("origins")?, |item| item.text().map(str::to_owned))?;
        signed.then_some(Self { origins })
    }

    fn resolve(spec: &PackageSources, _scope: Option<&Scope<'_>>) -> Result<Vec<Self>, Unresolved> {
        Ok(vec![spec.clone()])
    }
}
