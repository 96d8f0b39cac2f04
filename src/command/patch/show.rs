//! `palisade patch show`: a release for people, and who signed it.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use comfy_table::{Table, presets};
use jiff::Timestamp;
use serde_json::json;

use super::signed::{Signed, approval, read_signed};
use crate::command::Common;
use crate::domain::{Environment, HostName, ReleaseId};
use crate::failure::Failure;
use crate::project::Project;
use crate::release::{Release, Set};
use crate::text::{excerpt, visible};
use crate::ui::Printer;

pub(super) fn show(
    id: Option<&ReleaseId>,
    common: &Common,
    now: Timestamp,
    printer: Printer,
) -> Result<u8, Failure> {
    let project = Project::read(&common.project)?;
    let signed = read_signed(&project, id, now)?;
    let mut approvals = BTreeMap::new();
    for environment in [Environment::Test, Environment::Prod] {
        let by = approval(&project, &signed, environment, now)?.map(|(by, _)| by);
        approvals.insert(environment, by);
    }
    let Signed { release, by, .. } = signed;
    printer.text(&words(&release, printer.volume() >= crate::ui::Volume::Verbose))?;
    printer.text(&format!("\nplanned and signed by {by}\n"))?;
    for (environment, by) in &approvals {
        printer.text(&match by {
            Some(by) => format!("approved for {environment} by {by}\n"),
            None => format!("not approved for {environment}\n"),
        })?;
    }
    printer.json(&json!({"release": release, "signed_by": by, "approved_by": approvals}))?;
    Ok(0)
}

/// A release for people; with every SHA-256 where `whole`.
pub(in crate::command) fn words(release: &Release, whole: bool) -> String {
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
        table.load_style(presets::NOTHING).set_header(["PACKAGE", "FROM", "TO", "ORIGIN", "SIZE", "ROLES"]);
        for (name, package) in &set.packages {
            let from = listed(package.from.iter().map(crate::domain::PackageVersion::as_str).collect());
            let roles = listed(package.roles.iter().map(crate::domain::RoleName::as_str).collect());
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
        for line in table.to_string().lines() {
            let _ = writeln!(text, " {}", line.trim_end());
        }
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
        ("restarts", set.restarts.iter().map(crate::domain::UnitName::as_str).collect::<Vec<_>>()),
        ("asks for a reboot", set.reboot().into_iter().map(crate::domain::PackageName::as_str).collect()),
        ("held, and left as they are", set.held.iter().map(crate::domain::PackageName::as_str).collect()),
        (
            "kept back, since others would have to go",
            set.kept_back.iter().map(crate::domain::PackageName::as_str).collect(),
        ),
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
