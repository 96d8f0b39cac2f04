//! Where the lab's fault tests stop a change, so that something can be done to it at an exact moment. Only a project that
//! a lab wrote may ask for it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::event::Stage;
use crate::resource::Phase;

/// Where a lab's fault tests hold a change: before a part of a phase, as long as a file exists. That it was reached is
/// shown by a file beside it, with `.reached` behind its name.
#[derive(Debug, Clone)]
pub struct Breakpoints {
    places: Vec<Breakpoint>,
}

#[derive(Debug, Clone)]
struct Breakpoint {
    stage: String,
    /// None for any.
    phase: Option<Phase>,
    file: PathBuf,
}

impl Breakpoints {
    /// `[widen.|narrow.|package.]STAGE:FILE`, several separated by commas.
    pub fn parse(text: &str) -> Option<Self> {
        text.split(',').map(Breakpoint::parse).collect::<Option<_>>().map(|places| Self { places })
    }

    /// The file that holds `stage` of `phase`.
    pub(in crate::fleet) fn at(&self, phase: Phase, stage: Stage) -> Option<&Path> {
        let here = |place: &&Breakpoint| {
            place.stage == stage.as_str() && place.phase.is_none_or(|wanted| wanted == phase)
        };
        self.places.iter().find(here).map(|place| place.file.as_path())
    }
}

impl Breakpoint {
    fn parse(text: &str) -> Option<Self> {
        let (place, file) = text.split_once(':')?;
        let (phase, stage) = match place.split_once('.') {
            None => (None, place),
            Some(("package", stage)) => (Some(Phase::Package), stage),
            Some(("widen", stage)) => (Some(Phase::Widen), stage),
            Some(("narrow", stage)) => (Some(Phase::Narrow), stage),
            Some(_) => return None,
        };
        Some(Self { stage: stage.to_owned(), phase, file: PathBuf::from(file) })
    }
}

#[expect(clippy::disallowed_methods, reason = "a lab's fault tests hold a change by a file")]
pub(in crate::fleet) async fn wait_at(file: &Path) {
    let mut reached = file.as_os_str().to_owned();
    reached.push(".reached");
    let _ = std::fs::write(&reached, b"");
    while file.exists() {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hold_names_stages_phases_and_files() {
        let hold = Breakpoints::parse("narrow.arming:/tmp/a,verifying:/tmp/b").unwrap();
        assert_eq!(hold.at(Phase::Narrow, Stage::Arming), Some(Path::new("/tmp/a")));
        assert_eq!(hold.at(Phase::Widen, Stage::Arming), None);
        assert_eq!(hold.at(Phase::Widen, Stage::Verifying), Some(Path::new("/tmp/b")));
        assert!(Breakpoints::parse("later.arming:/tmp/a").is_none());
        assert!(Breakpoints::parse("arming").is_none());
    }
}
