//! How a playbook declares the kind `machine`.

use super::{Machine, Site};
use crate::resource::declare::says;
use crate::resource::{Declare, Unresolved};
use crate::scope::Scope;
use crate::source::Map;
use crate::source::shape::{Field, Shape, required};

impl Declare for Machine {
    type Spec = ();

    const ABOUT: &'static str = "The hardware is the host's own: no virtual machine, no container.";

    const FIELDS: &'static [Field] = &[required("hardware", Shape::Word(&["dedicated"]), "Whose it is.")];

    fn waived_in_lab(machine: bool) -> Option<&'static str> {
        Some(if machine {
            "the lab's hosts are virtual machines on one machine"
        } else {
            "the lab's hosts are containers on one machine"
        })
    }

    fn parse(map: &Map<'_>) -> Option<()> {
        says(map, "hardware", "dedicated").then_some(())
    }

    fn resolve((): &(), scope: Option<&Scope<'_>>) -> Result<Vec<Self>, Unresolved> {
        let declared = scope.map(|scope| Site {
            provider: scope.inputs.host.provider.clone(),
            datacenter: scope.inputs.host.datacenter.clone(),
            country: scope.inputs.host.country.clone(),
        });
        Ok(vec![Self { declared }])
    }
}
