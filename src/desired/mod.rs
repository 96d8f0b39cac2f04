//! What shall be true of one host: the controls' declarations, resolved against the inventory into typed resources
//! without conflict. Nothing here asks or changes a host.

pub mod firewall;

use serde::Serialize;

use crate::domain::{ControlId, Digest, HostName};
use crate::resource::Resource;

/// Everything that the playbook wants of one host.
#[derive(Debug, Clone, Serialize)]
pub struct Desired {
    /// Which.
    pub host: HostName,
    /// Each resource once, with the controls that want it.
    pub resources: Vec<Wanted>,
    /// The controls that apply to the host, in the playbook's order.
    pub controls: Vec<ControlId>,
}

/// A resource, and why it is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Wanted {
    /// What.
    pub resource: Resource,
    /// Whether palisade makes it so, or only looks.
    pub enforced: bool,
    /// The controls that it serves.
    pub controls: Vec<ControlId>,
}

impl Desired {
    /// The digest of all that is wanted.
    pub fn digest(&self) -> Digest {
        Digest::of(serde_json::to_string(self).unwrap_or_default().as_bytes())
    }

    /// The resources alone, in order.
    pub fn resources(&self) -> Vec<&Resource> {
        self.resources.iter().map(|wanted| &wanted.resource).collect()
    }
}
