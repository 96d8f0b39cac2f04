//! How a playbook declares the kind `updates`.

use super::Updates;
use crate::resource::declare::says;
use crate::resource::{Declare, Unresolved};
use crate::scope::Scope;
use crate::source::Map;
use crate::source::shape::{Field, Shape, required};

impl Declare for Updates {
    type Spec = ();

    const ABOUT: &'static str =
        "Security updates are installed, nothing is held back or broken, and no reboot is due.";

    const FIELDS: &'static [Field] = &[required("security", Shape::Word(&["installed"]), "Which.")];

    fn waived_in_lab(_machine: bool) -> Option<&'static str> {
        Some("the lab's hosts install from a repository of their own, which nobody signs")
    }

    fn parse(map: &Map<'_>) -> Option<()> {
        says(map, "security", "installed").then_some(())
    }

    fn resolve((): &(), scope: Option<&Scope<'_>>) -> Result<Vec<Self>, Unresolved> {
        let _ = scope;
        Ok(vec![Self {}])
    }
}
