//! What hosts of the environment before have installed of a release, so that no host gets what nobody tried. Pure.

use super::standing::{LIBRARY, pairs};
use super::upgrades::looked;
use crate::domain::{PackageName, PackageVersion, ReleaseId};
use crate::resource::{Reading, parts};
use crate::shell::{Arg, Frame, Question, Script};

/// Asks a host what it has installed of `release`, as its unit wrote it down.
pub fn question(release: &ReleaseId) -> Question {
    let body = Script::new().text(LIBRARY).text(parts::PART).call("palisade_use", [Arg::from(release)]).text(
        r#"palisade_seen() {
  if [ -e "$palisade_folder/installed" ]; then cat "$palisade_folder/installed" || return; fi
  printf 'looked\n'
}
palisade_part installed palisade_seen"#,
    );
    Question { label: "installed", body: body.into(), seconds: 20, cap: 1 << 20 }
}

/// The answer; nothing where nothing of it was installed there.
pub fn read(frame: &Frame) -> Reading<Vec<(PackageName, PackageVersion)>> {
    pairs(&looked(&parts::succeeded(frame, "installed")?)?)
}
