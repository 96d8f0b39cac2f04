//! `palisade patch apply`: installs a release on the hosts of an environment. It reads files, asks a person and writes the
//! record; what hosts may get the release and the hosts themselves decide.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;

use super::gates;
use super::signed::{Signed, approval, read_signed};
use crate::calendar::Plan;
use crate::command::confirm::{asks_a_person, confirm};
use crate::command::inputs::RunInputs;
use crate::command::runtime::block_on;
use crate::command::signals::{changing, heeding_signals, unless_interrupted};
use crate::command::{Common, length_of_time};
use crate::domain::{Environment, PackageName, PackageVersion, ReleaseId};
use crate::event::Event;
use crate::failure::{Failure, Kind};
use crate::fleet::{Answers, Before, ReleaseInputs, Rollout, Wish};
use crate::inventory::Host;
use crate::journal::Reason;
use crate::release::gates::Gate;
use crate::release::transfer::SignedFile;
use crate::report::{Depth, Page};
use crate::rollout::{Batches, Budget};
use crate::store::Pool;
use crate::text::visible;
use crate::ui::Printer;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// dev, test or prod.
    #[arg(value_name = "ENV", value_parser = crate::command::environment())]
    environment: Environment,
    /// Which release; the newest of the project where it is left out.
    #[arg(long, value_name = "RELEASE", value_parser = crate::command::checked::<ReleaseId>)]
    release: Option<ReleaseId>,
    /// Do without window, soak and notice. Never without the environment before, and never in a freeze.
    #[arg(long, requires = "reason")]
    emergency: bool,
    /// Why it is an emergency; it is recorded, here and on the hosts.
    #[arg(long, value_name = "TEXT", requires = "emergency", value_parser = crate::command::checked::<Reason>)]
    reason: Option<Reason>,
    /// How many hosts side by side, one batch after the other: numbers, and shares of the hosts.
    /// The last is repeated. [default: 1,25%,100%]
    #[arg(long, value_name = "LIST", value_parser = crate::command::checked::<Batches>)]
    batch: Option<Batches>,
    /// So many hosts may fail, the unreachable included, before no further one is begun. In prod a failed host stops the
    /// run whatever is given here. [default: 0 in prod; elsewhere one in ten, and at least 1]
    #[arg(long, value_name = "N")]
    max_failures: Option<usize>,
    /// Where somebody else works on a host, wait so long for it: 90s, 10min. A run that was killed leaves its host for a
    /// minute.
    #[arg(long, value_name = "DURATION", default_value = "2min", value_parser = length_of_time)]
    wait_lease: Duration,
    /// How long a host may take to come back from a reboot.
    #[arg(long, value_name = "DURATION", default_value = "15min", value_parser = length_of_time)]
    reboot_within: Duration,
}

pub(super) fn run(args: &Args, common: &Common, now: Timestamp, printer: Printer) -> Result<u8, Failure> {
    let environment = args.environment;
    if !common.controls.is_empty() {
        return Err(Failure::refused("a release is not about single controls").hint("leave --control out"));
    }
    let asks = asks_a_person(common, environment)?;
    let mut inputs = RunInputs::new(common, environment, printer)?.with_a_key()?;
    let signed = read_signed(&inputs.project, args.release.as_ref(), now)?;
    // For an emergency too: it does without waiting, and not without somebody who answers for it.
    let Some((approver, signature)) = approval(&inputs.project, &signed, environment, now)? else {
        let id = &signed.release.id;
        let who = match environment {
            Environment::Prod => "by a person with access to prod and `approver: true`",
            _ => "by somebody with access to it, or its machine account",
        };
        return Err(Failure::new(Kind::Gate, anyhow::anyhow!("{id} is not approved for {environment}"))
            .hint(format!("palisade approve {id} --for {environment}, {who}")));
    };
    let signed = Signed { signature, ..signed };
    let emergency = args.reason.clone();
    let before =
        gates::pass(common, (&inputs.project, environment), &signed, emergency.as_ref(), now, printer)?;
    let release_inputs = release_inputs(args, &inputs, signed, before.as_ref(), now)?;
    inputs.run.events.emit(Event::Note {
        text: format!("release {} is approved for {environment} by {approver}", release_inputs.carried.id),
    });
    for (name, reason) in release_inputs.release.sets.iter().flat_map(crate::release::Set::local) {
        let text = format!("no archive signs {name}, which is installed all the same: {}", visible(reason));
        inputs.run.events.emit(Event::Note { text });
    }
    inputs.run.events.emit(Event::Started { verb: "patch apply", hosts: inputs.jobs.len() });
    if environment == Environment::Dev {
        let captured = unless_interrupted(inputs.run.capture(
            &inputs.jobs,
            &release_inputs.release,
            &release_inputs.pool,
        ))?;
        captured.map_err(|why| {
            Failure::new(
                Kind::Gate,
                anyhow::anyhow!("the release's packages could not be captured; nothing was installed\n{why}"),
            )
            .hint("what an archive no longer has can be had by a new plan alone: palisade patch plan dev")
        })?;
    }
    let looked = inputs.look()?;
    if asks {
        let what = format!("Install release {} in {environment}", release_inputs.carried.id);
        confirm(&inputs, &what, "installed")?;
    }
    let rollout = Rollout {
        batches: args.batch.clone().unwrap_or_default(),
        budget: Budget::of(environment, args.max_failures, inputs.jobs.len()),
        wait_lease: args.wait_lease,
        journal: None,
    };
    let interrupt = changing()?;
    inputs.run.interrupt = interrupt.clone();
    let heard = |wish: Wish| inputs.run.events.emit(Event::Note { text: interruption(wish).to_owned() });
    let work = inputs.run.install_release(&inputs.jobs, looked, &release_inputs, &rollout);
    let done = block_on(heeding_signals(&interrupt, heard, work))?;
    let mut report = inputs.report("patch", done);
    report.head.interrupted = interrupt.is(Wish::Stop);
    report.head.release = Some(release_inputs.line());
    inputs.keep(&mut report)?;
    let exit = report.exit();
    printer.show(&Page::Run(&report, Depth::Diffs))?;
    if exit != 0 {
        printer.hints(&[format!(
            "palisade patch apply {environment} --release {} goes on where each host is",
            release_inputs.carried.id
        )]);
    }
    Ok(exit)
}

fn interruption(wish: Wish) -> &'static str {
    match wish {
        Wish::GoOn => "",
        Wish::Stop => {
            "interrupted: no further host is begun; one in the middle is brought to its end; once more leaves it, and a \
             later run goes on"
        }
        Wish::Leave => {
            "interrupted again: leaving; what is being installed is installed to its end by the host itself"
        }
    }
}

fn release_inputs(
    args: &Args,
    inputs: &RunInputs,
    signed: Signed,
    before: Option<&Answers<Before>>,
    now: Timestamp,
) -> Result<ReleaseInputs, Failure> {
    let text = |bytes: Vec<u8>| {
        String::from_utf8(bytes)
            .map_err(|_| Failure::refused("the release's file and signature must be text"))
    };
    let pool = Pool::of(&inputs.project.root, &signed.release.id);
    let carried = SignedFile {
        id: signed.release.id.clone(),
        digest: signed.file,
        text: text(signed.bytes)?,
        signature: text(signed.signature)?,
    };
    let inventory = crate::command::environment_inventory(&inputs.project, inputs.environment)?;
    let checks = |host: &Host| {
        let roles = host.roles.iter().filter_map(|role| inventory.roles.get(role));
        roles.filter_map(|role| role.check.clone()).collect::<BTreeSet<_>>()
    };
    let plan = inputs.project.fleet.release.as_ref();
    Ok(ReleaseInputs {
        release: signed.release,
        carried,
        pool,
        emergency: args.reason.clone(),
        installed_before: before.map(installed_before),
        checks: inventory.hosts.values().map(|host| (host.name.clone(), checks(host))).collect(),
        mirror: plan.and_then(|plan| plan.mirror.clone()).filter(|_| before.is_some()),
        never: plan.map(|plan| plan.deny_restart.clone()).unwrap_or_default(),
        closes: plan.and_then(|plan| closes(args, plan, now)),
        reboot_within: args.reboot_within,
    })
}

/// When the window that is open at `now` closes, where one is asked for.
fn closes(args: &Args, plan: &Plan, now: Timestamp) -> Option<Timestamp> {
    let asks = Gate::Window.asks(args.environment, args.emergency);
    plan.open(now).filter(|_| asks).map(|window| window.closes.timestamp())
}

/// What hosts have of the release, by distribution.
fn installed_before(before: &Answers<Before>) -> BTreeMap<String, BTreeSet<(PackageName, PackageVersion)>> {
    let mut all: BTreeMap<String, BTreeSet<(PackageName, PackageVersion)>> = BTreeMap::new();
    for before in before.iter().filter_map(|(_, answer)| answer.as_ref().ok()) {
        all.entry(before.distribution.clone()).or_default().extend(before.installed.iter().cloned());
    }
    all
}
