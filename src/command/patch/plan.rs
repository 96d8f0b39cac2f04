//! `palisade patch plan`: what the hosts of dev would upgrade, written down as a release and signed.
#![expect(clippy::disallowed_methods, reason = "releases are files of the project")]

use std::fs;
use std::path::Path;

use jiff::Timestamp;
use serde_json::json;

use super::show;
use super::signed::{NAMESPACE, signer, signers};
use crate::command::Common;
use crate::command::inputs::RunInputs;
use crate::command::signals::unless_interrupted;
use crate::domain::{Environment, ReleaseId};
use crate::failure::{Failure, Kind};
use crate::fleet::{Answers, Surveyed};
use crate::project::Project;
use crate::release::{self, Release};
use crate::signing::{self};
use crate::store;
use crate::text::visible;
use crate::ui::Printer;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// dev: a release begins there.
    #[arg(value_name = "ENV", value_parser = crate::command::environment())]
    environment: Environment,
    /// Which release of the calendar; the next one where it is left out.
    #[arg(long, value_name = "RELEASE", value_parser = crate::command::checked::<ReleaseId>, conflicts_with = "emergency")]
    release: Option<ReleaseId>,
    /// Plan a release out of turn, for this reason; it is recorded in the release.
    #[arg(long, value_name = "REASON")]
    emergency: Option<String>,
}

pub(super) fn run(args: &Args, common: &Common, now: Timestamp, printer: Printer) -> Result<u8, Failure> {
    if args.environment != Environment::Dev {
        return Err(Failure::refused(format!("a release does not begin in {}", args.environment))
            .hint("palisade patch plan dev"));
    }
    let beginning = RunInputs::new(common, args.environment, printer)?;
    let id = name(args, &beginning.project, now)?;
    let path = beginning.project.root.join(Release::path(&id));
    if path.exists() {
        return Err(Failure::new(Kind::Gate, anyhow::anyhow!("{} is there already", Release::path(&id)))
            .hint("a release that hosts may have taken is not planned anew")
            .hint("remove the file and its .sig first, where no host has taken it"));
    }
    let beginning = beginning.with_a_key()?;
    let by = beginning.run.operator.who.clone();
    let identity = beginning.jobs.first().map(|job| job.target.identity.clone()).unwrap_or_default();
    let signer = signer(&identity)?;
    let answers = unless_interrupted(beginning.run.upgrades(&beginning.jobs))?;
    let surveyed = all(&beginning, answers)?;
    let sets = release::sets(&surveyed).map_err(|conflicts| {
        let lines: Vec<String> = conflicts.iter().map(ToString::to_string).collect();
        Failure::new(Kind::Gate, anyhow::anyhow!("hosts of dev would not get the same:\n{}", lines.join("\n")))
            .hint("let them have the same sources, pins and holds; palisade audit dev --control patching shows them")
    })?;
    let release = Release { id, planned: now, by, emergency: args.emergency.clone(), sets };
    let text = release.to_yaml();
    if Release::parse(&release.id, text.as_bytes()).ok().as_ref() != Some(&release) {
        return Err(Failure::from(anyhow::anyhow!(
            "the release could not be written so that it is read back alike"
        )));
    }
    let signature = signing::sign(&signer, NAMESPACE, text.as_bytes()).map_err(|error| {
        Failure::new(Kind::Failed, error)
            .hint("sign with a key of yours that the inventory declares: --identity FILE")
    })?;
    signing::verify(&signers(&beginning.project.fleet, now), NAMESPACE, text.as_bytes(), &signature)
        .map_err(|error| Failure::new(Kind::Failed, error))?;
    write(&path, text.as_bytes(), &signature)?;
    printer.text(&show::words(&release, printer.volume() >= crate::ui::Volume::Verbose))?;
    printer.json(&json!({"release": release, "file": Release::path(&release.id)}))?;
    printer.say(&format!("written to {}, signed by {}", Release::path(&release.id), release.by));
    if common.limit.is_some() {
        printer.say("note: --limit left hosts of dev out; what they alone would need is not in it");
    }
    Ok(0)
}

/// The release that is planned at `now`.
fn name(args: &Args, project: &Project, now: Timestamp) -> Result<ReleaseId, Failure> {
    let Some(plan) = &project.fleet.release else {
        return Err(Failure::refused("inventories/fleet.yaml says nothing of releases")
            .hint("add `release:` with first, timezone, window, notice and order"));
    };
    if let Some(reason) = &args.emergency {
        let sound = (1..=500).contains(&reason.trim().len())
            && visible(reason) == *reason
            && !reason.contains(['`', '$', '{']);
        if !sound {
            return Err(Failure::refused(
                "the reason must be one line of plain text, of at most 500 characters",
            ));
        }
        return Ok(ReleaseId::emergency(plan.timezone.shows(now).date()));
    }
    let coming = plan.coming(now, 4).into_iter().find(|release| {
        release.window(Environment::Prod).is_some_and(|window| window.closes.timestamp() > now)
    });
    match &args.release {
        None => coming.map(|release| ReleaseId::regular(release.id)).ok_or_else(|| {
            Failure::refused("the calendar has no release to come").hint("palisade calendar shows it")
        }),
        Some(id) => {
            let day = id.as_str().parse::<jiff::civil::Date>().ok();
            let known = day.and_then(|day| plan.named(day)).filter(|release| {
                release.window(Environment::Prod).is_some_and(|window| window.closes.timestamp() > now)
            });
            known.map(|release| ReleaseId::regular(release.id)).ok_or_else(|| {
                Failure::refused(format!("the calendar has no release {id} that is still to come"))
                    .hint("palisade calendar shows those that there are")
            })
        }
    }
}

/// What every host said; or the failure, where one of them did not.
fn all(beginning: &RunInputs, answers: Answers<Surveyed>) -> Result<Vec<release::Surveyed>, Failure> {
    let mut silent = Vec::new();
    let mut surveyed = Vec::new();
    let estate = crate::command::estate(&beginning.project, beginning.environment)?;
    for (host, answer) in answers {
        match answer {
            Err(reason) => silent.push(format!("{host}: {}", visible(&reason))),
            Ok((distribution, upgrades)) => {
                let roles = estate.hosts.get(&host).map(|host| host.roles.clone()).unwrap_or_default();
                surveyed.push(release::Surveyed { host, roles, distribution, upgrades });
            }
        }
    }
    if silent.is_empty() {
        return Ok(surveyed);
    }
    Err(Failure::new(
        Kind::Incomplete,
        anyhow::anyhow!(
            "not every host of dev said what it would upgrade; nothing was written\n{}",
            silent.join("\n")
        ),
    ))
}

/// Both files, the release last: with it the release is there.
fn write(path: &Path, text: &[u8], signature: &[u8]) -> Result<(), Failure> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    store::replace(&path.with_extension("yaml.sig"), signature)?;
    store::replace(path, text)?;
    Ok(())
}
