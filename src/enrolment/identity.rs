//! Whether the machine that answers is the one that was enrolled. Nothing is asked or changed on another.

use crate::domain::{Environment, MachineId};
use crate::probe::Facts;

/// Why the machine that answered is not the one that was enrolled, or not one that is supported.
pub fn identity_mismatch(
    machine_id: Option<&MachineId>,
    environment: Environment,
    facts: &Facts,
) -> Option<String> {
    if !matches!(facts.distribution.as_str(), "debian-12" | "debian-13") {
        return Some(format!("it runs {}; palisade supports Debian 12 and 13", facts.distribution));
    }
    let Some(enrolled) = machine_id else { return Some("it was not enrolled".to_owned()) };
    if *enrolled != facts.machine_id {
        return Some(format!(
            "it answers as another machine ({}) than the one that was enrolled ({enrolled})",
            facts.machine_id
        ));
    }
    match facts.environment {
        Some(marked) if marked == environment => None,
        Some(other) => Some(format!("it is marked as a {other} machine, not {environment}")),
        None => Some("it has no valid environment marker in /etc/palisade/environment".to_owned()),
    }
}
