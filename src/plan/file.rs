//! The plans of a run as a file, and whether it may be applied still.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::host::HostPlan;
use crate::domain::{Digest, Environment};

/// The plans of a run, as a file that `apply --plan` takes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// Version of this format; 1.
    pub schema: u32,
    /// palisade's version.
    pub tool: String,
    /// The environment.
    pub environment: Environment,
    /// When it was made.
    pub made: Timestamp,
    /// Digest of the inventory, playbooks and templates that it was made from.
    pub inputs: Digest,
    /// One for each host that answered.
    pub hosts: Vec<HostPlan>,
    /// SHA-256 of all the above.
    pub hash: Digest,
}

/// Most hours between a plan and its apply.
pub const PLAN_LIFETIME_HOURS: i64 = 24;

/// Why a plan file is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Stale {
    /// Edited, truncated, or from another version of the format.
    #[error("the plan's hash does not match what it holds")]
    Hash,
    /// The inventory changed since.
    #[error("the plan was made from another state of the inventory, playbooks or templates")]
    Inputs,
    /// Made by another version of palisade.
    #[error("the plan was made by palisade {0}")]
    Tool(String),
    /// Older than [`PLAN_LIFETIME_HOURS`].
    #[error("the plan is older than {PLAN_LIFETIME_HOURS} hours")]
    Old,
    /// Its time lies ahead.
    #[error("the plan was made in the future, by this machine's clock")]
    Early,
}

impl Plan {
    /// Of these hosts, with its hash.
    pub fn new(
        tool: &str,
        environment: Environment,
        made: Timestamp,
        inputs: Digest,
        hosts: Vec<HostPlan>,
    ) -> Self {
        let mut plan = Self {
            schema: 1,
            tool: tool.to_owned(),
            environment,
            made,
            inputs,
            hosts,
            hash: Digest::of(b""),
        };
        plan.hash = plan.digest();
        plan
    }

    fn digest(&self) -> Digest {
        let body = (self.schema, &self.tool, self.environment, self.made, &self.inputs, &self.hosts);
        Digest::of(serde_json::to_string(&body).unwrap_or_default().as_bytes())
    }

    /// Whether it may be applied now, by this version, from these inputs.
    pub fn fresh(&self, tool: &str, inputs: &Digest, now: Timestamp) -> Result<(), Stale> {
        if self.hash != self.digest() {
            return Err(Stale::Hash);
        }
        if self.tool != tool {
            return Err(Stale::Tool(crate::text::excerpt(&self.tool, 40)));
        }
        if self.inputs != *inputs {
            return Err(Stale::Inputs);
        }
        let age = now.as_second().saturating_sub(self.made.as_second());
        if age < -300 {
            return Err(Stale::Early);
        }
        if age > PLAN_LIFETIME_HOURS * 3600 {
            return Err(Stale::Old);
        }
        Ok(())
    }

    /// How many hosts would change.
    pub fn work(&self) -> usize {
        self.hosts.iter().filter(|plan| !plan.is_empty()).count()
    }

    /// Whether any host would change.
    pub fn is_empty(&self) -> bool {
        self.hosts.iter().all(HostPlan::is_empty)
    }
}
