//! Programs that run with more rights than whoever starts them, as a host has them.

use serde::Serialize;

/// What the host says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Answer {
    /// Programs that lend rights.
    pub programs: Vec<Program>,
    /// What everyone may write.
    pub writable: Vec<String>,
}

/// A program that runs with more rights than whoever starts it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Program {
    /// Its path.
    pub path: String,
    /// What it lends.
    pub lends: Lends,
    /// Who brought it.
    pub origin: Origin,
    /// Whether its content is no longer the package's.
    pub changed: bool,
}

/// The rights that a program lends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Lends {
    /// Its owner's or its group's.
    SetId {
        /// Its permission bits.
        mode: String,
        /// Its owner and group.
        owner: String,
    },
    /// These capabilities, by name.
    Capabilities(Vec<String>),
}

/// Who brought a program.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// This package.
    Package(String),
    /// No package.
    Nobody,
    /// No package: it stands where an administrator diverted a package's file away (`dpkg-divert --local`).
    Diverted,
    /// A package, under another name: it was diverted to this one.
    Renamed,
}
