//! One host in its environment: whom the inventory gives it as management, accounts and neighbours. It is made once per
//! host, from an index that is made once per environment, so that a run's cost grows with the fleet and not with its square.
//! What follows from it for a resource is the kinds' to say.

mod concern;
mod index;
mod management;
mod principals;

use jiff::Timestamp;
use jiff::civil::Date;

pub use concern::{Concern, concerned};
pub use index::{EnvironmentIndex, Owned, is_never};
pub use management::{ScopeError, management, shared_addresses};
pub use principals::{Class, Principal, principals};

use crate::calendar::Turn;
use crate::domain::{Cidr, TemplateName};
use crate::inventory::{EnvironmentInventory, Fleet, Host, Listener, Role};

/// Renders the bodies of files. The templates lie below the kinds, which name them.
pub trait Bodies: Sync {
    /// The body that the template `name` gives for a host, or why it gives none.
    fn body(&self, name: &TemplateName, scope: &Scope<'_>) -> Result<String, String>;
}

/// What the desired state of a host follows from, but for its waivers and templates.
#[derive(Clone, Copy)]
pub struct Inputs<'a> {
    /// The fleet.
    pub fleet: &'a Fleet,
    /// The host's environment.
    pub inventory: &'a EnvironmentInventory,
    /// The host.
    pub host: &'a Host,
    /// `debian-12` or `debian-13`, as found when it was enrolled.
    pub distribution: &'a str,
    /// When it was enrolled; none where it was not.
    pub enrolled: Option<Timestamp>,
    /// The environment's release windows around today; none where the inventory does not schedule releases.
    pub turns: Option<&'a [Turn]>,
    /// The day for which people's access is judged.
    pub day: Date,
    /// The environment's index.
    pub index: &'a EnvironmentIndex<'a>,
}

/// One host in its environment.
pub struct Scope<'a> {
    /// What it was made from.
    pub inputs: Inputs<'a>,
    /// The networks from which the host is managed, which must never be cut off. Sorted, each once.
    pub management: Vec<Cidr>,
    /// The accounts that are declared on the host, people first.
    pub principals: Vec<Principal>,
    bodies: &'a dyn Bodies,
}

impl<'a> Scope<'a> {
    /// The scope of one host, whose files have `bodies`. An error where nobody could manage it.
    pub fn new(inputs: Inputs<'a>, bodies: &'a dyn Bodies) -> Result<Self, ScopeError> {
        let Inputs { fleet, inventory, host, day, .. } = inputs;
        Ok(Self {
            management: management(inventory, host)?,
            principals: principals(fleet, inventory, host, day)?,
            inputs,
            bodies,
        })
    }

    /// The principals that somebody can log in as.
    pub fn logins(&self) -> impl Iterator<Item = &Principal> {
        self.principals.iter().filter(|principal| !principal.keys.is_empty())
    }

    /// The listeners of the host, each with the role that has it.
    pub fn listeners(&self) -> impl Iterator<Item = (&'a Role, &'a Listener)> {
        let inventory = self.inputs.inventory;
        let roles = self.inputs.host.roles.iter().filter_map(|name| inventory.roles.get(name));
        roles.flat_map(|role| role.listeners.iter().map(move |listener| (role, listener)))
    }

    /// The body that a template gives for this host.
    pub fn body(&self, name: &TemplateName) -> Result<String, String> {
        self.bodies.body(name, self)
    }
}
