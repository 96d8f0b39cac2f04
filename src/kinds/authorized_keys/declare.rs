//! How a playbook declares the kind `authorized-keys`.

use super::AuthorizedKeys;
use crate::resource::declare::{needed, says};
use crate::resource::{Declare, Unresolved};
use crate::scope::Scope;
use crate::source::Map;
use crate::source::shape::{Field, Shape, required};

impl Declare for AuthorizedKeys {
    type Spec = ();

    const ABOUT: &'static str = "Exactly the declared keys open exactly the declared accounts.";

    const FIELDS: &'static [Field] = &[required("only", Shape::Word(&["declared"]), "Which.")];

    fn decides_access((): &()) -> bool {
        true
    }

    fn parse(map: &Map<'_>) -> Option<()> {
        says(map, "only", "declared").then_some(())
    }

    fn resolve((): &(), scope: Option<&Scope<'_>>) -> Result<Vec<Self>, Unresolved> {
        let scope = needed(scope, "the declared keys")?;
        let declared =
            scope.logins().map(|principal| (principal.user.clone(), principal.keys.clone())).collect();
        Ok(vec![Self { declared }])
    }
}
