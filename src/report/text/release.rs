//! A release for a terminal: what it holds, who signed it, and the notice of it.

use std::fmt::Write as _;

use comfy_table::Table;

use super::table::plain;
use crate::domain::{HostName, PackageName, PackageVersion, RoleName, UnitName};
use crate::release::{Release, Set};
use crate::report::{Announced, Approved, Shown, View};
use crate::text::{excerpt, visible};

/// A release that was planned.
pub(super) fn planned(release: &Release, view: View) -> String {
    words(release, view.all)
}

/// A release, and who signed it.
pub(super) fn shown(shown: &Shown<'_>, view: View) -> String {
    let mut text = words(shown.release, view.all);
    let _ = writeln!(text, "\nplanned and signed by {}", shown.by);
    for (environment, by) in shown.approvals {
        let _ = match by {
            Some(by) => writeln!(text, "approved for {environment} by {by}"),
            None => writeln!(text, "not approved for {environment}"),
        };
    }
    text
}

/// What was signed. Nothing where it was signed before.
pub(super) fn approved(approved: &Approved<'_>, view: View) -> String {
    if approved.file.is_some() { words(approved.release, view.all) } else { String::new() }
}

/// The mail that was sent. Nothing where it was sent before.
pub(super) fn announced(announced: &Announced<'_>) -> String {
    announced.mail.map_or_else(String::new, |mail| format!("{}\n\n{}", mail.subject, mail.text))
}

/// A release for people; with every SHA-256 where `whole`.
fn words(release: &Release, whole: bool) -> String {
    let mut text = format!(
        "Release {}, planned {} by {}\n",
        release.id,
        release.planned.strftime("%Y-%m-%d %H:%M UTC"),
        release.by
    );
    if let Some(reason) = &release.emergency {
        let _ = writeln!(text, "out of turn: {}", visible(reason));
    }
    for set in &release.sets {
        set_words(&mut text, set, whole);
    }
    text
}

fn set_words(text: &mut String, set: &Set, whole: bool) {
    let listed = |items: Vec<&str>| items.join(", ");
    let _ = writeln!(
        text,
        "\n{} {}, as {} would have it: {}, {}",
        set.distribution,
        set.architecture,
        listed(set.hosts.iter().map(HostName::as_str).collect()),
        if set.packages.len() == 1 {
            "1 package".to_owned()
        } else {
            format!("{} packages", set.packages.len())
        },
        bytes(set.size())
    );
    if !set.packages.is_empty() {
        let mut table = Table::new();
        table.set_header(["PACKAGE", "FROM", "TO", "ORIGIN", "SIZE", "ROLES"]);
        for (name, package) in &set.packages {
            let from = listed(package.from.iter().map(PackageVersion::as_str).collect());
            let roles = listed(package.roles.iter().map(RoleName::as_str).collect());
            table.add_row([
                name.to_string(),
                if from.is_empty() { "(new)".to_owned() } else { from },
                package.version.to_string(),
                excerpt(&package.origin, 40),
                bytes(u64::from(package.size)),
                if roles.is_empty() { "-".to_owned() } else { roles },
            ]);
            if whole {
                table.add_row([String::new(), package.sha256.to_string()]);
            }
        }
        text.push_str(&plain(table, 1));
    }
    for (name, reason) in set.local() {
        let _ = writeln!(text, "  no archive signs {name}: {}", visible(reason));
    }
    for archive in &set.archives {
        let _ = writeln!(
            text,
            "  signed by {}: {}, of {}",
            visible(&archive.origin),
            archive.suite,
            archive.date.strftime("%Y-%m-%d %H:%M UTC")
        );
    }
    for (title, items) in [
        ("restarts", set.restarts.iter().map(UnitName::as_str).collect::<Vec<_>>()),
        ("asks for a reboot", set.reboot().into_iter().map(PackageName::as_str).collect()),
        ("held, and left as they are", set.held.iter().map(PackageName::as_str).collect()),
        ("kept back, since others would have to go", set.kept_back.iter().map(PackageName::as_str).collect()),
    ] {
        if !items.is_empty() {
            let _ = writeln!(text, "  {title}: {}", items.join(", "));
        }
    }
}

fn bytes(count: u64) -> String {
    match count {
        0..1024 => format!("{count} B"),
        1024..1_048_576 => format!("{} KiB", count.div_ceil(1024)),
        _ => format!("{} MiB", count.div_ceil(1_048_576)),
    }
}
