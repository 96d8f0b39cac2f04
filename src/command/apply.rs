//! `palisade apply`: makes it so. Every change is armed with a rollback on the host before it starts, seen to work
//! over a new connection, and only then confirmed.
#![expect(clippy::disallowed_methods, reason = "a plan file is read, and a person is asked")]

use std::io::{self, IsTerminal as _};
use std::path::PathBuf;
use std::time::Duration;

use super::Common;
use super::ground::{Beginning, TOOL, block_on};
use crate::domain::Environment;
use crate::event::Event;
use crate::failure::{Failure, Kind};
use crate::fleet::{Batches, Budget, HostResult, HostState, Rollout};
use crate::plan::{HostPlan, Plan};
use crate::report::{self, Depth};
use crate::source::duration;
use crate::ui::Printer;

/// Change hosts to what is declared; each goes back by itself unless it is seen to work.
///
/// One host goes first, alone; then a quarter of them; then the rest. A host through which others are reached goes before
/// those, and a replica before its primary. Nothing follows a first batch that did not end well; later on, no further
/// host is begun once more failed than may. Hosts that were not begun are named.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  palisade apply dev --as alice\n  palisade apply prod --limit web-1\n  \
    palisade apply prod --plan friday.plan --yes\n  \
    palisade apply test --batch 2,50%,100% --max-failures 3\n  \
    palisade apply prod --limit web-1 --wait-lease 10min\n\n\
    Exit codes: 0 done and compliant, 1 failed, 3 drift is left, 4 a host was unreachable or was not begun, 5 taken back, 6 a gate refused.")]
pub struct Args {
    /// dev, test or prod.
    #[arg(value_name = "ENV", value_parser = super::environment())]
    environment: Environment,
    /// Apply exactly this plan, as `plan --out` wrote it; a host that no longer matches it is refused.
    #[arg(long, value_name = "FILE")]
    plan: Option<PathBuf>,
    /// How many hosts side by side, one batch after the other: numbers, and shares of the hosts that are to be changed.
    /// The last is repeated.
    #[arg(long, value_name = "LIST", default_value_t, value_parser = super::checked::<Batches>)]
    batch: Batches,
    /// So many hosts may fail, the unreachable included, before no further one is begun. In prod a rollback stops the
    /// run whatever is given here. [default: 0 in prod; elsewhere one in ten, and at least 1]
    #[arg(long, value_name = "N")]
    max_failures: Option<usize>,
    /// Where somebody else works on a host, wait so long for it, and try again: 90s, 10min.
    #[arg(long, value_name = "DURATION", default_value = "0s", hide_default_value = true, value_parser = length_of_time)]
    wait_lease: Duration,
}

fn length_of_time(text: &str) -> Result<Duration, String> {
    duration(text).map_err(|error| format!("{}; {}", error.why, error.fix))
}

/// Runs the verb.
pub fn run(args: &Args, common: &Common, printer: &Printer) -> Result<u8, Failure> {
    let asks = !common.yes && args.environment == Environment::Prod;
    if asks && !io::stdin().is_terminal() {
        let what = args.environment;
        return Err(Failure::refused(format!(
            "{what} is changed only after a person confirmed, or with --yes"
        ))
        .hint("look at `palisade plan` first; --plan FILE --yes applies exactly what was looked at"));
    }
    let beginning = Beginning::new(common, args.environment, *printer)?.may_change()?;
    let approved = args.plan.as_ref().map(|path| read_plan(path, &beginning)).transpose()?;
    beginning.run.events.emit(Event::Started { verb: "apply", hosts: beginning.jobs.len() });
    let mut results = block_on(beginning.run.look_when_free(&beginning.jobs, args.wait_lease))?;
    if let Some(approved) = &approved {
        hold_to(approved, &mut results);
    }
    let changes = results.iter().any(HostResult::calls_for_work);
    if changes {
        let before = beginning.report("plan", results.clone());
        if approved.is_none() && !asks {
            printer.detail(&report::plan(&before, printer.view(), Depth::Diffs));
        }
        if asks {
            printer.say(&report::plan(&before, printer.view(), Depth::Short));
            confirm(beginning.environment, &beginning)?;
        }
    }
    let rollout = Rollout {
        batches: args.batch.clone(),
        budget: Budget::of(beginning.environment, args.max_failures, beginning.jobs.len()),
        wait_lease: args.wait_lease,
    };
    let results = block_on(beginning.run.change(&beginning.jobs, results, &rollout))?;
    if changes {
        // Between what was said on the way and the report.
        printer.say("");
    }
    let mut report = beginning.report("apply", results);
    beginning.keep(&mut report)?;
    printer.text(&report::change(&report, printer.view()))?;
    printer.json(&report.json())?;
    printer.hints(&report::hints(&report));
    Ok(report.exit())
}

fn read_plan(path: &PathBuf, beginning: &Beginning) -> Result<Plan, Failure> {
    let refused = |why: String| {
        Failure::refused(format!("{}: {why}", path.display())).hint(format!(
            "make a new one: palisade plan {} --out {}",
            beginning.environment,
            path.display()
        ))
    };
    let bytes = std::fs::read(path).map_err(|error| refused(error.to_string()))?;
    let plan: Plan =
        serde_json::from_slice(&bytes).map_err(|error| refused(format!("not a plan: {error}")))?;
    if plan.environment != beginning.environment {
        return Err(refused(format!("it is a plan for {}", plan.environment)));
    }
    plan.fresh(TOOL, &beginning.inputs(), beginning.began).map_err(|stale| refused(stale.to_string()))?;
    Ok(plan)
}

/// A host whose plan is not the approved one is refused.
fn hold_to(approved: &Plan, results: &mut [HostResult]) {
    for result in results.iter_mut().filter(|result| result.state == HostState::Answered) {
        let wanted = approved.hosts.iter().find(|plan| plan.host == result.host);
        let found = result.plan.as_ref();
        // Applied already, or nothing left of it: an empty plan is no contradiction.
        let same = wanted.zip(found).is_some_and(|(wanted, found)| wanted.does_the_same(found));
        if same || found.is_some_and(HostPlan::is_empty) {
            continue;
        }
        let reason = if wanted.is_some() {
            "the host is no longer as the plan saw it; make a new plan"
        } else {
            "the plan does not name this host"
        };
        result.state = HostState::Refused { reason: reason.to_owned(), holder: None };
    }
}

fn confirm(environment: Environment, beginning: &Beginning) -> Result<(), Failure> {
    let names: Vec<&str> = beginning.jobs.iter().map(|job| job.desired.host.as_str()).collect();
    if super::ask(&format!("Change {environment} ({})? Type yes: ", names.join(", ")))? {
        Ok(())
    } else {
        Err(Failure::new(Kind::Gate, anyhow::anyhow!("not confirmed; nothing was changed")))
    }
}
