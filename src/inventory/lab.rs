//! The marker that a lab leaves in the project it writes: which subnets are its own. It allows one thing alone,
//! rollback timeouts of seconds, and only while every host lies in those subnets.

use crate::domain::{Address, Cidr};
use crate::source::{Document, Refusals, Report};

/// Where the marker stands within a project.
pub const LAB_FILE: &str = "inventories/lab.yaml";

/// What a lab says about the project that it wrote.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, schemars::JsonSchema, serde::Deserialize)]
pub struct LabMarker {
    /// The lab's own subnets.
    pub subnets: Vec<Cidr>,
}

impl LabMarker {
    /// Reads the marker.
    pub fn parse(bytes: &[u8]) -> Result<Self, Refusals> {
        let report = Report::new();
        let document = Document::read(LAB_FILE, bytes, &report);
        let marker = document.as_ref().and_then(|document| {
            let map = document.shaped(&super::shapes::LAB, &report)?.map()?;
            let subnets = super::parts::networks(&map.required("subnets")?);
            Some(Self { subnets: subnets.into_iter().map(|found| found.it).collect() })
        });
        report.finish(marker)
    }

    /// Whether `address` is the lab's own.
    pub fn holds(&self, address: Address) -> bool {
        self.subnets.iter().any(|subnet| subnet.contains(address))
    }
}
