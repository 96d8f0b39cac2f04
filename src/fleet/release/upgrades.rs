//! What hosts would upgrade: one connection and one exec each. Nothing is installed, and no apt of a host's is touched.

use super::standing::Answers;
use crate::fleet::look::Answer;
use crate::fleet::{Job, Run};
use crate::release::upgrades::{self, Upgrades};

/// A host's distribution, and what it would upgrade.
pub type Surveyed = (String, Upgrades);

impl Run {
    /// What each host would upgrade, in the order of `jobs`.
    pub async fn upgrades(&self, jobs: &[Job]) -> Answers<Surveyed> {
        let questions = [upgrades::question()];
        let [question] = &questions;
        let read = |answer: &Answer<'_>| {
            if !answer.facts.dpkg_audit.is_empty() {
                return Err(format!("its packages first want repair: {}", answer.facts.dpkg_audit));
            }
            let upgrades = upgrades::read(&answer.to(question)?).map_err(|unread| unread.to_string())?;
            Ok((answer.facts.distribution.clone(), upgrades))
        };
        self.ask_each(jobs, &questions, read, |(_, upgrades)| {
            format!("{} to upgrade", upgrades.packages.len())
        })
        .await
    }
}
