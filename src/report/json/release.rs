//! Releases, approvals and notices as JSON documents.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::domain::{Environment, ReleaseId, UserName};
use crate::release::Release;
use crate::release::notice::Notice;
use crate::report::{Announced, Approved, Shown};

/// A release that was planned.
#[derive(Serialize, schemars::JsonSchema)]
pub(super) struct PlannedDocument<'a> {
    /// The release.
    release: &'a Release,
    /// Path of its file in the project.
    file: String,
}

/// A release, and who signed it.
#[derive(Serialize, schemars::JsonSchema)]
pub(super) struct ShownDocument<'a> {
    /// The release.
    release: &'a Release,
    /// Account that planned and signed it.
    signed_by: &'a UserName,
    /// Account that approved it, by environment; none where nobody did.
    approved_by: &'a BTreeMap<Environment, Option<UserName>>,
}

/// A release that is signed for an environment.
#[derive(Serialize, schemars::JsonSchema)]
pub(super) struct ApprovedDocument<'a> {
    /// Name of the release.
    release: &'a ReleaseId,
    /// The environment.
    environment: Environment,
    /// Account that signed.
    by: &'a UserName,
    /// False where it was signed before.
    signed: bool,
    /// Path of the signature in the project, where it was signed now.
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<&'a str>,
}

/// A notice of a maintenance.
#[derive(Serialize, schemars::JsonSchema)]
pub(super) struct AnnouncedDocument<'a> {
    /// The notice, as it is recorded.
    notice: &'a Notice,
    /// False where it was sent before.
    sent: bool,
    /// Path of the record in the project.
    record: &'a str,
}

impl<'a> PlannedDocument<'a> {
    /// Of a release.
    pub(super) fn of(release: &'a Release) -> Self {
        Self { release, file: Release::path(&release.id) }
    }
}

impl<'a> ShownDocument<'a> {
    /// Of a release.
    pub(super) fn of(shown: &Shown<'a>) -> Self {
        Self { release: shown.release, signed_by: shown.by, approved_by: shown.approvals }
    }
}

impl<'a> ApprovedDocument<'a> {
    /// Of an approval.
    pub(super) fn of(approved: &Approved<'a>) -> Self {
        let Approved { release, environment, by, file } = approved;
        let (environment, file) = (*environment, *file);
        Self { release: &release.id, environment, by, signed: file.is_some(), file }
    }
}

impl<'a> AnnouncedDocument<'a> {
    /// Of a notice.
    pub(super) fn of(announced: &Announced<'a>) -> Self {
        Self { notice: announced.notice, sent: announced.mail.is_some(), record: announced.record }
    }
}
