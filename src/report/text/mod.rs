//! Pages for a terminal. Styles are ANSI; the printer strips them where they are not wanted.

mod block;
mod enrolment;
mod evidence;
mod hints;
mod installation;
mod judged;
mod plan;

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
        }
    }
}
