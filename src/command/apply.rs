//! `palisade apply`: makes it so. Every change is armed with a rollback on the host before it starts, seen to work
//! over a new connection, and only then confirmed.
#![expect(clippy::disallowed_methods, reason = "a plan file is read")]

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::confirm::{asks_a_person, confirm};
use super::inputs::{RunInputs, TOOL, inputs_digest};
use super::runtime::block_on;
use super::signals::{changing, heeding_signals, unless_interrupted};
use super::{Common, length_of_time, secrets};
use crate::domain::{Environment, HostName};
use crate::event::Event;
use crate::failure::{Failure, Kind};
use crate::fleet::{self, Job, Rollout, Wish};
use crate::plan::Plan;
use crate::project::Project;
use crate::record::{Header, HostResult};
use crate::report::text::hints;
use crate::report::{Depth, Page};
use crate::rollout::{self, Batches, Budget};
use crate::secret::Allowed;
use crate::store::{self, Journal, JournalError, OpenRun, StoredRun};
use crate::ui::Printer;

/// Change hosts to what is declared; each goes back by itself unless it is seen to work.
///
/// One host goes first, alone; then a quarter of them; then the rest. A host through which others are reached goes before
/// those, and a replica before its primary. Nothing follows a first batch that did not end well; later on, no further
/// host is begun once more failed than may. Hosts that were not begun are named.
///
/// Ctrl-C, a termination and a lost terminal stop the run: no further host is begun, and a host in the middle of a change
/// is asked to go back and watched until it has. The same once more ends it at once; the host goes back by its timer.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  palisade apply dev --as alice\n  palisade apply prod --limit web-1\n  \
    palisade apply prod --plan friday.plan --yes\n  \
    palisade apply test --batch 2,50%,100% --max-failures 3\n  \
    palisade apply prod --limit web-1 --wait-lease 10min\n  \
    palisade apply --resume 20261128t220000123z-prod-apply-1a2b3c4d\n\n\
    Exit codes: 0 done and compliant, 1 failed or interrupted, 3 drift is left, 4 a host was unreachable or was not begun, 5 taken back, 6 a gate refused.")]
pub struct Args {
    /// dev, test or prod.
    #[arg(value_name = "ENV", value_parser = super::environment(), required_unless_present = "resume")]
    environment: Option<Environment>,
    /// Go on with a run that was killed, as `palisade runs` names it: its hosts, its plan. What is done is not touched
    /// again; what was in the middle goes back first. Refused where the inventory changed since, and for a host that is
    /// no longer as the plan saw it. Starting anew is always safe too.
    #[arg(long, value_name = "RUN", conflicts_with = "plan")]
    resume: Option<String>,
    /// Apply exactly this plan, as `plan --out` wrote it; a host that no longer matches it is refused.
    #[arg(long, value_name = "FILE")]
    plan: Option<PathBuf>,
    /// How many hosts side by side, one batch after the other: numbers, and shares of the hosts that are to be changed.
    /// The last is repeated. [default: 1,25%,100%]
    #[arg(long, value_name = "LIST", value_parser = super::checked::<Batches>)]
    batch: Option<Batches>,
    /// So many hosts may fail, the unreachable included, before no further one is begun. In prod a rollback stops the
    /// run whatever is given here. [default: 0 in prod; elsewhere one in ten, and at least 1]
    #[arg(long, value_name = "N")]
    max_failures: Option<usize>,
    /// Where somebody else works on a host, wait so long for it, and try again: 90s, 10min.
    #[arg(long, value_name = "DURATION", default_value = "0s", hide_default_value = true, value_parser = length_of_time)]
    wait_lease: Duration,
    /// Let sessions and processes of accounts that are closed go on, and connections to listeners that are cut off. Without
    /// it they end once the change is confirmed, and the run says what ended.
    #[arg(long)]
    keep_sessions: bool,
    /// Let a secret go to the hosts of an environment (`app-token=prod`) or to one host (`app-token=prod/web-1`), without
    /// asking. For jobs; a person at a terminal is asked at the first use, and not again.
    #[arg(long, value_name = "NAME=RECEIVER")]
    allow_secret: Vec<Allowed>,
}

/// Runs the verb.
pub fn run(args: &Args, common: &Common, printer: &Printer) -> Result<u8, Failure> {
    let taken_up = args.resume.as_ref().map(|run| take_up(args, common, run)).transpose()?;
    let open = taken_up.as_ref().map(Journal::open);
    let environment = open.as_ref().map(|open| open.plan.environment).or(args.environment);
    let environment = environment.ok_or_else(|| Failure::refused("name an environment"))?;
    let asks = asks_a_person(common, environment).map_err(|failure| {
        failure.hint("look at `palisade plan` first; --plan FILE --yes applies exactly what was looked at")
    })?;
    let inputs = match &open {
        Some(open) => again(open, common, *printer)?,
        None => RunInputs::new(common, environment, *printer)?,
    };
    let inputs = inputs.may_change()?;
    let approved = args.plan.as_ref().map(|path| read_plan(path, &inputs)).transpose()?;
    inputs.tell_left_out(*printer);
    let mut inputs = inputs.with_a_key()?;
    if let Some(plan) = &approved {
        inputs.compare_secrets_as_of(plan.made);
    }
    inputs.run.keep_sessions = args.keep_sessions;
    inputs.approved = approved.as_ref().map(|plan| plan.hash.clone());
    inputs.run.events.emit(Event::Started { verb: "apply", hosts: inputs.jobs.len() });
    let results = look(args, &inputs, open.as_ref(), approved.as_ref())?;
    let changes = results.iter().any(HostResult::calls_for_work);
    if changes {
        let before = inputs.report("plan", results.clone());
        if approved.is_none() && !asks {
            printer.detail(&printer.words(&Page::Run(&before, Depth::Diffs))?);
        }
        if asks {
            printer.say(&printer.words(&Page::Run(&before, Depth::Short))?);
        }
        secrets::confirm_receivers(&inputs.jobs, &results, &args.allow_secret)?;
        if asks {
            confirm(&inputs, &format!("Change {environment}"), "changed")?;
        }
    }
    let interrupt = changing()?;
    let mut rollout = rollout_of(args, open.as_ref(), &inputs)?;
    rollout.journal = match taken_up {
        Some(journal) => Some(Arc::new(journal)),
        None if changes => {
            let approved = approved.as_ref().map(|plan| plan.made);
            Some(Arc::new(begin_journal(args, common, &inputs, &results, &rollout, approved)?))
        }
        None => None,
    };
    inputs.run.interrupt = interrupt.clone();
    let heard = |wish: Wish| inputs.run.events.emit(Event::Note { text: interruption(wish).to_owned() });
    let change = inputs.run.change(&inputs.jobs, results, &rollout);
    let results = block_on(heeding_signals(&interrupt, heard, change))?;
    if changes {
        // Between what was said on the way and the report.
        printer.say("");
    }
    let mut report = inputs.report("apply", results);
    report.head.interrupted = interrupt.is(Wish::Stop);
    inputs.keep(&mut report)?;
    if let Some(journal) = &rollout.journal {
        // What is left of it is passed over: the record is there.
        drop(journal.close());
    }
    printer.show(&Page::Run(&report, Depth::Diffs))?;
    printer.hints(&hints(&report));
    Ok(report.exit())
}

fn interruption(wish: Wish) -> &'static str {
    match wish {
        Wish::GoOn => "",
        Wish::Stop => {
            "interrupted: no further host is begun, and what is not confirmed is taken back; once more leaves the hosts \
             to do that by themselves"
        }
        Wish::Leave => "interrupted again: leaving; hosts in the middle of a change go back by themselves",
    }
}

fn look(
    args: &Args,
    inputs: &RunInputs,
    open: Option<&OpenRun>,
    approved: Option<&Plan>,
) -> Result<Vec<HostResult>, Failure> {
    // Hosts that this is cut short for go back by themselves.
    let settled = match open {
        Some(open) => unless_interrupted(inputs.run.settle(&inputs.jobs, open))?,
        None => Vec::new(),
    };
    let mut results = unless_interrupted(inputs.run.look_when_free(&inputs.jobs, args.wait_lease))?;
    if let Some(open) = open {
        rollout::take_up(&open.plan, &open.progress, &settled, &mut results);
    }
    if let Some(approved) = approved {
        rollout::hold_to(approved, &mut results);
    }
    Ok(results)
}

/// The journal of the run that `--resume` names. While it is held, nobody else goes on with that run.
fn take_up(args: &Args, common: &Common, run: &str) -> Result<Journal, Failure> {
    if common.limit.is_some() || !common.controls.is_empty() {
        return Err(Failure::refused("a run that is resumed has its own hosts and controls")
            .hint("leave --limit and --control out, or start anew"));
    }
    let journal = Journal::take_up(&common.project, run).map_err(|error| {
        let kind = if matches!(error, JournalError::GoesOn { .. }) { Kind::Gate } else { Kind::Refused };
        Failure::new(kind, error).hint("`palisade runs` lists them")
    })?;
    let environment = journal.open().plan.environment;
    if args.environment.is_some_and(|named| named != environment) {
        return Err(Failure::refused(format!("the run is about {environment}")));
    }
    Ok(journal)
}

/// The inputs of a run that goes on, from the same inventory, playbooks and templates.
fn again(open: &OpenRun, common: &Common, printer: Printer) -> Result<RunInputs, Failure> {
    let project = Project::read(&common.project)?;
    let names: Vec<&str> = open.hosts.iter().map(HostName::as_str).collect();
    let environment = open.plan.environment;
    open.plan.fresh(TOOL, &inputs_digest(&project), fleet::now()).map_err(|stale| {
        Failure::refused(format!("the run cannot be resumed: {stale}")).hint(format!(
            "start anew, which is always safe: palisade apply {environment} --limit {}",
            names.join(",")
        ))
    })?;
    let only = Common { limit: Some(names.join(",")), controls: open.controls.clone(), ..common.clone() };
    let mut inputs = RunInputs::of(project, &only, environment, printer)?;
    inputs.run.operator.run = open.run.clone();
    inputs.began = open.plan.made;
    inputs.compare_secrets_as_of(open.approved.unwrap_or(open.plan.made));
    inputs.taken_up = Some((open.by.clone(), open.from.clone()));
    Ok(inputs)
}

/// As the arguments say, else as the run that goes on was begun.
fn rollout_of(args: &Args, open: Option<&OpenRun>, inputs: &RunInputs) -> Result<Rollout, Failure> {
    let batches = match (&args.batch, open) {
        (Some(batches), _) => batches.clone(),
        (None, Some(open)) => super::checked(&open.batches).map_err(Failure::refused)?,
        (None, None) => Batches::default(),
    };
    let given = args.max_failures.or_else(|| open.and_then(|open| open.max_failures));
    Ok(Rollout {
        batches,
        budget: Budget::of(inputs.environment, given, inputs.jobs.len()),
        wait_lease: args.wait_lease,
        journal: None,
    })
}

fn begin_journal(
    args: &Args,
    common: &Common,
    inputs: &RunInputs,
    results: &[HostResult],
    rollout: &Rollout,
    approved: Option<jiff::Timestamp>,
) -> Result<Journal, Failure> {
    let operator = &inputs.run.operator;
    let open = OpenRun {
        controls: common.controls.clone(),
        batches: rollout.batches.to_string(),
        max_failures: args.max_failures,
        approved,
        ..OpenRun::new(
            operator.run.clone(),
            operator.who.clone(),
            operator.from.clone(),
            inputs.jobs.iter().map(|job| job.desired.host.clone()).collect(),
            super::plan::of(inputs, results),
        )
    };
    Journal::begin(&inputs.project.root, &inputs.name("apply"), open).map_err(|error| {
        Failure::from(anyhow::anyhow!(
            "the run's journal cannot be written below runs/: {error}; nothing was changed"
        ))
    })
}

fn read_plan(path: &PathBuf, inputs: &RunInputs) -> Result<Plan, Failure> {
    let refused = |why: String| {
        Failure::refused(format!("{}: {why}", path.display())).hint(format!(
            "make a new one: palisade plan {} --out {}",
            inputs.environment,
            path.display()
        ))
    };
    let bytes = std::fs::read(path).map_err(|error| refused(error.to_string()))?;
    let plan: Plan =
        serde_json::from_slice(&bytes).map_err(|error| refused(format!("not a plan: {error}")))?;
    if plan.environment != inputs.environment {
        return Err(refused(format!("it is a plan for {}", plan.environment)));
    }
    plan.fresh(TOOL, &inputs.digest(), inputs.began).map_err(|stale| refused(stale.to_string()))?;
    if let Some(run) = applied_by(&plan, inputs)? {
        return Err(refused(format!("it was applied already, by the run {run}")));
    }
    Ok(plan)
}

/// The run that applied `plan` to all hosts that are selected now and did all of it, by the records here; other machines
/// have their own, and there the hosts themselves say that nothing is left to do.
fn applied_by(plan: &Plan, inputs: &RunInputs) -> Result<Option<String>, Failure> {
    let by = |run: &StoredRun| {
        let header = serde_json::from_value::<Header>(run.header.clone()).ok();
        let done = run.footer.as_ref().and_then(|end| end.get("exit")?.as_u64()) == Some(0);
        done && header.is_some_and(|header| {
            let covers = |job: &Job| header.hosts.iter().any(|host| host == job.desired.host.as_str());
            header.plan.as_ref() == Some(&plan.hash) && inputs.jobs.iter().all(covers)
        })
    };
    let runs = store::list_runs(&inputs.project.root)?;
    Ok(runs.into_iter().find(by).map(|run| crate::text::visible(&run.name)))
}
