//! `palisade patch`: releases. `plan` asks the hosts of dev what they would upgrade and writes it down, signed; `announce`
//! tells administrators of it; `status` asks hosts which they have; `show` reads a release
//! back and says whether it is what was signed.
#![expect(clippy::disallowed_methods, reason = "releases are files of the project")]

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use clap::Subcommand;
use comfy_table::{Table, presets};
use jiff::Timestamp;
use serde_json::json;

use super::ground::{Beginning, moment};
use super::signals::unless_interrupted;
use super::{Common, passphrase};
use crate::domain::{Digest, Environment, HostName, PublicKey, ReleaseId, UserName};
use crate::failure::{Failure, Kind};
use crate::fleet::{Answers, Surveyed};
use crate::inventory::Fleet;
use crate::project::Project;
use crate::release::{self, Release, Set};
use crate::signing::{self, Signer, SigningError};
use crate::store;
use crate::text::{excerpt, visible};
use crate::transport::Identity;
use crate::ui::Printer;

/// What a signature of a release is for; it counts for nothing else.
const NAMESPACE: &str = "palisade-release";

/// Plan releases, announce and install them, and show which one each host has.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Ask the hosts of dev what they would upgrade, and write it down as a release, signed with your key.
    ///
    /// Each host's own apt fetches indexes into a folder of its own and simulates the upgrade: nothing on the host
    /// changes. The release names every package with its version, origin, size and SHA-256, what hosts hold back, which
    /// services run files of the packages, and what asks for a reboot. Hosts that would not get the same are refused.
    #[command(
        after_help = "Examples:\n  palisade patch plan dev --as alice\n  palisade patch plan dev --emergency \"CVE-2026-1234 in \
        openssl is exploited\"\n\n\
        Exit codes: 0 written, 2 refused, 4 a host could not be asked, 6 hosts differ, or the release is there already."
    )]
    Plan(PlanArgs),
    /// Tell the administrators by mail when a release comes, and keep a signed record of it.
    ///
    /// The mail goes to contacts.administrators of the inventory, over the server of `mail:`, with TLS and a login; it
    /// holds what templates/notice.txt.tera makes of the release, and the window as an iCalendar file. What was announced
    /// already is not sent again. It contacts no server but the one for mail.
    #[command(
        after_help = "Examples:\n  palisade patch announce prod --as alice\n  palisade patch announce prod --release 2026-11-28 \
        --next-window\n\n\
        Exit codes: 0 the server took it, or had taken it before; 1 it did not, or it could not be recorded; 2 refused; \
        6 it is too late for the release's window, or the release is not what was signed."
    )]
    Announce(super::announce::Args),
    /// Show which release each host has, how old that is, whether it is overdue, and what is pending. Read-only.
    ///
    /// A host is overdue when the window of a release was over since the host was enrolled, and neither that release nor a
    /// later regular one was completed there; the control `patching` judges by the same rule. What came out of turn is
    /// shown until the next regular release. One connection and one exec for each host.
    #[command(
        after_help = "Examples:\n  palisade patch status prod --as alice\n  palisade patch status prod --format json\n\n\
        Exit codes: 0 no host is overdue; 2 refused; 3 a host is overdue; 4 a host could not be asked, or what it has or \
        what is pending there is not known."
    )]
    Status(super::patch_status::Args),
    /// Install a release: in dev as it was planned, in test and prod what the environment before completed.
    ///
    /// Hosts of dev download exactly the packages that the signed release names, and the project keeps them. Every host gets
    /// them from there over SSH, with their SHA-256 checked on the host; its apt may install those and nothing else. A unit
    /// on the host installs, and goes on when the connection is lost; a run that was killed is started again and attaches.
    /// Services that run replaced files are restarted, and the host is rebooted where the packages ask for it. What ran,
    /// listened and was compliant before has to be so afterwards. One host goes first, then a quarter, then the rest.
    #[command(
        after_help = "Examples:\n  palisade patch apply dev --as alice\n  palisade patch apply prod --release 2026-11-28 --yes\n  \
        palisade patch apply prod --limit web-1 --emergency --reason \"CVE-2026-1234 is exploited\" --yes\n\n\
        Exit codes: 0 completed on every host; 1 failed or interrupted; 2 refused; 4 a host was unreachable or was not begun; \
        6 a gate refused, or a host would get something else."
    )]
    Apply(super::install::Args),
    /// Show what a release holds, and who signed it. Contacts nothing.
    #[command(
        after_help = "Examples:\n  palisade patch show               the newest\n  palisade patch show 2026-11-28 --verbose\n\n\
        Exit codes: 0 it is what somebody with access signed, 2 it is no release, 6 it is not what was signed."
    )]
    Show {
        /// Its name; the newest where it is left out.
        #[arg(value_name = "RELEASE", value_parser = super::checked::<ReleaseId>)]
        release: Option<ReleaseId>,
    },
}

#[derive(Debug, clap::Args)]
struct PlanArgs {
    /// dev: a release begins there.
    #[arg(value_name = "ENV", value_parser = super::environment())]
    environment: Environment,
    /// Which release of the calendar; the next one where it is left out.
    #[arg(long, value_name = "RELEASE", value_parser = super::checked::<ReleaseId>, conflicts_with = "emergency")]
    release: Option<ReleaseId>,
    /// Plan a release out of turn, for this reason; it is recorded in the release.
    #[arg(long, value_name = "REASON")]
    emergency: Option<String>,
}

/// Runs the verb at `now`.
pub fn run(args: &Args, common: &Common, now: Timestamp, printer: &Printer) -> Result<u8, Failure> {
    let now = moment(common, now)?;
    match &args.verb {
        Verb::Plan(args) => plan(args, common, now, *printer),
        Verb::Apply(args) => super::install::run(args, common, now, *printer),
        Verb::Announce(args) => super::announce::run(args, common, now, *printer),
        Verb::Status(args) => super::patch_status::run(args, common, now, *printer),
        Verb::Show { release } => show(release.as_ref(), common, now, *printer),
    }
}

fn plan(args: &PlanArgs, common: &Common, now: Timestamp, printer: Printer) -> Result<u8, Failure> {
    if args.environment != Environment::Dev {
        return Err(Failure::refused(format!("a release does not begin in {}", args.environment))
            .hint("palisade patch plan dev"));
    }
    let beginning = Beginning::new(common, args.environment, printer)?;
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
    printer.text(&words(&release, printer.volume() >= crate::ui::Volume::Verbose))?;
    printer.json(&json!({"release": release, "file": Release::path(&release.id)}))?;
    printer.say(&format!("written to {}, signed by {}", Release::path(&release.id), release.by));
    if common.limit.is_some() {
        printer.say("note: --limit left hosts of dev out; what they alone would need is not in it");
    }
    Ok(0)
}

/// The release that is planned at `now`.
fn name(args: &PlanArgs, project: &Project, now: Timestamp) -> Result<ReleaseId, Failure> {
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
fn all(beginning: &Beginning, answers: Answers<Surveyed>) -> Result<Vec<release::Surveyed>, Failure> {
    let mut silent = Vec::new();
    let mut surveyed = Vec::new();
    let estate = super::estate(&beginning.project, beginning.environment)?;
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

/// What signs for whoever connects.
pub(super) fn signer(identity: &Identity) -> Result<Signer, Failure> {
    if let Some(agent) = identity.file.as_deref().and_then(passphrase::serving) {
        return Ok(Signer::Unlocked(agent));
    }
    match (&identity.file, &identity.agent, &identity.declared) {
        (Some(file), ..) => Ok(Signer::File(file.clone())),
        (None, Some(agent), Some(declared)) => Ok(Signer::Agent(agent.clone(), declared.clone())),
        _ => Err(Failure::refused("no key to sign with")
            .hint("--identity FILE, or an agent that holds a key of yours")),
    }
}

/// Who may sign a release: everybody with access to any server at `now`, and the machine accounts.
pub(super) fn signers(fleet: &Fleet, now: Timestamp) -> Vec<(UserName, Vec<PublicKey>)> {
    let today = now.to_zoned(jiff::tz::TimeZone::UTC).date();
    let enters = |person: &crate::inventory::Person| {
        Environment::ALL.into_iter().any(|environment| person.has_access(environment, today))
    };
    let people = fleet.people.values().filter(|person| enters(person));
    let machines = fleet.environments.values().filter_map(|estate| estate.automation.as_ref());
    people
        .map(|person| (person.user.clone(), person.keys.clone()))
        .chain(machines.map(|machine| (machine.user.clone(), machine.keys.clone())))
        .collect()
}

fn show(id: Option<&ReleaseId>, common: &Common, now: Timestamp, printer: Printer) -> Result<u8, Failure> {
    let project = Project::read(&common.project)?;
    let Signed { release, by, .. } = read_signed(&project, id, now)?;
    printer.text(&words(&release, printer.volume() >= crate::ui::Volume::Verbose))?;
    printer.text(&format!("\nsigned by {by}\n"))?;
    printer.json(&json!({"release": release, "signed_by": by}))?;
    Ok(0)
}

/// A release as it stands in the project, which somebody with access signed.
pub(super) struct Signed {
    pub(super) release: Release,
    /// Its file's bytes.
    pub(super) bytes: Vec<u8>,
    /// The signature's.
    pub(super) signature: Vec<u8>,
    /// Who.
    pub(super) by: UserName,
    /// Of its file.
    pub(super) file: Digest,
}

/// The release `id`, or the newest; refused where it is not what was signed.
pub(super) fn read_signed(
    project: &Project,
    id: Option<&ReleaseId>,
    now: Timestamp,
) -> Result<Signed, Failure> {
    let id = match id {
        Some(id) => id.clone(),
        None => newest(&project.root)?,
    };
    let path = project.root.join(Release::path(&id));
    let bytes = fs::read(&path).map_err(|error| {
        Failure::refused(format!("{} cannot be read: {error}", Release::path(&id)))
            .hint("palisade patch plan dev writes one")
    })?;
    let release = Release::parse(&id, &bytes)?;
    let signature = fs::read(path.with_extension("yaml.sig")).map_err(|error| {
        Failure::new(Kind::Gate, anyhow::anyhow!("{}.sig cannot be read: {error}", Release::path(&id)))
            .hint("a release without its signature is nobody's")
    })?;
    let by = signing::verify(&signers(&project.fleet, now), NAMESPACE, &bytes, &signature);
    let by = by.map_err(|error| match error {
        SigningError::NotValid(_) => Failure::new(
            Kind::Gate,
            anyhow::anyhow!("{}: {error}", Release::path(&id)),
        )
        .hint(
            "it was edited, or whoever signed it has no access any more: take it from the repository again",
        ),
        other => Failure::new(Kind::Failed, other),
    })?;
    Ok(Signed { release, by, file: Digest::of(&bytes), bytes, signature })
}

/// The newest release of the project, by its name.
fn newest(root: &Path) -> Result<ReleaseId, Failure> {
    let entries = fs::read_dir(root.join(release::DIRECTORY)).into_iter().flatten().flatten();
    let ids = entries
        .filter_map(|entry| entry.file_name().to_str()?.strip_suffix(".yaml")?.parse::<ReleaseId>().ok());
    ids.max().ok_or_else(|| {
        Failure::refused("the project has no release").hint("palisade patch plan dev writes one")
    })
}

/// A release for people; with every SHA-256 where `whole`.
fn words(release: &Release, whole: bool) -> String {
    let mut text = format!(
        "Release {}, planned {} by {}\n",
        release.id,
        release.planned.strftime("%Y-%m-%d %H:%M UTC"),
        release.by
    );
    if let Some(reason) = &release.emergency {
        let _ = writeln!(text, "out of turn: {}", visible(reason));
    }
    for set in &release.sets {
        set_words(&mut text, set, whole);
    }
    text
}

fn set_words(text: &mut String, set: &Set, whole: bool) {
    let listed = |items: Vec<&str>| items.join(", ");
    let _ = writeln!(
        text,
        "\n{} {}, as {} would have it: {}, {}",
        set.distribution,
        set.architecture,
        listed(set.hosts.iter().map(HostName::as_str).collect()),
        if set.packages.len() == 1 {
            "1 package".to_owned()
        } else {
            format!("{} packages", set.packages.len())
        },
        bytes(set.size())
    );
    if !set.packages.is_empty() {
        let mut table = Table::new();
        table.load_style(presets::NOTHING).set_header(["PACKAGE", "FROM", "TO", "ORIGIN", "SIZE", "ROLES"]);
        for (name, package) in &set.packages {
            let from = listed(package.from.iter().map(crate::domain::PackageVersion::as_str).collect());
            let roles = listed(package.roles.iter().map(crate::domain::RoleName::as_str).collect());
            table.add_row([
                name.to_string(),
                if from.is_empty() { "(new)".to_owned() } else { from },
                package.version.to_string(),
                excerpt(&package.origin, 40),
                bytes(u64::from(package.size)),
                if roles.is_empty() { "-".to_owned() } else { roles },
            ]);
            if whole {
                table.add_row([String::new(), package.sha256.to_string()]);
            }
        }
        for line in table.to_string().lines() {
            let _ = writeln!(text, " {}", line.trim_end());
        }
    }
    for (title, items) in [
        ("restarts", set.restarts.iter().map(crate::domain::UnitName::as_str).collect::<Vec<_>>()),
        ("asks for a reboot", set.reboot().into_iter().map(crate::domain::PackageName::as_str).collect()),
        ("held, and left as they are", set.held.iter().map(crate::domain::PackageName::as_str).collect()),
        (
            "kept back, since others would have to go",
            set.kept_back.iter().map(crate::domain::PackageName::as_str).collect(),
        ),
    ] {
        if !items.is_empty() {
            let _ = writeln!(text, "  {title}: {}", items.join(", "));
        }
    }
}

fn bytes(count: u64) -> String {
    match count {
        0..1024 => format!("{count} B"),
        1024..1_048_576 => format!("{} KiB", count.div_ceil(1024)),
        _ => format!("{} MiB", count.div_ceil(1_048_576)),
    }
}
