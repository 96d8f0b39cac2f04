//! Whether the key that a host shows at first contact may be trusted.

use super::Refusal;
use crate::domain::{Fingerprint, HostName, PublicKey};
use crate::known_hosts::{Judgement, KnownHosts};

/// What is to be done about a shown key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trust {
    /// It is pinned for the host.
    Pinned,
    /// A person gave its fingerprint.
    Confirmed,
    /// Only a person can say.
    Ask,
}

/// Decides about `shown`. `given` are the fingerprints that a person gave for the host beforehand; `replace` allows
/// another key than the pinned one, and then a fingerprint is asked for in every case.
pub fn trust(
    known: &KnownHosts,
    host: &HostName,
    shown: &PublicKey,
    given: &[Fingerprint],
    replace: bool,
) -> Result<Trust, Refusal> {
    let print = shown.fingerprint();
    let judgement = known.judge(host.as_str(), shown);
    if judgement == Judgement::Revoked {
        return Err(Refusal::new(
            format!("it shows a key that is marked revoked: {print}"),
            "find out who answers there; a new host key is made with `ssh-keygen -A` after removing the old ones",
        ));
    }
    if let Some(other) = known
        .entries()
        .iter()
        .find(|entry| !entry.revoked && entry.key == *shown && !entry.names(host.as_str()))
    {
        return Err(Refusal::new(
            format!(
                "its key is pinned for another host already (line {} of known_hosts): {print}",
                other.line
            ),
            "check the address in the inventory; if it is a copy of that host, make it new host keys; if it was \
             renamed, `palisade retire` the old name first",
        ));
    }
    if !given.is_empty() && !given.contains(&print) {
        let list: Vec<&str> = given.iter().map(Fingerprint::as_str).collect();
        return Err(Refusal::new(
            format!("it shows {print}, not the given {}", list.join(" or ")),
            "compare with `ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub` on its console; if that is what it has, \
             the given one is wrong, else somebody else answers there",
        ));
    }
    match judgement {
        Judgement::Changed if !replace => Err(Refusal::new(
            format!("it shows another key than the pinned one: {print}"),
            format!(
                "if it was installed anew, run `palisade enrol` with --replace {host}; else do not connect"
            ),
        )),
        Judgement::Accepted if !replace => Ok(Trust::Pinned),
        _ if !given.is_empty() => Ok(Trust::Confirmed),
        _ => Ok(Trust::Ask),
    }
}
