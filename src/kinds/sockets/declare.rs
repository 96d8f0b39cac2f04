//! How a playbook declares the kind `sockets`.

use std::collections::BTreeSet;

use super::{Endpoint, Sockets};
use crate::domain::Protocol;
use crate::resource::declare::{needed, says};
use crate::resource::{Declare, Unresolved};
use crate::scope::Scope;
use crate::source::Map;
use crate::source::shape::{Field, Shape, required};

impl Declare for Sockets {
    type Spec = ();

    const ABOUT: &'static str = "Who listens beyond loopback is what the listeners declare.";

    const FIELDS: &'static [Field] = &[required("expected", Shape::Word(&["listeners"]), "Who may.")];

    fn parse(map: &Map<'_>) -> Option<()> {
        says(map, "expected", "listeners").then_some(())
    }

    fn resolve((): &(), scope: Option<&Scope<'_>>) -> Result<Vec<Self>, Unresolved> {
        let scope = needed(scope, "the declared listeners")?;
        let ssh = Endpoint { protocol: Protocol::Tcp, port: scope.inputs.host.ssh_port };
        let listeners = scope
            .listeners()
            .map(|(_, listener)| Endpoint { protocol: listener.protocol, port: listener.port });
        let expected: BTreeSet<Endpoint> = [ssh].into_iter().chain(listeners).collect();
        Ok(vec![Self { expected: expected.into_iter().collect() }])
    }
}
