//! Pages as one JSON document each. The documents are types, from which their JSON Schemas follow.

mod run;

use std::io;

use serde::Serialize;

use super::{Page, Renderer, Report};

/// The format for programs.
#[derive(Debug, Clone, Copy)]
pub struct Json;

impl Renderer for Json {
    fn render(&self, page: &Page<'_>, out: &mut dyn io::Write) -> io::Result<()> {
        match page {
            Page::Run(report, _) | Page::Scripts(report, _) => run(report, out),
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
