//! As whom, and with which pins, the hosts of a run are reached.

use std::sync::Arc;
use std::time::Duration;

use crate::domain::UserName;
use crate::inventory::Route;
use crate::known_hosts::KnownHosts;
use crate::transport::{HostKeys, Identity, Jump, Target};

/// One account over all hosts, jump hosts included.
#[derive(Debug, Clone)]
pub struct Access {
    /// The account.
    pub user: UserName,
    /// What may prove it.
    pub identity: Identity,
    /// The pinned host keys.
    pub pins: Arc<KnownHosts>,
    /// For TCP, handshake and authentication together.
    pub connect_timeout: Duration,
}

impl Access {
    /// Where to connect for the host at the end of `way`.
    pub fn target(&self, way: &Route<'_>) -> Target {
        let jumps = way
            .over
            .iter()
            .map(|(host, address)| Jump {
                host: host.name.clone(),
                address: *address,
                port: host.ssh_port,
                user: self.user.clone(),
                identity: self.identity.clone(),
                host_keys: HostKeys::Pinned(Arc::clone(&self.pins)),
            })
            .collect();
        Target {
            host: way.host.name.clone(),
            address: way.address,
            port: way.host.ssh_port,
            user: self.user.clone(),
            identity: self.identity.clone(),
            jumps,
            fresh_jumps: false,
            shared: false,
            host_keys: HostKeys::Pinned(Arc::clone(&self.pins)),
            connect_timeout: self.connect_timeout,
        }
    }
}
