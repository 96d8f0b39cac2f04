//! The desired state of a host as a value, and why there may be none.

use std::sync::Arc;

use serde::Serialize;

use crate::domain::{Cidr, ControlId, Digest, HostName};
use crate::kinds::Resource;
use crate::kinds::secret::{Held, Secret, Value};
use crate::resource;
use crate::scope::ScopeError;
use crate::waiver::Exception;

/// Everything that the playbook wants of one host.
#[derive(Debug, Clone, Serialize, schemars::JsonSchema)]
pub struct Desired {
    /// The host.
    pub host: HostName,
    /// The networks from which the host is managed ([`crate::scope::Scope::management`]). Nothing is wanted of the host by it alone.
    #[serde(skip)]
    pub management: Vec<Cidr>,
    /// Each resource once, with the controls that want it.
    pub resources: Vec<Wanted>,
    /// The controls that apply to the host, in the playbook's order.
    pub controls: Vec<ControlId>,
    /// The waivers that bear on the host.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub waivers: Vec<Exception>,
    /// What could not be resolved, and so is unknown: on a machine without an inventory.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unresolved: Vec<Missing>,
}

/// Something that a control declares and that only an inventory can resolve.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Missing {
    /// The control.
    pub control: ControlId,
    /// What it declares, for people.
    pub resource: String,
    /// Whether it would be enforced.
    pub enforced: bool,
}

/// A resource, and why it is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Wanted {
    /// The resource.
    pub resource: Resource,
    /// True where palisade makes it so; false where it only looks.
    pub enforced: bool,
    /// The controls that it serves.
    pub controls: Vec<ControlId>,
}

impl Desired {
    /// Nothing yet.
    pub(super) fn of(host: HostName) -> Self {
        Self {
            host,
            management: Vec::new(),
            resources: Vec::new(),
            controls: Vec::new(),
            waivers: Vec::new(),
            unresolved: Vec::new(),
        }
    }

    /// The secrets that are wanted.
    pub fn secrets(&self) -> impl Iterator<Item = &Secret> {
        self.resources.iter().filter_map(|wanted| match &wanted.resource {
            Resource::Secret(secret) => Some(secret),
            _ => None,
        })
    }

    /// Gives each secret what `held` says.
    pub fn hold_secrets(&mut self, mut held: impl FnMut(&Secret) -> Held) {
        for wanted in &mut self.resources {
            if let Resource::Secret(secret) = &mut wanted.resource {
                secret.held = held(secret);
            }
        }
    }

    /// The same without anything that may not be shown: for scripts that are printed.
    #[must_use]
    pub fn in_preview(&self) -> Self {
        let mut shown = self.clone();
        shown.hold_secrets(|secret| match &secret.held {
            Held::Unread(why) => Held::Unread(why.clone()),
            Held::Read(_) => Held::Read(Arc::new(Value::in_preview())),
        });
        shown
    }

    /// The digest of all that is wanted.
    pub fn digest(&self) -> Digest {
        Digest::of(serde_json::to_string(self).unwrap_or_default().as_bytes())
    }

    /// The resources alone, in order.
    pub fn resources(&self) -> Vec<&Resource> {
        self.resources.iter().map(|wanted| &wanted.resource).collect()
    }
}

/// Why a desired state cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unresolved {
    /// Two controls want different things of one resource.
    #[error("{host}: {first} and {second} want different things of {resource}")]
    Conflict {
        /// The host.
        host: HostName,
        /// One control.
        first: ControlId,
        /// The other.
        second: ControlId,
        /// The resource that they differ about.
        resource: String,
    },
    /// A template could not be rendered.
    #[error("{host}: control {control}: {why}")]
    Template {
        /// The host.
        host: HostName,
        /// The control that names it.
        control: ControlId,
        /// What is wrong.
        why: String,
    },
    /// The inventory gives a control nothing that may be applied to the host.
    #[error("{host}: {why}")]
    Inventory {
        /// The host.
        host: HostName,
        /// What is wrong.
        why: String,
    },
}

impl Unresolved {
    pub(super) fn of_scope(host: &HostName, error: &ScopeError) -> Self {
        Self::Inventory { host: host.clone(), why: error.to_string() }
    }

    pub(super) fn of(host: &HostName, control: &ControlId, why: &resource::Unresolved) -> Self {
        match why {
            resource::Unresolved::Template(why) => {
                Self::Template { host: host.clone(), control: control.clone(), why: why.clone() }
            }
            other => Self::Inventory { host: host.clone(), why: other.to_string() },
        }
    }
}
