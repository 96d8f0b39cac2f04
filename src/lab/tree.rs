//! Removing what a lab left on this machine.

use std::path::Path;

use super::error::LabError;
use super::invocation::Invocation;
use crate::program::Program;

/// Removes a folder and all below it, if it is there. It stays within its file system: what is mounted below is
/// not ours to empty.
pub(super) fn remove_tree(folder: &Path) -> Result<(), LabError> {
    if folder.exists() {
        Invocation::of(Program::Rm).args(["-rf", "--one-file-system", "--"]).arg(folder).run()?;
    }
    Ok(())
}
