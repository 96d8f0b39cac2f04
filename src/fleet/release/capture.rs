//! The packages of a release, from hosts of dev: each downloads what the release names from its own sources, keeps what has
//! the signed bytes, and sends what the project does not have yet. Nothing is installed.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::domain::{Digest, HostName};
use crate::event::Event;
use crate::fleet::{Job, Run, nonce};
use crate::probe;
use crate::release::transfer::{self, Captured};
use crate::release::{Release, Set};
use crate::shell::{Output, Script};
use crate::store::Pool;
use crate::transaction::Replies;
use crate::transport::{Bounds, Entry, Session};

/// A release is fetched over whatever line a host has.
const PATIENCE: Duration = Duration::from_mins(45);

/// Bytes of packages that one exec sends here, so that they are never all held in memory.
const SENT_AT_ONCE: u64 = 128 << 20;

impl Run {
    /// Lets hosts of dev download what `release` names, until `pool` has all of it: one host of each distribution, and a
    /// further one only for what it lacks. Gives what is still missing, or why a host could not be asked.
    pub async fn capture(&self, jobs: &[Job], release: &Release, pool: &Pool) -> Result<(), String> {
        let mut whys = Vec::new();
        for set in &release.sets {
            let mut lacks = lacking(set, pool);
            if lacks.is_empty() {
                continue;
            }
            let mut why = format!("no host of dev with {} was selected", set.distribution);
            for job in jobs.iter().filter(|job| set.hosts.contains(&job.desired.host)) {
                let host = &job.desired.host;
                self.emit(Event::Note {
                    text: format!("{host}: downloads {} packages for the release", lacks.len()),
                });
                match self.capture_from(job, release, set, &lacks, pool).await {
                    Ok(missing) if missing.is_empty() => {}
                    Ok(missing) => {
                        why = format!(
                            "{host}: its sources no longer have what was planned: {}",
                            missing.iter().take(5).cloned().collect::<Vec<_>>().join(", ")
                        );
                    }
                    Err(error) => why = format!("{host}: {error}"),
                }
                lacks = lacking(set, pool);
                if lacks.is_empty() {
                    break;
                }
            }
            if !lacks.is_empty() {
                whys.push(why);
            }
        }
        if whys.is_empty() { Ok(()) } else { Err(whys.join("\n")) }
    }

    /// One connection; one exec that says which machine it is, and one for every 128 MiB of packages.
    async fn capture_from(
        &self,
        job: &Job,
        release: &Release,
        set: &Set,
        lacks: &[(&Digest, u64)],
        pool: &Pool,
    ) -> Result<Vec<String>, String> {
        let host = &job.desired.host;
        let session = self.connector.connect(&job.target).await.map_err(|error| error.about(host))?;
        let mut missing = BTreeSet::new();
        let mut failed = is_the_one(session.as_ref(), job).await.err();
        for portion in portions(lacks) {
            if failed.is_some() {
                break;
            }
            match capture_portion(session.as_ref(), host, release, set, &portion).await {
                Err(why) => failed = Some(why),
                Ok(captured) => {
                    missing.extend(captured.missing);
                    for (digest, bytes) in captured.files {
                        if let Err(error) = pool.put(&digest, &bytes) {
                            failed =
                                Some(format!("{} cannot be written to: {error}", pool.folder().display()));
                        }
                    }
                }
            }
        }
        session.close().await;
        failed.map_or_else(|| Ok(missing.into_iter().collect()), Err)
    }
}

/// Nothing is written to another machine than the one that was enrolled.
pub(in crate::fleet) async fn is_the_one(session: &dyn Session, job: &Job) -> Result<(), String> {
    let nonce = nonce();
    let script = Script::new().framed(&nonce, [&probe::facts_question()]);
    let output = session.run(&script, Entry::Root, Bounds::default()).await;
    let output = output.map_err(|error| error.about(&job.desired.host))?;
    let facts = probe::read_facts(&nonce, &output).map_err(|unread| unread.to_string())?;
    job.identity_mismatch(&facts).map_or(Ok(()), Err)
}

async fn capture_portion(
    session: &dyn Session,
    host: &HostName,
    release: &Release,
    set: &Set,
    portion: &[(&Digest, u64)],
) -> Result<Captured, String> {
    let nonce = nonce();
    let digests: Vec<&Digest> = portion.iter().map(|(digest, _)| *digest).collect();
    let script = transfer::capture(&nonce, &release.id, set, &digests);
    let bytes: u64 = portion.iter().map(|(_, size)| size).sum();
    let bytes = usize::try_from(bytes).unwrap_or(usize::MAX).saturating_add(4 << 20);
    let bounds = Bounds { deadline: PATIENCE, bytes };
    let output = session.run(&script, Entry::Root, bounds).await.map_err(|error| error.about(host))?;
    let captured = transfer::captured(&nonce, &output).map_err(|unread| unread.to_string())?;
    let rest = Output { stdout: captured.rest.clone(), ..output };
    let said = Replies::read(&rest, &nonce).expect("captured", &release.id);
    said.map_err(|refused| refused.to_string())?;
    Ok(captured)
}

/// What of `set` the project does not have.
fn lacking<'s>(set: &'s Set, pool: &Pool) -> Vec<(&'s Digest, u64)> {
    let all = set.packages.values().map(|package| (&package.sha256, u64::from(package.size)));
    let mut lacks: Vec<(&Digest, u64)> = all.filter(|(digest, _)| !pool.has(digest)).collect();
    lacks.sort();
    lacks.dedup();
    lacks
}

fn portions<'d>(all: &[(&'d Digest, u64)]) -> Vec<Vec<(&'d Digest, u64)>> {
    let mut portions: Vec<Vec<(&Digest, u64)>> = Vec::new();
    let mut size = 0;
    for (digest, bytes) in all {
        match portions.last_mut() {
            Some(last) if size + bytes <= SENT_AT_ONCE => {
                last.push((digest, *bytes));
                size += bytes;
            }
            _ => {
                portions.push(vec![(digest, *bytes)]);
                size = *bytes;
            }
        }
    }
    portions
}
