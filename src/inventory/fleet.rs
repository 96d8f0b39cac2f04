//! What the fleet is, as types: environments, hosts, roles, listeners, networks, people. Values that were checked; nothing is
//! read or refused here.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::Serialize;

use super::{MailServer, Unlock};
use crate::calendar;
use crate::domain::{
    Address, Cidr, Comment, Environment, HostName, ListenerName, Port, Protocol, PublicKey, RemotePath,
    RoleName, UserName,
};

/// Everything that `inventories/` declares.
#[derive(Debug, Clone, Serialize)]
pub struct Fleet {
    /// Whose servers they are.
    pub company: String,
    /// The numbers that promises name.
    pub limits: Limits,
    /// Everyone with, or formerly with, access.
    pub people: BTreeMap<UserName, Person>,
    /// Where administrators are told of maintenance.
    pub administrators: Vec<String>,
    /// How mail is sent to them, if that is declared.
    pub mail: Option<MailServer>,
    /// When releases come, if that is declared.
    pub release: Option<calendar::Plan>,
    /// dev, test, prod: those that have a file.
    pub environments: BTreeMap<Environment, EnvironmentInventory>,
}

/// The numbers that promises name. Nothing else holds them.
#[derive(Debug, Clone, Serialize, schemars::JsonSchema)]
pub struct Limits {
    /// Most people with server access at one time; 2.
    pub people: u32,
    /// Most admin addresses of an environment; 3.
    pub admin_addresses: u32,
    /// Failed attempts before an address is blocked; 5.
    pub failed_attempts: u32,
    /// Days between releases; 28.
    pub patch_cycle_days: u32,
    /// Time for which a host waits for confirmation before it rolls back, in seconds in JSON. 60 s to 30 min; less only
    /// in a lab's project.
    #[serde(serialize_with = "seconds")]
    #[schemars(with = "u64")]
    pub rollback_timeout: Duration,
}

impl Default for Limits {
    /// What the promises say.
    fn default() -> Self {
        Self::PROMISED
    }
}

impl Limits {
    /// What the promises say. An inventory may be stricter.
    pub(crate) const PROMISED: Self = Self {
        people: 2,
        admin_addresses: 3,
        failed_attempts: 5,
        patch_cycle_days: 28,
        rollback_timeout: Duration::from_mins(3),
    };
}

fn seconds<S: serde::Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(duration.as_secs())
}

/// Someone with, or formerly with, server access.
#[derive(Debug, Clone, Serialize, schemars::JsonSchema)]
pub struct Person {
    /// The account's name on servers.
    pub user: UserName,
    /// The person's name.
    pub name: Comment,
    /// Such as CTO.
    pub title: Comment,
    /// True where this person may approve what goes to production.
    pub approver: bool,
    /// Keys that open the account.
    pub keys: Vec<PublicKey>,
    /// The environments to which the person has access.
    pub access: BTreeSet<Environment>,
    /// First day of access; none is always.
    pub since: Option<jiff::civil::Date>,
    /// Last day of access; none is open-ended.
    pub until: Option<jiff::civil::Date>,
}

impl Person {
    /// Whether this person may enter `environment` on `day`. Both ends are inclusive.
    pub fn has_access(&self, environment: Environment, day: jiff::civil::Date) -> bool {
        self.access.contains(&environment)
            && self.since.is_none_or(|since| since <= day)
            && self.until.is_none_or(|until| day <= until)
    }
}

/// One environment: its networks, machine account, roles and hosts.
#[derive(Debug, Clone, Serialize)]
pub struct EnvironmentInventory {
    /// The environment.
    pub environment: Environment,
    /// From where administrators come; at most [`Limits::admin_addresses`].
    pub admin: Vec<Cidr>,
    /// The private networks that hosts share.
    pub private: Vec<Cidr>,
    /// Routers on these networks, through which hosts without a public address reach the internet.
    pub gateways: Vec<Address>,
    /// Who may reach SSH beside the management sources, which always may; [`From::Admin`] unless declared.
    pub ssh_from: From,
    /// The machine account that CI uses, if any.
    pub automation: Option<Automation>,
    /// Service accounts with a login.
    pub accounts: BTreeMap<UserName, ServiceAccount>,
    /// Where hosts get packages, if not from where their image says. No control applies it yet.
    pub packages: Option<PackageSource>,
    /// Named sets of listeners.
    pub roles: BTreeMap<RoleName, Role>,
    /// The servers.
    pub hosts: BTreeMap<HostName, Host>,
}

/// Where packages come from, for hosts that cannot reach the internet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct PackageSource {
    /// The address of a mirror.
    pub mirror: Option<String>,
    /// The address of an HTTP proxy.
    pub proxy: Option<String>,
}

/// A machine account: unattended, with its own keys and sources.
#[derive(Debug, Clone, Serialize, schemars::JsonSchema)]
pub struct Automation {
    /// The account's name on servers.
    pub user: UserName,
    /// Keys that open it.
    pub keys: Vec<PublicKey>,
    /// Addresses from which it comes; these are management sources.
    pub from: Vec<Cidr>,
}

/// A declared account that is neither a person nor CI.
#[derive(Debug, Clone, Serialize, schemars::JsonSchema)]
pub struct ServiceAccount {
    /// The account's name on servers.
    pub user: UserName,
    /// Purpose of the account.
    pub purpose: Comment,
    /// Keys that open it; empty where it never logs in.
    pub keys: Vec<PublicKey>,
    /// Login shell.
    pub shell: RemotePath,
    /// Commands that it may run as root, each an absolute path with arguments, in sudoers' syntax; empty for none.
    pub sudo: Vec<String>,
    /// The roles whose hosts have it; empty is all of them.
    pub roles: BTreeSet<RoleName>,
}

/// A named set of listeners.
#[derive(Debug, Clone, Serialize, schemars::JsonSchema)]
pub struct Role {
    /// Its name.
    pub name: RoleName,
    /// Listeners of its hosts.
    pub listeners: Vec<Listener>,
    /// True where the internet must never reach it (promise `private-data`).
    pub internet_never: bool,
    /// A program on its hosts that exits 0 where they do their work.
    pub check: Option<RemotePath>,
}

/// A port that a host serves, and who may reach it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Listener {
    /// Its name.
    pub name: ListenerName,
    /// The port.
    pub port: Port,
    /// TCP unless declared otherwise.
    pub protocol: Protocol,
    /// Sources that may reach it.
    pub from: From,
    /// True where a container publishes it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub container: bool,
}

/// Who may reach a listener.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum From {
    /// Everyone.
    Internet,
    /// The admin networks.
    Admin,
    /// The private networks.
    Private,
    /// The hosts of a role, by their addresses on the network that both share.
    Role(RoleName),
}

/// One dedicated server.
#[derive(Debug, Clone, Serialize, schemars::JsonSchema)]
pub struct Host {
    /// Its name, unique over all environments.
    pub name: HostName,
    /// Environment of the host.
    pub environment: Environment,
    /// Addresses that the internet routes.
    pub public: Vec<Address>,
    /// Addresses on private networks.
    pub private: Vec<Address>,
    /// Port of its sshd; 22 unless declared.
    pub ssh_port: Port,
    /// The host through which it is reached.
    pub jump: Option<HostName>,
    /// Roles of the host.
    pub roles: BTreeSet<RoleName>,
    /// Provider that rents it out, in lower case: `ovh`.
    pub provider: String,
    /// The provider's name of the data centre: `gra3`.
    pub datacenter: String,
    /// ISO 3166-1 alpha-2: `FR`.
    pub country: String,
    /// The host whose data it replicates.
    pub replica_of: Option<HostName>,
    /// Way in which its encrypted root is opened at boot.
    pub unlock: Option<Unlock>,
}

impl Host {
    /// Where palisade connects: the first public address, else the first private one.
    pub fn address(&self) -> Option<Address> {
        self.public.first().or_else(|| self.private.first()).copied()
    }

    /// All addresses, public ones first.
    pub fn addresses(&self) -> impl Iterator<Item = Address> + '_ {
        self.public.iter().chain(&self.private).copied()
    }
}
