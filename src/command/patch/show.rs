//! `palisade patch show`: a release for people, and who signed it.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::signed::{Signed, approval, read_signed};
use crate::command::Common;
use crate::domain::{Environment, ReleaseId};
use crate::failure::Failure;
use crate::project::Project;
use crate::report::{Page, Shown};
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
    printer.show(&Page::Shown(&Shown { release: &release, by: &by, approvals: &approvals }))?;
    Ok(0)
}
