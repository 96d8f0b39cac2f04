//! How a playbook declares the kind `time-zone`.

use super::TimeZone;
use crate::calendar::ZONE;
use crate::resource::{Declare, Unresolved};
use crate::scope::Scope;
use crate::source::Map;
use crate::source::shape::{Field, Shape, required};

impl Declare for TimeZone {
    type Spec = TimeZone;

    const ABOUT: &'static str = "The time zone of the host. Looked at only.";

    const FIELDS: &'static [Field] = &[required("zone", Shape::Text(&ZONE), "The time zone.")];

    fn parse(map: &Map<'_>) -> Option<TimeZone> {
        Some(Self { zone: map.required("zone")?.parse()? })
    }

    fn resolve(spec: &TimeZone, _scope: Option<&Scope<'_>>) -> Result<Vec<Self>, Unresolved> {
        Ok(vec![spec.clone()])
    }
}
