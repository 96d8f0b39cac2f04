//! What all chapters share: the lab, where moments go, and what was seen. A step that was not seen ends the demo.

use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use super::moment::{DemoError, Moment, Tell};
use crate::lab::Lab;

/// What all chapters share.
pub(super) struct Teller<'a> {
    pub(super) lab: &'a Lab,
    pub(super) tell: Tell<'a>,
    pub(super) seen: &'a mut Vec<String>,
}

impl Teller<'_> {
    pub(super) fn chapter(&self, number: usize, title: &'static str, says: &str) {
        (self.tell)(Moment::Chapter { number, title, says });
    }

    /// Holds what was seen against what was to be seen.
    pub(super) fn see(
        &mut self,
        true_: bool,
        wanted: &str,
        found: impl FnOnce() -> String,
    ) -> Result<(), DemoError> {
        if !true_ {
            return Err(DemoError::NotSeen { wanted: wanted.to_owned(), found: found() });
        }
        (self.tell)(Moment::Seen(wanted));
        self.seen.push(wanted.to_owned());
        Ok(())
    }
}

/// Whether this machine can open a connection to the host, on its public address.
pub(super) fn reachable(lab: &Lab, host: &str, port: u16) -> Result<bool, DemoError> {
    let Some(address) = lab.host(host)?.public_address() else { return Ok(false) };
    Ok(TcpStream::connect_timeout(&SocketAddr::new(address.ip(), port), Duration::from_secs(2)).is_ok())
}
