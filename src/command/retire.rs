//! `palisade retire`: a host goes. Its pins and its identity are removed here; the host itself is not contacted.

use std::collections::BTreeSet;
use std::io::{self, IsTerminal as _};

use super::{Common, ask, checked};
use crate::domain::HostName;
use crate::failure::Failure;
use crate::known_hosts::{KnownHosts, unpin};
use crate::report::Page;
use crate::store::{Entries, Ledger, LedgerError};
use crate::text::nearest;
use crate::ui::Printer;

/// Forget hosts: remove their pinned keys and identities. Contacts nothing.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  palisade retire web-3\n  palisade retire web-3 db-3 --yes\n\n\
    Exit codes: 0 forgotten, 1 a file could not be written, 2 not enrolled, or not confirmed.")]
pub struct Args {
    /// Which hosts.
    #[arg(value_name = "HOST", required = true, value_parser = checked::<HostName>)]
    hosts: Vec<HostName>,
}

/// Runs the verb.
pub fn run(args: &Args, common: &Common, printer: &Printer) -> Result<u8, Failure> {
    let hosts: BTreeSet<&HostName> = args.hosts.iter().collect();
    let ledger = Ledger::new(&common.project);
    let entries = ledger.read().map_err(failure)?;
    let known = KnownHosts::parse(&entries.pins).map_err(|error| failure(error.into()))?;
    for host in &hosts {
        let pinned = known.entries().iter().any(|entry| !entry.revoked && entry.names(host.as_str()));
        if !pinned && !entries.identities.hosts.contains_key(*host) {
            let names = entries.identities.hosts.keys().map(HostName::as_str);
            let refused = Failure::refused(format!("{host} is not enrolled"));
            return Err(match nearest(host.as_str(), names) {
                Some(near) => refused.hint(format!("did you mean `{near}`?")),
                None => refused.hint("`palisade inventory ENV` shows which hosts are"),
            });
        }
    }
    let list: Vec<&str> = hosts.iter().map(|host| host.as_str()).collect();
    let list = list.join(", ");
    if !common.yes && !confirmed(&list)? {
        return Err(Failure::refused(format!("not confirmed; {list} stays enrolled"))
            .hint("type yes when asked, or pass --yes"));
    }
    let after = ledger
        .update(|entries| {
            let Entries { mut pins, mut identities } = entries;
            for host in &hosts {
                pins = unpin(&pins, host)?;
                identities.hosts.remove(*host);
            }
            Ok(Entries { pins, identities })
        })
        .map_err(failure)?;
    let known = KnownHosts::parse(&after.pins).map_err(|error| failure(error.into()))?;
    for host in &hosts {
        if !known.keys(host.as_str()).is_empty() {
            printer.insist(&format!("{host}: a line with a wildcard in known_hosts still pins a key for it"));
        }
    }
    printer.show(&Page::Retired(&hosts))?;
    printer.say(
        "The hosts themselves were not contacted: accounts, keys, firewall and recovery unit stay on them. Take them \
         out of the inventory, and erase their disks before they are given back.",
    );
    Ok(0)
}

/// Asks the person at the terminal; no where there is none.
fn confirmed(list: &str) -> Result<bool, Failure> {
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return Ok(false);
    }
    ask(&format!(
        "Forget {list}? To come back, a host must be enrolled again with its fingerprint. Type yes: "
    ))
}

fn failure(error: LedgerError) -> Failure {
    match error {
        LedgerError::Identities(refusals) => refusals.into(),
        LedgerError::Pins(_) => Failure::refused(error),
        LedgerError::File { .. } => Failure::from(anyhow::Error::new(error)),
    }
}
