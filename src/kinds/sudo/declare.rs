//! How a playbook declares the kind `sudo`.

use std::collections::BTreeMap;

use super::{Grant, Sudo};
use crate::resource::declare::{needed, says};
use crate::resource::{Declare, Unresolved};
use crate::scope::Scope;
use crate::source::Map;
use crate::source::shape::{Field, Shape, required};

impl Declare for Sudo {
    type Spec = ();

    const ABOUT: &'static str = "Exactly the declared accounts may use sudo, for exactly what is declared.";

    const FIELDS: &'static [Field] = &[required("only", Shape::Word(&["declared"]), "Which.")];

    fn parse(map: &Map<'_>) -> Option<()> {
        says(map, "only", "declared").then_some(())
    }

    fn resolve((): &(), scope: Option<&Scope<'_>>) -> Result<Vec<Self>, Unresolved> {
        let scope = needed(scope, "the declared sudo rules")?;
        let mut rules = BTreeMap::new();
        for principal in &scope.principals {
            let grant = match &principal.sudo {
                None => Grant::All,
                Some(commands) if commands.is_empty() => continue,
                Some(commands) => {
                    Grant::Commands(commands.iter().map(|command| command.parse()).collect::<Result<_, _>>()?)
                }
            };
            rules.insert(principal.user.clone(), grant);
        }
        Ok(vec![Self { rules }])
    }
}
