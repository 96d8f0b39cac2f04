//! A small fleet for those who bring none of their own. Pure.

use std::fmt::Write as _;

use super::error::LabError;
use crate::inventory::{self, Fleet};
use crate::source::Sources;

const SHARED: &str = "\
company: Practice
people:
  alice:
    name: Alice Martin
    title: Practises
    approver: true
    keys: [\"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILwP1P1Hiw0ZUVcnjZT1H1dzmWOnYNk8w7HnOEPaqMrs alice\"]
    access: [test]
";

const ENVIRONMENT: &str = "\
environment: test
networks: {admin: [192.0.2.1], private: [10.0.0.0/24]}
roles:
  web: {listeners: [{name: https, port: 443, from: internet}]}
hosts:
";

/// `count` web servers (`host-1` …) in the environment `test`, and one person, `alice`. Addresses and keys have no
/// meaning but their number: a lab replaces them ([`super::Spec::copy_of`]).
pub fn practice_fleet(count: u8) -> Result<Fleet, LabError> {
    let mut environment = ENVIRONMENT.to_owned();
    for number in 1..=count {
        let last = u16::from(number) + 1;
        let _ = writeln!(
            environment,
            "  host-{number}: {{addresses: {{public: [192.0.2.{last}, \"2001:db8::{last:x}\"], private: [10.0.0.{last}]}}, \
             roles: [web], provider: lab, datacenter: here, country: FR}}"
        );
    }
    let sources =
        Sources::new().with("inventories/fleet.yaml", SHARED).with("inventories/test.yaml", environment);
    inventory::parse(&sources).map_err(|refusals| LabError::Spec { why: refusals.annotated(false) })
}

#[cfg(test)]
mod tests {
    use super::super::spec::{Spec, Suites};
    use super::*;

    #[test]
    fn the_practice_fleet_is_a_fleet_whatever_its_size() {
        for count in [1, 3, 200] {
            let fleet = practice_fleet(count).expect("a fleet");
            let spec = Spec::copy_of(&fleet, Suites::InTurn).expect("a lab");
            assert_eq!(spec.hosts.len(), usize::from(count));
        }
    }
}
