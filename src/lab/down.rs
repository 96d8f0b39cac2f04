//! Finding labs again, and taking them down: by whom they were made, when their value is dropped, and where the process
//! that made them is gone.

use super::attached::Lab;
use super::error::LabError;
use super::event::{LabEvent, Sink, silent};
use super::folder::LabFolder;
use super::record::LabRecord;
use super::{switch, tree};

impl LabFolder {
    /// Takes down what labs left behind whose process is gone, and says which they were.
    pub fn sweep(&self, sink: Sink) -> Result<Vec<LabRecord>, LabError> {
        let _lock = self.lock()?;
        let mut swept = Vec::new();
        for record in self.records().into_iter().filter(LabRecord::is_left) {
            sink(&LabEvent::Sweeping(record.id.clone()));
            Lab::attach(self, record.clone()).down(&silent)?;
            swept.push(record);
        }
        Ok(swept)
    }

    /// All labs that are there.
    pub fn all(&self) -> Result<Vec<Lab>, LabError> {
        self.records().iter().map(|record| self.find(Some(record.id.as_str()))).collect()
    }

    /// The lab with this name or id, or the only one that is there.
    pub fn find(&self, name: Option<&str>) -> Result<Lab, LabError> {
        let mut records = self.records();
        let wanted = match name {
            Some(name) => records.iter().position(|record| record.is_called(name)),
            None => (records.len() == 1).then_some(0),
        };
        match wanted {
            Some(at) => Ok(Lab::attach(self, records.remove(at))),
            None if records.is_empty() => Err(LabError::NoLab),
            None => {
                let there = records.into_iter().map(|record| record.name).collect();
                Err(LabError::WhichLab { asked: name.map(str::to_owned), there })
            }
        }
    }
}

impl Lab {
    /// Takes it down: processes, networks, files.
    pub fn down(mut self, sink: Sink) -> Result<(), LabError> {
        sink(&LabEvent::TakingDown(self.record.id.clone()));
        self.ends_with_us = false;
        self.remove()
    }

    fn remove(&self) -> Result<(), LabError> {
        let mut first_error = None;
        for host in self.hosts() {
            if let Err(why) = host.power_off() {
                first_error.get_or_insert(why);
            }
        }
        if let Err(why) = switch::remove(&self.record) {
            first_error.get_or_insert(why);
        }
        match first_error {
            // the record stays, so that the next attempt finds what is left
            Some(why) => Err(why),
            None => tree::remove_tree(&self.folder),
        }
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if self.ends_with_us {
            // nobody is left to tell; what stays is swept by the next lab
            drop(self.remove());
        }
    }
}
