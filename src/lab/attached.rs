//! One lab as this process holds it: its record, its folder, and whether it ends with the process.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::sync::Mutex;

use super::error::LabError;
use super::folder::LabFolder;
use super::record::LabRecord;

/// One lab.
#[derive(Debug)]
pub struct Lab {
    pub(super) place: LabFolder,
    pub(super) folder: PathBuf,
    pub(super) record: LabRecord,
    /// Those that this process started, to be waited for when they end.
    pub(super) supervisors: Mutex<BTreeMap<String, Child>>,
    /// Whether it is taken down when this value is dropped.
    pub(super) ends_with_us: bool,
}

impl Lab {
    /// The lab of `record`, which some process brought up.
    pub(super) fn attach(place: &LabFolder, record: LabRecord) -> Self {
        Self {
            place: place.clone(),
            folder: place.labs().join(record.id.as_str()),
            record,
            supervisors: Mutex::default(),
            ends_with_us: false,
        }
    }

    /// Its folder, which goes with it.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// What is written down about it.
    pub fn record(&self) -> &LabRecord {
        &self.record
    }

    /// Lets it stay after this process.
    pub fn keep(&mut self) -> Result<(), LabError> {
        self.ends_with_us = false;
        self.record.owner = None;
        self.record.write(&self.folder)
    }
}
