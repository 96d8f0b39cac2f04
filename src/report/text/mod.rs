//! Pages for a terminal. Styles are ANSI; the printer strips them where they are not wanted.

mod block;
mod calendar;
mod checked;
mod diff;
mod enrolment;
mod evidence;
mod hints;
mod installation;
mod inventory;
mod judged;
mod plan;
mod release;
mod releases;
mod runs;
mod status;
mod table;

use std::fmt::Write as _;
use std::io;

pub use hints::hints;

use super::{Page, Renderer, View};

/// The format for people.
#[derive(Debug, Clone, Copy)]
pub struct Text {
    /// The layout.
    pub view: View,
}

impl Renderer for Text {
    fn render(&self, page: &Page<'_>, out: &mut dyn io::Write) -> io::Result<()> {
        out.write_all(self.words(page)?.as_bytes())
    }
}

impl Text {
    /// The page as text.
    pub fn words(&self, page: &Page<'_>) -> io::Result<String> {
        let view = self.view;
        match page {
            Page::Run(report, depth) => match report.head.verb.as_str() {
                "audit" => judged::audit(report, view),
                "plan" => plan::plan(report, view, *depth),
                "patch" => installation::installation(report),
                "enrol" => enrolment::enrolment(report, view),
                _ => judged::change(report, view),
            },
            Page::Scripts(_, parts) => Ok(plan::scripts(parts)),
            Page::Diff(compared) => Ok(diff::diff(compared, view)),
            Page::Runs(runs) => Ok(runs::runs(runs)),
            Page::Inventory(inventory) => Ok(inventory::inventory(inventory)),
            Page::Calendar(calendar) => Ok(calendar::calendar(calendar)),
            Page::Status(status) => Ok(status::status(status)),
            Page::Checked(checked) => Ok(checked::checked(checked)),
            Page::Planned(release) => Ok(release::planned(release, view)),
            Page::Shown(shown) => Ok(release::shown(shown, view)),
            Page::Approved(approved) => Ok(release::approved(approved, view)),
            Page::Announced(announced) => Ok(release::announced(announced)),
            Page::Unlocked(_) | Page::Failed(_) => Ok(String::new()),
            Page::Retired(hosts) => Ok(hosts.iter().fold(String::new(), |mut text, host| {
                let _ = writeln!(text, "{host}: its pinned keys and its identity are removed");
                text
            })),
            Page::Releases(releases) => Ok(releases::releases(releases, view)),
        }
    }
}
