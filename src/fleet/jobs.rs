//! From a project and a selection of hosts to jobs: what is wanted of each host, and how it is reached. Pure.

use std::time::Duration;

use jiff::civil::Date;

use super::{Access, Job};
use crate::calendar::Turn;
use crate::desired::{self, Desired, Unresolved};
use crate::domain::{Address, PublicKey, UserName};
use crate::inventory::{EnvironmentInventory, Fleet, Host, Identities};
use crate::playbook::Control;
use crate::scope::{EnvironmentIndex, Inputs};
use crate::template::Templates;
use crate::transport::Target;
use crate::waiver::Waivers;

/// For TCP, handshake and authentication together.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);

/// Everything that jobs are made from.
pub struct JobInputs<'a> {
    /// The fleet.
    pub fleet: &'a Fleet,
    /// The environment's part of it.
    pub inventory: &'a EnvironmentInventory,
    /// The controls that are to be judged.
    pub controls: &'a [Control],
    /// The machines that were enrolled.
    pub identities: &'a Identities,
    /// As whom, and with which pins.
    pub access: Access,
    /// The day for which access and waivers are judged.
    pub day: Date,
    /// The project's waivers.
    pub waivers: &'a Waivers,
    /// The project's templates, and the built-in ones.
    pub templates: &'a Templates,
}

/// The keys declared for `user` in an environment: a person's or the automation account's. None where there is no
/// such account.
pub fn declared_keys<'a>(
    fleet: &'a Fleet,
    inventory: &'a EnvironmentInventory,
    user: &UserName,
) -> Option<&'a [PublicKey]> {
    if let Some(person) = fleet.people.get(user) {
        return person.access.contains(&inventory.environment).then_some(&person.keys);
    }
    inventory
        .automation
        .as_ref()
        .filter(|automation| automation.user == *user)
        .map(|automation| automation.keys.as_slice())
}

impl JobInputs<'_> {
    /// One job for each of `hosts`, or everything that cannot be resolved.
    pub fn jobs(&self, hosts: &[&Host]) -> Result<Vec<Job>, Vec<Unresolved>> {
        let mut jobs = Vec::new();
        let mut unresolved = Vec::new();
        let now = self.day.to_zoned(jiff::tz::TimeZone::UTC).map(|day| day.timestamp()).ok();
        let turns = self.fleet.release.as_ref().zip(now);
        let turns = turns.map(|(plan, now)| plan.turns(self.inventory.environment, now));
        let index = EnvironmentIndex::new(self.fleet, self.inventory, self.identities, &self.access.pins);
        for host in hosts {
            match self.desired(host, &index, turns.as_deref()) {
                Ok(desired) => jobs.extend(self.job(host, desired, &index)),
                Err(error) => unresolved.push(error),
            }
        }
        if unresolved.is_empty() { Ok(jobs) } else { Err(unresolved) }
    }

    /// What is wanted of one host.
    fn desired(
        &self,
        host: &Host,
        index: &EnvironmentIndex<'_>,
        turns: Option<&[Turn]>,
    ) -> Result<Desired, Unresolved> {
        let identity = self.identities.hosts.get(&host.name);
        let inputs = Inputs {
            fleet: self.fleet,
            inventory: self.inventory,
            host,
            distribution: identity.map_or("debian-12", |identity| identity.distribution.as_str()),
            enrolled: identity.map(|identity| identity.enrolled),
            turns,
            day: self.day,
            index,
        };
        desired::resolve(self.controls, inputs, self.waivers, self.templates)
    }

    fn job(&self, host: &Host, desired: Desired, index: &EnvironmentIndex<'_>) -> Option<Job> {
        let way = self.inventory.route(host)?;
        let target = self.access.target(&way);
        let address = way.address;
        let same_side = |other: &Address| host.public.contains(other) == host.public.contains(&address);
        let other_family = host
            .addresses()
            .find(|other| other.family() != address.family() && same_side(other))
            .map(|address| Target { address, ..target.clone() });
        let behind = index
            .behind(&host.name)
            .iter()
            .find(|other| self.identities.hosts.contains_key(&other.name))
            .and_then(|other| Some(self.access.target(&self.inventory.route(other)?)));
        Some(Job {
            desired,
            target,
            witnesses: other_family.into_iter().chain(behind).collect(),
            environment: self.inventory.environment,
            machine_id: self.identities.hosts.get(&host.name).map(|identity| identity.machine_id.clone()),
            replica_of: host.replica_of.clone(),
            unlock: host.unlock,
        })
    }
}
