//! `palisade patch status`: which release each host has, and whether it is overdue. Read-only.

use jiff::Timestamp;

use crate::command::Common;
use crate::command::inputs::RunInputs;
use crate::command::signals::unless_interrupted;
use crate::domain::Environment;
use crate::failure::Failure;
use crate::fleet::Kept;
use crate::release::status::{HostStatus, exit};
use crate::report::{Page, Releases};
use crate::ui::Printer;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// dev, test or prod.
    #[arg(value_name = "ENV", value_parser = crate::command::environment())]
    environment: Environment,
}

pub(super) fn run(args: &Args, common: &Common, now: Timestamp, printer: Printer) -> Result<u8, Failure> {
    let inputs = RunInputs::new(common, args.environment, printer)?;
    let Some(plan) = inputs.project.fleet.release.clone() else {
        return Err(Failure::refused("inventories/fleet.yaml says nothing of releases")
            .hint("add `release:` with first, timezone, window, notice and order"));
    };
    let inputs = inputs.with_a_key()?;
    let turns = plan.turns(args.environment, now);
    let answers = unless_interrupted(inputs.run.releases(&inputs.jobs))?;
    let all: Vec<HostStatus> = answers
        .into_iter()
        .map(|(host, answer)| match answer {
            Err(reason) => HostStatus::silent(host, reason),
            Ok(Kept { history, updates }) => {
                let enrolled = inputs.project.identities.hosts.get(&host).map(|one| one.enrolled);
                let never = &plan.deny_restart;
                HostStatus::answered(host, (&turns, enrolled), (&history, &updates), never, now)
            }
        })
        .collect();
    let releases = Releases { environment: args.environment, plan: &plan, turns: &turns, hosts: &all, now };
    printer.show(&Page::Releases(&releases))?;
    Ok(exit(&all))
}
