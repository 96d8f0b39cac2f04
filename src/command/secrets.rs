//! The secrets of a run: each host's own are read here, and given to its job with the key by which they are compared there;
//! and to which host each may go, which a person says once. A secret that cannot be read stops nothing but its own resource.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal as _};
use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;
use zeroize::Zeroizing;

use super::ask;
use crate::domain::{Digest, Environment, HostName, MacKey, PublicKey, RemotePath, SecretName, UserName};
use crate::failure::{Failure, Kind};
use crate::fleet::Job;
use crate::kinds::secret::{Held, Value};
use crate::record::{HostResult, HostState};
use crate::resource::Change;
use crate::secret::{Allowed, SecretError, Secrets};
use crate::transport::HostKeys;

/// What a secret holds, for all hosts that get it.
type Bytes = Arc<Zeroizing<Vec<u8>>>;

/// Gives all jobs their secrets. `made` is when the plan was made that the run goes by: with the user's own key, the host and
/// that moment give the key by which a host compares, so that whoever holds a plan or a record can test no guess with it, and
/// whoever is root on a host learns nothing about another.
pub(super) fn give(jobs: &mut [Job], secrets: &Secrets, project: &Path, made: Timestamp) {
    let mut read: BTreeMap<SecretName, Result<Bytes, String>> = BTreeMap::new();
    let mut own: Option<Result<MacKey, String>> = None;
    for job in jobs {
        let host = job.desired.host.clone();
        job.desired.hold_secrets(|secret| {
            let bytes = read.entry(secret.name.clone()).or_insert_with(|| {
                secrets.whole(&secret.name, project).map(Arc::new).map_err(|error| told(&error))
            });
            let key = own.get_or_insert_with(|| secrets.comparison_key().map_err(|error| told(&error)));
            match (bytes, key) {
                (Ok(bytes), Ok(key)) => {
                    let key = key.derived(&["secret", &made.to_string(), host.as_str()]);
                    Held::Read(Arc::new(Value::new(key, Arc::clone(bytes))))
                }
                (Err(why), _) | (_, Err(why)) => Held::Unread(why.clone()),
            }
        });
    }
}

fn told(error: &SecretError) -> String {
    match error.hint() {
        Some(hint) => format!("{error}; {hint}"),
        None => error.to_string(),
    }
}

/// One file of a secret, and the hosts that would get it for the first time.
type Unconfirmed = BTreeMap<(Environment, SecretName, RemotePath, UserName), Vec<(HostName, String)>>;

/// Refuses to send a secret to a host that it never went to, unless a person says so, or `allowed` does.
pub(super) fn confirm_receivers(
    jobs: &[Job],
    results: &[HostResult],
    allowed: &[Allowed],
) -> Result<(), Failure> {
    let secrets = Secrets::of_user();
    let gate = |error: SecretError| Failure::new(Kind::Gate, error).hint("nothing was changed");
    let mut unconfirmed = Unconfirmed::new();
    for (job, result) in jobs.iter().zip(results) {
        if result.state != HostState::Answered {
            continue;
        }
        let (environment, host) = (job.environment, &result.host);
        let place = format!("{environment}/{host}");
        for step in result.plan.iter().flat_map(|plan| &plan.steps) {
            let Change::Secret { path, name, after, .. } = &step.change else { continue };
            let is_allowed =
                |one: &Allowed| one.covers(name, environment.as_str()) || one.covers(name, &place);
            let line = receiver(job, path, &after.owner);
            if !allowed.iter().any(is_allowed) && !secrets.may_go(name, &line, &[]).map_err(gate)? {
                let file = (environment, name.clone(), path.clone(), after.owner.clone());
                unconfirmed.entry(file).or_default().push((host.clone(), line));
            }
        }
    }
    for ((environment, name, path, owner), hosts) in &unconfirmed {
        let names: Vec<&str> = hosts.iter().map(|(host, _)| host.as_str()).collect();
        let names = names.join(", ");
        let question = format!(
            "The secret {name} goes to {environment} ({names}) for the first time, as {path} of {owner}. Type yes: "
        );
        if !io::stdin().is_terminal() || !ask(&question)? {
            let why = anyhow::anyhow!(
                "the secret {name} was never sent to {names} from here, as {path} of {owner}; nothing was changed"
            );
            return Err(Failure::new(Kind::Gate, why).hint(format!(
                "say yes at a terminal, or give --allow-secret {name}={environment} for every host that the project \
                 has in {environment}, or --allow-secret {name}={environment}/HOST for one"
            )));
        }
        for (_, line) in hosts {
            secrets.remember(name, line).map_err(gate)?;
        }
    }
    Ok(())
}

/// A receiver as it is remembered: the host, the keys by which it is known, and who reads the secret there. A project that
/// gives the host's name to another machine, or the file to another account, is asked about anew.
fn receiver(job: &Job, path: &RemotePath, owner: &UserName) -> String {
    let (environment, host) = (job.environment, &job.desired.host);
    let pinned = match &job.target.host_keys {
        HostKeys::Pinned(pins) => pins.keys(host.as_str()),
        HostKeys::Confirmed(_) => Vec::new(),
    };
    let keys: Vec<String> = pinned.into_iter().map(PublicKey::material).collect();
    let keys = Digest::of(keys.join("\n").as_bytes());
    format!("{environment}/{host} {keys} {owner} {path}")
}
