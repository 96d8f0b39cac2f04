//! `palisade patch plan`: what the hosts of dev would upgrade, written down as a release and signed.
#![expect(clippy::disallowed_methods, reason = "releases are files of the project")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::signed::signer;
use crate::command::Common;
use crate::command::inputs::RunInputs;
use crate::command::signals::unless_interrupted;
use crate::domain::{Digest, Environment, PackageName, ReleaseId};
use crate::failure::{Failure, Kind};
use crate::fleet::{Answers, Surveyed};
use crate::openpgp;
use crate::program::Program;
use crate::project::Project;
use crate::release::archive::{self, SignedIndex, SignedText, Stored};
use crate::release::signers::{namespace, signers};
use crate::release::transfer::SentIndex;
use crate::release::{self, Release, Set};
use crate::report::Page;
use crate::signing::{self};
use crate::store::{self, Pool};
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
    /// Take this package into the release though no archive signs it, for this reason; it is recorded in the release, and shown
    /// wherever it is installed. May be given several times.
    #[arg(long, value_name = "NAME=REASON", value_parser = local)]
    local: Vec<(PackageName, String)>,
}

fn local(text: &str) -> Result<(PackageName, String), String> {
    let (name, reason) = text.split_once('=').ok_or("write NAME=REASON")?;
    let name = name.parse::<PackageName>().map_err(|error| format!("{}; {}", error.why, error.fix))?;
    if !is_reason(reason) {
        return Err("the reason must be one line of plain text, of at most 500 characters".to_owned());
    }
    Ok((name, reason.to_owned()))
}

/// Whether a text may stand in a release: one line, of nothing that a template or a shell takes for more.
fn is_reason(reason: &str) -> bool {
    (1..=500).contains(&reason.trim().len())
        && visible(reason) == *reason
        && !reason.contains(['`', '$', '{'])
}

pub(super) fn run(args: &Args, common: &Common, now: Timestamp, printer: Printer) -> Result<u8, Failure> {
    if args.environment != Environment::Dev {
        return Err(Failure::refused(format!("a release does not begin in {}", args.environment))
            .hint("palisade patch plan dev"));
    }
    let inputs = RunInputs::new(common, args.environment, printer)?;
    let id = name(args, &inputs.project, now)?;
    let path = inputs.project.root.join(Release::path(&id));
    if path.exists() {
        return Err(Failure::new(Kind::Gate, anyhow::anyhow!("{} is there already", Release::path(&id)))
            .hint("a release that hosts may have taken is not planned anew")
            .hint("remove the file and its .sig first, where no host has taken it"));
    }
    let inputs = inputs.with_a_key()?;
    let by = inputs.run.operator.who.clone();
    let identity = inputs.jobs.first().map(|job| job.target.identity.clone()).unwrap_or_default();
    let signer = signer(&identity)?;
    let answers = unless_interrupted(inputs.run.upgrades(&inputs.jobs))?;
    let surveyed = all(&inputs, answers)?;
    let sets = release::sets(&surveyed).map_err(|conflicts| {
        let lines: Vec<String> = conflicts.iter().map(ToString::to_string).collect();
        Failure::new(Kind::Gate, anyhow::anyhow!("hosts of dev would not get the same:\n{}", lines.join("\n")))
            .hint("let them have the same sources, pins and holds; palisade audit dev --control patching shows them")
    })?;
    let (sets, indexes) = vouched(args, &inputs, sets, &id, now)?;
    let release = Release { id, planned: now, by, emergency: args.emergency.clone(), sets };
    let text = release.to_yaml();
    if Release::parse(&release.id, text.as_bytes()).ok().as_ref() != Some(&release) {
        return Err(Failure::from(anyhow::anyhow!(
            "the release could not be written so that it is read back alike"
        )));
    }
    let signature =
        signing::sign(&signer, &namespace(Environment::Dev), text.as_bytes()).map_err(|error| {
            Failure::new(Kind::Failed, error)
                .hint("sign with a key of yours that the inventory declares: --identity FILE")
        })?;
    let signers = signers(&inputs.project.fleet, Environment::Dev, now);
    signing::verify(&signers, &namespace(Environment::Dev), text.as_bytes(), &signature)
        .map_err(|error| Failure::new(Kind::Failed, error))?;
    let pool = Pool::of(&inputs.project.root, &release.id);
    for (digest, bytes) in &indexes {
        pool.put(digest, bytes)?;
    }
    write(&path, text.as_bytes(), &signature)?;
    printer.show(&Page::Planned(&release))?;
    printer.say(&format!("written to {}, signed by {}", Release::path(&release.id), release.by));
    if common.limit.is_some() {
        printer.say("note: --limit left hosts of dev out; what they alone would need is not in it");
    }
    Ok(0)
}

/// Files of archives, by their SHA-256.
type Indexes = Vec<(Digest, Vec<u8>)>;

/// The sets as archives vouch for them, and the indexes in which they do. A host of dev is asked for these; what it says is
/// believed as far as a keyring of the project, or of this machine, verifies it.
fn vouched(
    args: &Args,
    inputs: &RunInputs,
    sets: Vec<Set>,
    id: &ReleaseId,
    now: Timestamp,
) -> Result<(Vec<Set>, Indexes), Failure> {
    let local: BTreeMap<PackageName, String> = args.local.iter().cloned().collect();
    let (mut vouched, mut kept) = (Vec::new(), Vec::new());
    for mut set in sets {
        if set.packages.is_empty() {
            vouched.push(set);
            continue;
        }
        let job = inputs.jobs.iter().find(|job| set.hosts.contains(&job.desired.host));
        let job = job.ok_or_else(|| Failure::from(anyhow::anyhow!("no host of dev was asked")))?;
        let host = &job.desired.host;
        let sent = unless_interrupted(inputs.run.indexes(job, id))?.map_err(|why| {
            let why =
                anyhow::anyhow!("{host} did not send what signs its packages; nothing was written\n{why}");
            Failure::new(Kind::Incomplete, why)
        })?;
        let files: BTreeMap<Digest, Vec<u8>> = sent.files.into_iter().collect();
        let mut wrong: Vec<String> = Vec::new();
        let mut signed = Vec::new();
        for index in &sent.indexes {
            match signed_index(&inputs.project, index, &files, now) {
                Ok(index) => signed.push(index),
                Err(why) => wrong.push(format!("{host}: {} {}: {why}", index.suite, index.path)),
            }
        }
        wrong.extend(sent.unsigned.iter().map(|index| format!("{host}: {index}: nobody signed it")));
        let mine = local.iter().filter(|(name, _)| set.packages.contains_key(*name));
        let mine = mine.map(|(name, reason)| (name.clone(), reason.clone())).collect();
        if let Err(why) = set.vouch(host, &signed, &mine) {
            let lines: Vec<String> = why.into_iter().chain(wrong).collect();
            let why = anyhow::anyhow!(
                "nobody but a host of dev vouches for what would be installed; nothing was written\n{}",
                lines.join("\n")
            );
            return Err(Failure::new(Kind::Gate, why)
                .hint("an archive of others is verified by its keyring: release.keyrings in inventories/fleet.yaml")
                .hint("a package that no archive signs needs a person's reason: --local NAME=REASON"));
        }
        let stored = set.archives.iter().flat_map(|archive| {
            archive.indexes.iter().map(|index| &index.packed.sha256).chain([&archive.in_release.sha256])
        });
        for digest in stored {
            kept.extend(files.get(digest).map(|bytes| (digest.clone(), bytes.clone())));
        }
        vouched.push(set);
    }
    if let Some(name) = local.keys().find(|name| !vouched.iter().any(|set| set.packages.contains_key(*name)))
    {
        return Err(Failure::refused(format!("--local {name}: the release does not hold it")));
    }
    Ok((vouched, kept))
}

/// An index that a host sent, where its archive signed it and is current.
fn signed_index(
    project: &Project,
    index: &SentIndex,
    files: &BTreeMap<Digest, Vec<u8>>,
    now: Timestamp,
) -> Result<SignedIndex, String> {
    let file = |digest: &Digest| {
        let bytes = files.get(digest).ok_or_else(|| format!("the file {digest} was not sent"))?;
        let size = u32::try_from(bytes.len()).map_err(|_| "the file is too large".to_owned())?;
        Ok::<_, String>((bytes, Stored { sha256: digest.clone(), size }))
    };
    let (in_release, stored) = file(&index.in_release)?;
    let (packed, packed_as) = file(&index.packed)?;
    if in_release.len() > archive::IN_RELEASE {
        return Err(format!("its InRelease has more than {} bytes", archive::IN_RELEASE));
    }
    // Whose it says it is decides by which keyring it is verified, and nothing else.
    let said = String::from_utf8_lossy(in_release);
    let origin =
        said.lines().find_map(|line| line.strip_prefix("Origin: ")).map(str::trim).unwrap_or_default();
    let keyrings = project.fleet.release.as_ref().map(|plan| &plan.keyrings);
    let keyring = match keyrings.and_then(|keyrings| keyrings.get(origin)) {
        Some(path) => project.root.join(path),
        None if origin == "Debian" => PathBuf::from(Program::ArchiveKeyring.name()),
        None => return Err(format!("release.keyrings names no keyring for `{}`", visible(origin))),
    };
    let text = openpgp::verified(in_release, &keyring).map_err(|error| error.to_string())?;
    let signed = SignedText::parse(&text)?;
    if signed.origin != origin {
        return Err("it says two origins".to_owned());
    }
    if let Some(why) = signed.stale(now, newest_date(project, &index.suite, &signed)) {
        return Err(why);
    }
    Ok(SignedIndex {
        suite: index.suite.clone(),
        path: index.path.clone(),
        origin: signed.origin.clone(),
        label: signed.label.clone(),
        date: signed.date,
        valid_until: signed.valid_until,
        in_release: stored,
        packed: packed_as,
        plain: signed.unpack(&index.path, packed)?,
    })
}

/// The newest date that an archive has in a release of the project: an older one was kept by somebody. Releases that cannot be
/// read say nothing; whatever they hold, a date can only be missing by that.
fn newest_date(project: &Project, suite: &str, signed: &SignedText) -> Option<Timestamp> {
    let entries = fs::read_dir(project.root.join(release::DIRECTORY)).into_iter().flatten().flatten();
    let read = |entry: fs::DirEntry| {
        let id = entry.file_name().to_str()?.strip_suffix(".yaml")?.parse::<ReleaseId>().ok()?;
        Release::parse(&id, &fs::read(entry.path()).ok()?).ok()
    };
    entries
        .filter_map(read)
        .flat_map(|release| release.sets)
        .flat_map(|set| set.archives)
        .filter(|archive| {
            (archive.suite.as_str(), &archive.origin, &archive.label)
                == (suite, &signed.origin, &signed.label)
        })
        .map(|archive| archive.date)
        .max()
}

/// The release that is planned at `now`.
fn name(args: &Args, project: &Project, now: Timestamp) -> Result<ReleaseId, Failure> {
    let Some(plan) = &project.fleet.release else {
        return Err(Failure::refused("inventories/fleet.yaml says nothing of releases")
            .hint("add `release:` with first, timezone, window, notice and order"));
    };
    if let Some(reason) = &args.emergency {
        if !is_reason(reason) {
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
fn all(inputs: &RunInputs, answers: Answers<Surveyed>) -> Result<Vec<release::Surveyed>, Failure> {
    let mut silent = Vec::new();
    let mut surveyed = Vec::new();
    let inventory = crate::command::environment_inventory(&inputs.project, inputs.environment)?;
    for (host, answer) in answers {
        match answer {
            Err(reason) => silent.push(format!("{host}: {}", visible(&reason))),
            Ok((distribution, upgrades)) => {
                let roles = inventory.hosts.get(&host).map(|host| host.roles.clone()).unwrap_or_default();
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
