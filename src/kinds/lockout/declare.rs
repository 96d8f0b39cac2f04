//! How a playbook declares the kind `lockout`.

use super::Lockout;
use crate::kinds::firewall::ruleset::Networks;
use crate::resource::declare::{needed, says};
use crate::resource::{Declare, Unresolved};
use crate::scope::Scope;
use crate::source::Map;
use crate::source::shape::{Field, Shape, required};

/// The template of the table that fail2ban bans in: a file on a host, and what its kernel is held against.
pub const BANS_TEMPLATE: &str = "bans.nft.tera";

impl Declare for Lockout {
    type Spec = ();

    const ABOUT: &'static str = "Whoever fails to log in as often as the limits say is blocked.";

    const FIELDS: &'static [Field] = &[required("after", Shape::Word(&["failed-attempts"]), "After what.")];

    fn parse(map: &Map<'_>) -> Option<()> {
        says(map, "after", "failed-attempts").then_some(())
    }

    fn resolve((): &(), scope: Option<&Scope<'_>>) -> Result<Vec<Self>, Unresolved> {
        let scope =
            needed(scope, "the ban of those who fail to log in, which follows from limits and networks")?;
        let name = BANS_TEMPLATE.parse()?;
        Ok(vec![Self {
            attempts: scope.inputs.fleet.limits.failed_attempts,
            management: Networks::by_family(&scope.management)
                .iter()
                .flat_map(Networks::all)
                .copied()
                .collect(),
            table: scope.body(&name).map_err(Unresolved::Template)?,
        }])
    }
}
