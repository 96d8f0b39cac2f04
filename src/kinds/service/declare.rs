//! How a playbook declares the kind `service`.

use super::Service;
use crate::domain::pattern::UNIT;
use crate::resource::{Declare, Unresolved};
use crate::scope::Scope;
use crate::source::Map;
use crate::source::shape::{Field, Shape, any_of_them, required};

impl Declare for Service {
    type Spec = Service;

    const ABOUT: &'static str = "A unit starts at boot, or runs, or does not.";

    const FIELDS: &'static [Field] = &[
        required("unit", Shape::Text(&UNIT), "Which."),
        any_of_them("enabled", Shape::Boolean, "Whether it starts at boot."),
        any_of_them("active", Shape::Boolean, "Whether it runs."),
    ];

    fn parse(map: &Map<'_>) -> Option<Service> {
        let unit = map.required("unit").and_then(|value| value.parse());
        let enabled = map.field("enabled").map(|value| value.boolean());
        let active = map.field("active").map(|value| value.boolean());
        if enabled.is_none() && active.is_none() {
            map.value().refuse("a service that nothing is asked of", "add `enabled:`, `active:` or both");
            return None;
        }
        Some(Self { unit: unit?, enabled: enabled.flatten(), active: active.flatten() })
    }

    fn resolve(spec: &Service, _scope: Option<&Scope<'_>>) -> Result<Vec<Self>, Unresolved> {
        Ok(vec![spec.clone()])
    }
}
