//! `palisade unlock`: gives a host free whose run died, after taking back what it left pending.

use super::Common;
use super::inputs::RunInputs;
use super::signals::unless_interrupted;
use crate::domain::{HostName, Identifier};
use crate::failure::{Failure, Kind};
use crate::project::Project;
use crate::report::{Page, Unlocked};
use crate::ui::Printer;

/// Take back a change that a dead run left pending, or its lease.
///
/// `palisade status` names the transaction or the run. A host whose change is not the one named is left alone.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  palisade status prod\n  palisade unlock web-1 --tx 20261128t220000123z-1a2b3c4d --as alice\n\n\
    Exit codes: 0 the host is free, 1 it could not be taken back, 2 bad usage, 4 the host was unreachable, \
    6 the host is not held by the one that was named."
)]
pub struct Args {
    /// The host.
    #[arg(value_name = "HOST")]
    host: HostName,
    /// The transaction that is pending, or the run that holds the lease.
    #[arg(long, value_name = "ID")]
    tx: Identifier,
}

/// Runs the verb.
pub fn run(args: &Args, common: &Common, printer: &Printer) -> Result<u8, Failure> {
    let project = Project::read(&common.project)?;
    let environment = project
        .fleet
        .environments
        .values()
        .find(|inventory| inventory.hosts.contains_key(&args.host))
        .map(|inventory| inventory.environment)
        .ok_or_else(|| Failure::refused(format!("no environment has a host {}", args.host)))?;
    let only = Common { limit: Some(args.host.to_string()), ..common.clone() };
    let inputs = RunInputs::new(&only, environment, *printer)?.with_a_key()?;
    let Some(job) = inputs.jobs.first() else { return Err(Failure::refused("nothing is selected")) };
    let unlocked =
        unless_interrupted(inputs.run.unlock(job, &args.tx)).map_err(|failure| match failure.kind {
            Kind::Interrupted => Failure::new(
                Kind::Interrupted,
                anyhow::anyhow!("interrupted: whether {} went back is not known", args.host),
            )
            .hint(format!("palisade status {environment} --limit {}", args.host)),
            _ => failure,
        });
    match unlocked? {
        Ok(words) => {
            let what = if words.first().is_some_and(|word| word == "lease") {
                "its lease is gone"
            } else {
                "it went back"
            };
            printer.say(&format!("{}: {what}; the host is free", args.host));
            printer.show(&Page::Unlocked(&Unlocked { host: &args.host, tx: &args.tx, done: what }))?;
            Ok(0)
        }
        Err(refused) if refused.code == "unreachable" => {
            Err(Failure::new(Kind::Incomplete, anyhow::anyhow!("{}", refused.text)))
        }
        Err(refused) => {
            // Held by another, by nobody, or by a release that the host installs by itself is a gate; whatever else the host says is a failure.
            let kind = if matches!(refused.code.as_str(), "other" | "free" | "installing") {
                Kind::Gate
            } else {
                Kind::Failed
            };
            Err(Failure::new(kind, anyhow::anyhow!("{}: {}", args.host, refused.text)))
        }
    }
}
