//! The installation of a release for a terminal: what it did on each host, in the inventory's order.

use std::fmt::Write as _;
use std::io;

use super::evidence::evidence;
use crate::domain::{Environment, UnitName};
use crate::record::{HostEntry, HostResult, HostState, Installed};
use crate::report::Report;
use crate::text::visible;

/// Every host's part of the installation.
pub(super) fn installation(report: &Report) -> io::Result<String> {
    let environment = report.head.environment.map_or("this machine", Environment::as_str);
    let mut text = match &report.head.release {
        Some(release) => format!("Release {} in {environment}\n", release.id),
        None => format!("A release in {environment}\n"),
    };
    report.hosts().each(&mut |host| {
        if let HostEntry::Installed(result, installed) = host {
            one(&mut text, result, installed);
        }
        Ok(())
    })?;
    evidence(&mut text, report);
    Ok(text)
}

fn one(text: &mut String, result: &HostResult, installed: &Installed) {
    let _ = match &result.state {
        HostState::Answered => writeln!(text, "  {}: completed already", result.host),
        HostState::Changed => writeln!(text, "  {}: completed", result.host),
        state => writeln!(text, "  {}: {}: {}", result.host, state.word(), visible(state.reason())),
    };
    let units = |units: &[UnitName]| units.iter().map(ToString::to_string).collect::<Vec<_>>();
    let mut more = |title: &str, items: Vec<String>| {
        if !items.is_empty() {
            let _ = writeln!(text, "    {title}: {}", visible(&items.join(", ")));
        }
    };
    let packages = installed.packages.iter().map(|(name, version)| format!("{name} {version}")).collect();
    more("packages", packages);
    more("restarted", units(&installed.restarted));
    more("rebooted, asked for by", installed.rebooted.iter().cloned().collect());
    more("need a restart, and no release restarts them (release.deny_restart)", units(&installed.denied));
    more("held, and left", installed.held.iter().map(ToString::to_string).collect());
    more("newer already, and left", installed.newer.iter().map(ToString::to_string).collect());
    more("still run replaced files until a reboot", units(&installed.until_reboot));
    more("changed here, and kept; the package's own lies at", installed.conffiles.clone());
}
