//! How a playbook declares the kind `releases`.

use super::Releases;
use crate::calendar::Turn;
use crate::resource::declare::says;
use crate::resource::{Declare, Unresolved};
use crate::scope::Scope;
use crate::source::Map;
use crate::source::shape::{Field, Shape, required};

impl Declare for Releases {
    type Spec = ();

    const ABOUT: &'static str = "No release is overdue: each was completed before its window was over.";

    const FIELDS: &'static [Field] = &[required("overdue", Shape::Word(&["never"]), "Which may be.")];

    fn parse(map: &Map<'_>) -> Option<()> {
        says(map, "overdue", "never").then_some(())
    }

    fn resolve((): &(), scope: Option<&Scope<'_>>) -> Result<Vec<Self>, Unresolved> {
        Ok(vec![Self {
            turns: scope.and_then(|scope| scope.inputs.turns).map(<[Turn]>::to_vec),
            enrolled: scope.and_then(|scope| scope.inputs.enrolled),
        }])
    }
}
