//! Two transports as one: each host by the one that was chosen for it.

use std::collections::{BTreeMap, BTreeSet};

use futures::future::BoxFuture;

use super::{Connector, OpensshConnector, RusshConnector, Session, Target, TransportError};
use crate::domain::HostName;

/// Opens connections by ssh(1) to some hosts, within this process to the others.
pub struct EitherConnector {
    russh: RusshConnector,
    openssh: OpensshConnector,
    by_ssh: BTreeSet<HostName>,
}

impl EitherConnector {
    /// By ssh(1) to the hosts in `by_ssh`.
    pub fn new(russh: RusshConnector, openssh: OpensshConnector, by_ssh: BTreeSet<HostName>) -> Self {
        Self { russh, openssh, by_ssh }
    }
}

impl Connector for EitherConnector {
    fn connect<'a>(&'a self, target: &'a Target) -> BoxFuture<'a, Result<Box<dyn Session>, TransportError>> {
        if self.by_ssh.contains(&target.host) {
            self.openssh.connect(target)
        } else {
            self.russh.connect(target)
        }
    }

    fn connections(&self) -> BTreeMap<HostName, u32> {
        let mut all = self.russh.connections();
        for (host, connections) in self.openssh.connections() {
            *all.entry(host).or_default() += connections;
        }
        all
    }
}
