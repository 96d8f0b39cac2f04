//! `palisade approve`: a person, or the machine account of an environment, signs a release for that environment. It reads the
//! project and writes one signature; it contacts nothing.

use std::io::{self, IsTerminal as _};

use jiff::Timestamp;

use super::inputs::{self, moment};
use super::{Common, environment_inventory, patch};
use crate::domain::{Environment, ReleaseId};
use crate::failure::{Failure, Kind};
use crate::project::Project;
use crate::report::{Approved, Page};
use crate::ui::Printer;

/// Sign a release for an environment: without that it is not installed there. Contacts nothing.
///
/// A release is signed for dev by whoever plans it. For test somebody with access to test signs it, or its machine account; for
/// prod a person with access to prod and `approver: true`, and no machine. What is signed is shown first. The signature is
/// written to releases/RELEASE.ENV.sig and counts for that environment, that file, and as long as whoever signed may.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  palisade approve 2026-11-28 --for test --as alice\n  palisade approve 2026-11-28 --for prod --yes\n\n\
    Exit codes: 0 signed, or signed before; 1 it could not be signed; 2 refused; 6 you may not sign for it, it is not what was \
    planned, or nobody said yes."
)]
pub struct Args {
    /// Its name.
    #[arg(value_name = "RELEASE", value_parser = super::checked::<ReleaseId>)]
    release: ReleaseId,
    /// test or prod.
    #[arg(long = "for", value_name = "ENV", value_parser = super::environment())]
    environment: Environment,
}

/// Runs the verb at `now`.
pub fn run(args: &Args, common: &Common, now: Timestamp, printer: &Printer) -> Result<u8, Failure> {
    let now = moment(common, now)?;
    let environment = args.environment;
    if environment == Environment::Dev {
        return Err(Failure::refused("a release is signed for dev by whoever plans it")
            .hint("palisade approve RELEASE --for test, and then --for prod"));
    }
    let project = Project::read(&common.project)?;
    let signed = patch::read_signed(&project, Some(&args.release), now)?;
    if let Some((by, _)) = patch::approval(&project, &signed, environment, now)? {
        printer.say(&format!("{} is approved for {environment} by {by} already", args.release));
        let release = &signed.release;
        printer.show(&Page::Approved(&Approved { release, environment, by: &by, file: None }))?;
        return Ok(0);
    }
    let inventory = environment_inventory(&project, environment)?;
    let today = now.to_zoned(jiff::tz::TimeZone::UTC).date();
    let by = inputs::person(&project, inventory, common.person.as_ref(), today)?;
    if !patch::may_sign(&project, environment, &by, now) {
        let why = anyhow::anyhow!("{by} may not sign a release for {environment}");
        return Err(Failure::new(Kind::Gate, why).hint(match environment {
            Environment::Prod => {
                "somebody with access to prod and `approver: true` in inventories/fleet.yaml may"
            }
            _ => "somebody with access to it may, or its machine account",
        }));
    }
    if !common.yes {
        // What is signed is shown before a person is asked.
        printer.say(&printer.words(&Page::Planned(&signed.release))?);
        let question = format!("Sign release {} for {environment} as {by}? Type yes: ", args.release);
        if !io::stdin().is_terminal() || !super::ask(&question)? {
            return Err(Failure::new(Kind::Gate, anyhow::anyhow!("not confirmed; nothing was signed"))
                .hint("--yes signs without a terminal"));
        }
    }
    let identity = inputs::identity(common, &project, inventory, &by);
    let path = patch::approve(&project, &signed, environment, &identity, now)?;
    let release = &signed.release;
    printer.show(&Page::Approved(&Approved { release, environment, by: &by, file: Some(&path) }))?;
    printer.say(&format!("approved for {environment} by {by}; written to {path}"));
    Ok(0)
}
