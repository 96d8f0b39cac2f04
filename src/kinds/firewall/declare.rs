//! How a playbook declares the kinds about the packet filter: `nftables`, `allowlist` and `exposure`.

use super::allowlist::{Allowlist, Interface};
use super::exposure::Exposure;
use super::nftables::Nftables;
use super::rules;
use crate::inventory::From;
use crate::resource::declare::{needed, says};
use crate::resource::{Declare, Unresolved};
use crate::scope::{Scope, is_never};
use crate::source::Map;
use crate::source::shape::{Field, Shape, required};

impl Declare for Nftables {
    type Spec = ();

    const ABOUT: &'static str =
        "The packet filter's own table, made from the listeners: its file and the live rules.";

    const FIELDS: &'static [Field] = &[
        required("table", Shape::Word(&["palisade"]), "Which."),
        required("from", Shape::Word(&["listeners"]), "Of what it is made."),
    ];

    fn parse(map: &Map<'_>) -> Option<()> {
        let (table, from) = (says(map, "table", "palisade"), says(map, "from", "listeners"));
        (table && from).then_some(())
    }

    fn resolve((): &(), scope: Option<&Scope<'_>>) -> Result<Vec<Self>, Unresolved> {
        let scope = needed(scope, "the firewall's rules, which follow from listeners and networks")?;
        Ok(vec![rules::rules(scope)?])
    }
}

impl Declare for Allowlist {
    type Spec = ();

    const ABOUT: &'static str = "Admin interfaces are reached from the admin addresses alone.";

    const FIELDS: &'static [Field] = &[required("interfaces", Shape::Word(&["admin"]), "Which.")];

    fn parse(map: &Map<'_>) -> Option<()> {
        says(map, "interfaces", "admin").then_some(())
    }

    fn resolve((): &(), scope: Option<&Scope<'_>>) -> Result<Vec<Self>, Unresolved> {
        let scope = needed(scope, "the declared admin interfaces and addresses")?;
        let interfaces = scope
            .listeners()
            .filter(|(_, listener)| listener.from == From::Admin)
            .map(|(_, listener)| Interface {
                name: listener.name.clone(),
                protocol: listener.protocol,
                port: listener.port,
                container: listener.container,
            })
            .collect();
        Ok(vec![Self {
            admin: scope.inputs.inventory.admin.clone(),
            most: scope.inputs.fleet.limits.admin_addresses,
            interfaces,
        }])
    }
}

impl Declare for Exposure {
    type Spec = ();

    const ABOUT: &'static str = "What the internet must never reach has no way to it.";

    const FIELDS: &'static [Field] = &[required("internet", Shape::Word(&["never"]), "Who must not.")];

    fn parse(map: &Map<'_>) -> Option<()> {
        says(map, "internet", "never").then_some(())
    }

    fn resolve((): &(), scope: Option<&Scope<'_>>) -> Result<Vec<Self>, Unresolved> {
        let scope = needed(scope, "what the internet must never reach")?;
        let (inventory, host) = (scope.inputs.inventory, scope.inputs.host);
        Ok(vec![Self {
            never: is_never(inventory, host),
            private: inventory.private.clone(),
            gateways: inventory.gateways.clone(),
            sources: scope.management.clone(),
            protected: scope.inputs.index.never_beside(host),
        }])
    }
}
