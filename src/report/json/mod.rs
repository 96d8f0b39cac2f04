//! Pages as one JSON document each. The documents are types, from which their JSON Schemas follow.

mod calendar;
mod checked;
mod diff;
mod failed;
mod hosts;
mod inventory;
mod release;
mod releases;
mod run;
mod runs;
mod schema;
mod status;

use std::io;

use serde::Serialize;

pub use schema::Output;

use super::{Page, Renderer, Report};

/// The format for programs.
#[derive(Debug, Clone, Copy)]
pub struct Json;

impl Renderer for Json {
    fn render(&self, page: &Page<'_>, out: &mut dyn io::Write) -> io::Result<()> {
        match page {
            Page::Run(report, _) | Page::Scripts(report, _) => run(report, out),
            Page::Diff(compared) => write(&diff::DiffDocument::of(compared), out),
            Page::Runs(runs) => write(&runs::RunsDocument::of(runs), out),
            Page::Inventory(inventory) => write(&inventory::InventoryDocument::of(inventory), out),
            Page::Calendar(calendar) => write(&calendar::CalendarDocument::of(calendar), out),
            Page::Status(status) => write(&status::StatusDocument::of(status), out),
            Page::Checked(checked) => write(&checked::CheckDocument::of(checked), out),
            Page::Planned(release) => write(&release::PlannedDocument::of(release), out),
            Page::Shown(shown) => write(&release::ShownDocument::of(shown), out),
            Page::Approved(approved) => write(&release::ApprovedDocument::of(approved), out),
            Page::Announced(announced) => write(&release::AnnouncedDocument::of(announced), out),
            Page::Unlocked(unlocked) => write(&hosts::UnlockDocument::of(unlocked), out),
            Page::Retired(retired) => write(&hosts::RetireDocument::of(retired), out),
            Page::Failed(failed) => write(&failed::FailureDocument::of(failed), out),
            Page::Releases(releases) => write(&releases::ReleasesDocument::of(releases), out),
        }
    }
}

fn run(report: &Report, out: &mut dyn io::Write) -> io::Result<()> {
    match report.head.verb.as_str() {
        "enrol" => write(&run::EnrolDocument::of(report), out),
        "patch" => write(&run::InstallDocument::of(report), out),
        _ => write(&run::RunDocument::of(report), out),
    }
}

/// Writes a document while it is made, so that none has to be held whole.
fn write(document: &impl Serialize, out: &mut dyn io::Write) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *out, document)?;
    out.write_all(b"\n")
}
