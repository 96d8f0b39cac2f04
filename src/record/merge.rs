//! Records of the shards of one run made one record: parts of a fleet that several machines looked at, by the same
//! inventory, playbook and palisade. It decides what may be merged, and what the merged record says at its head.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::Serialize;

use super::{Counts, Footer, Header, RunRecord, Tally};
use crate::domain::{Digest, Identifier, UserName};

/// Verbs whose records are merged.
const MERGED: [&str; 3] = ["audit", "plan", "apply"];

/// A shard, as a line of the merged record names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Shard<'a> {
    /// Id of the shard's run.
    pub run: &'a Identifier,
    /// Account that ran it.
    pub by: Option<&'a UserName>,
    /// Machine on which it ran.
    pub from: &'a str,
    /// Time of its beginning.
    pub began: Timestamp,
    /// Time of its end.
    pub ended: Timestamp,
    /// Exit code of the shard's run.
    pub exit: u8,
    /// Digest of the shard's manifest.
    pub manifest: &'a Digest,
}

impl<'a> Shard<'a> {
    /// Of a run whose manifest has this digest.
    pub fn of(run: &'a RunRecord, manifest: &'a Digest) -> Self {
        let (header, end) = (&run.header, &run.end);
        Self {
            run: &header.run,
            by: header.by.as_ref(),
            from: &header.from,
            began: header.began,
            ended: end.ended,
            exit: end.exit,
            manifest,
        }
    }
}

/// Why records are not merged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unmergeable {
    /// Fewer than two.
    #[error("one record is no fleet in shards: name two or more")]
    Alone,
    /// A run whose record is not about verdicts.
    #[error("{run} is a run of `{verb}`: records of audits, plans and applies are merged")]
    Verb {
        /// The run.
        run: Identifier,
        /// Its verb.
        verb: String,
    },
    /// Two runs that differ in what they went by.
    #[error("{one} and {other} have not the same {what}")]
    Differs {
        /// The first run.
        one: Identifier,
        /// Another one.
        other: Identifier,
        /// The part that differs.
        what: String,
    },
    /// A host that two runs have.
    #[error("{host} is in {one} and in {other}")]
    Twice {
        /// The host.
        host: String,
        /// The first run that has it.
        one: Identifier,
        /// The second one.
        other: Identifier,
    },
}

/// The beginning of the merged record, under a run's id of its own.
pub fn merged_header(run: Identifier, shards: &[&Header]) -> Result<Header, Unmergeable> {
    let [first, others @ ..] = shards else { return Err(Unmergeable::Alone) };
    if others.is_empty() {
        return Err(Unmergeable::Alone);
    }
    if let Some(shard) = shards.iter().find(|shard| !MERGED.contains(&shard.verb.as_str())) {
        return Err(Unmergeable::Verb { run: shard.run.clone(), verb: shard.verb.clone() });
    }
    for other in others {
        if let Some(what) = difference(first, other) {
            return Err(Unmergeable::Differs { one: first.run.clone(), other: other.run.clone(), what });
        }
    }
    let mut whose: BTreeMap<&String, &Header> = BTreeMap::new();
    for shard in shards {
        for host in &shard.hosts {
            if let Some(one) = whose.insert(host, shard) {
                let (one, other) = (one.run.clone(), shard.run.clone());
                return Err(Unmergeable::Twice { host: host.clone(), one, other });
            }
        }
    }
    let by = shards.iter().all(|shard| shard.by == first.by).then(|| first.by.clone()).flatten();
    let from: BTreeSet<&str> = shards.iter().map(|shard| shard.from.as_str()).collect();
    Ok(Header {
        run,
        by,
        from: from.into_iter().collect::<Vec<_>>().join(", "),
        began: shards.iter().map(|shard| shard.began).min().unwrap_or(first.began),
        hosts: shards.iter().flat_map(|shard| shard.hosts.iter().cloned()).collect(),
        ..(*first).clone()
    })
}

/// What two shards went by differently.
fn difference(one: &Header, other: &Header) -> Option<String> {
    let parts = [
        ("format", one.schema == other.schema),
        ("version of palisade", one.tool == other.tool),
        ("verb", one.verb == other.verb),
        ("environment", one.environment == other.environment),
        ("controls", one.controls == other.controls),
        ("plan", one.plan == other.plan),
    ];
    if let Some((what, _)) = parts.iter().find(|(_, same)| !same) {
        return Some((*what).to_owned());
    }
    let names = one.inputs.keys().chain(other.inputs.keys());
    let mut differing = names.filter(|name| one.inputs.get(*name) != other.inputs.get(*name));
    differing.next().map(|name| format!("file {name}"))
}

/// The end of the merged record, from those of its shards and the counts of all hosts.
pub fn merged_footer(verb: &str, shards: &[&RunRecord], tally: &Tally, now: Timestamp) -> Footer {
    let interrupted = shards.iter().any(|shard| shard.end.interrupted);
    Footer {
        ended: shards.iter().map(|shard| shard.end.ended).max().unwrap_or(now),
        exit: tally.exit(verb, interrupted),
        summary: Counts::Judged(tally.summary),
        interrupted,
        jump_connections: BTreeMap::new(),
    }
}
