//! How a playbook declares the kind `separation`.

use super::Separation;
use crate::resource::declare::{needed, says};
use crate::resource::{Declare, Unresolved};
use crate::scope::Scope;
use crate::source::Map;
use crate::source::shape::{Field, Shape, required};

impl Declare for Separation {
    type Spec = ();

    const ABOUT: &'static str = "Nothing of another environment gets in.";

    const FIELDS: &'static [Field] = &[required("from", Shape::Word(&["environments"]), "From what.")];

    fn parse(map: &Map<'_>) -> Option<()> {
        says(map, "from", "environments").then_some(())
    }

    fn resolve((): &(), scope: Option<&Scope<'_>>) -> Result<Vec<Self>, Unresolved> {
        let index = needed(scope, "what belongs to other environments")?.inputs.index;
        Ok(vec![Self {
            environment: index.environment,
            addresses: index.foreign_addresses.clone(),
            machines: index.foreign_machines.clone(),
            host_keys: index.foreign_host_keys.clone(),
            automation: index.foreign_automation.clone(),
        }])
    }
}
