//! `palisade patch announce`: tells administrators by mail when a release comes, and keeps a signed record of it. Contacts the
//! mail server alone.
#![expect(clippy::disallowed_methods, reason = "records of notices are files of the project")]

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, IsTerminal as _};

use jiff::Timestamp;

use super::signed::{Signed, read_signed};
use crate::calendar::{self, Plan, Slot, Span};
use crate::command::{Common, ask, environment_inventory, inputs, passphrase};
use crate::domain::{Digest, Environment, PackageName, ReleaseId, UnitName};
use crate::failure::{Failure, Kind};
use crate::fleet;
use crate::inventory::{EnvironmentInventory, MailServer};
use crate::mail::{self, Mail};
use crate::project::Project;
use crate::release::Release;
use crate::release::notice::{self, NoNotice, Notice};
use crate::release::signers::recorders;
use crate::report::{Announced, Page};
use crate::secret::{Allowed, SecretError, Secrets};
use crate::signing;
use crate::store;
use crate::template::NoticeContext;
use crate::ui::Printer;

/// What a signature of a notice's record is for.
const NAMESPACE: &str = "palisade-notice";

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Where work is done.
    #[arg(value_name = "ENV", value_parser = crate::command::environment())]
    environment: Environment,
    /// Which release; the newest where it is left out.
    #[arg(long, value_name = "RELEASE", value_parser = crate::command::checked::<ReleaseId>)]
    release: Option<ReleaseId>,
    /// Announce it for the next window that is far enough away, whatever its own was.
    #[arg(long)]
    next_window: bool,
    /// Let a secret go to this receiver, without asking: `smtp-password=smtp.example.com:587`. For jobs; a person at a terminal
    /// is asked at the first use, and not again.
    #[arg(long, value_name = "NAME=RECEIVER")]
    allow_secret: Vec<Allowed>,
}

/// What is announced.
struct Announcement<'p> {
    project: &'p Project,
    plan: &'p Plan,
    inventory: &'p EnvironmentInventory,
    release: &'p Release,
    window: Span,
}

pub(super) fn run(args: &Args, common: &Common, now: Timestamp, printer: Printer) -> Result<u8, Failure> {
    let project = Project::read(&common.project)?;
    let inventory = environment_inventory(&project, args.environment)?;
    let (Some(plan), Some(server)) = (&project.fleet.release, &project.fleet.mail) else {
        return Err(Failure::refused(
            "inventories/fleet.yaml does not say when releases come, or how mail is sent",
        )
        .hint("add `release:`, and `mail:` with server, from, user and password"));
    };
    if project.fleet.administrators.is_empty() {
        return Err(Failure::refused("nobody would be told: inventories/fleet.yaml names no administrators")
            .hint("add their addresses as contacts.administrators"));
    }
    let today = now.to_zoned(jiff::tz::TimeZone::UTC).date();
    let by = inputs::person(&project, inventory, common.person.as_ref(), today)?;
    let identity = inputs::identity(common, &project, inventory, &by);
    let Signed { release, file, .. } = read_signed(&project, args.release.as_ref(), now)?;
    let window =
        notice::window(plan, &release.id, args.environment, now, args.next_window).map_err(refused)?;
    let path = Notice::path(&release.id, args.environment, &window);
    if let Some(sent) = kept(&project, args.environment, &path, now)?
        && sent.tells(&release, &file, args.environment, &window)
    {
        printer.say(&format!(
            "announced already, at {} by {}",
            sent.sent.strftime("%Y-%m-%d %H:%M UTC"),
            sent.by
        ));
        printer.show(&Page::Announced(&Announced { notice: &sent, record: &path, mail: None }))?;
        return Ok(0);
    }
    let announced = Announcement { project: &project, plan, inventory, release: &release, window };
    let mail = announced.mail(now)?;
    // Whoever cannot sign finds out before anybody is written to. A passphrase is asked for once, and not by ssh-keygen.
    let _unlocked = passphrase::unlocked(&identity)?;
    let signer = super::signed::signer(&identity)?;
    signing::sign(&signer, NAMESPACE, b"").map_err(|error| Failure::new(Kind::Failed, error))?;
    let password = password(args, &project, server)?;
    let answer = mail::send(server, &password, &mail).map_err(|error| {
        Failure::new(Kind::Failed, error)
            .hint("nothing was recorded: run it again once the server takes mail")
    })?;
    let sent = announced.record(server, &mail, answer, file, by, fleet::now());
    let bytes = serde_json::to_vec_pretty(&sent).map_err(|error| Failure::from(anyhow::Error::new(error)))?;
    let signature =
        signing::sign(&signer, NAMESPACE, &bytes).map_err(|error| Failure::new(Kind::Failed, error))?;
    store::replace(&project.root.join(format!("{path}.sig")), &signature)?;
    store::replace(&project.root.join(&path), &bytes)?;
    printer.show(&Page::Announced(&Announced { notice: &sent, record: &path, mail: Some(&mail) }))?;
    printer.say(&format!("sent to {}; recorded in {path}", sent.to.join(", ")));
    Ok(0)
}

/// The password of the mail account, once it may go to that server.
fn password(args: &Args, project: &Project, server: &MailServer) -> Result<String, Failure> {
    let (name, receiver) = (&server.password, format!("{}:{}", server.server, server.port));
    let secrets = Secrets::of_user();
    let gate = |error: SecretError| {
        let hint = error.hint().unwrap_or_else(|| "nobody was written to".to_owned());
        Failure::new(Kind::Gate, error).hint(hint)
    };
    let secret = secrets.line(name, &project.root).map_err(gate)?;
    if secrets.may_go(name, &receiver, &args.allow_secret).map_err(gate)? {
        return Ok(secret);
    }
    let asks = io::stdin().is_terminal();
    if !asks || !ask(&format!("The secret {name} goes to {receiver} for the first time. Type yes: "))? {
        let why = anyhow::anyhow!(
            "the secret {name} was never sent to {receiver} from here; nobody was written to"
        );
        return Err(Failure::new(Kind::Gate, why).hint(format!(
            "find out whose server that is, then say yes at a terminal, or give --allow-secret {name}={receiver}"
        )));
    }
    secrets.remember(name, &receiver).map_err(gate)?;
    Ok(secret)
}

fn refused(why: NoNotice) -> Failure {
    let next = match &why {
        NoNotice::TooLate { next: Some(next), .. } => {
            Some(next.opens.strftime("%a %Y-%m-%d %H:%M").to_string())
        }
        _ => None,
    };
    let failure = Failure::new(Kind::Gate, why);
    match next {
        Some(next) => failure.hint(format!("--next-window announces it for {next}")),
        None => failure.hint("palisade calendar shows the windows"),
    }
}

/// The record at `path`, where there is one; refused where somebody else wrote it.
pub(in crate::command) fn kept(
    project: &Project,
    environment: Environment,
    path: &str,
    now: Timestamp,
) -> Result<Option<Notice>, Failure> {
    let read = |path: &str| match fs::read(project.root.join(path)) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Failure::refused(format!("{path} cannot be read: {error}"))),
    };
    let Some(bytes) = read(path)? else { return Ok(None) };
    let signature = read(&format!("{path}.sig"))?.unwrap_or_default();
    let wrong = |why: String| {
        Failure::new(Kind::Gate, anyhow::anyhow!("{path}: {why}"))
            .hint("remove the record and its .sig to send the notice again")
    };
    signing::verify(&recorders(&project.fleet, environment, now), NAMESPACE, &bytes, &signature)
        .map_err(|error| wrong(error.to_string()))?;
    serde_json::from_slice(&bytes).map(Some).map_err(|error| wrong(error.to_string()))
}

impl Announcement<'_> {
    fn mail(&self, now: Timestamp) -> Result<Mail, Failure> {
        let id = &self.release.id;
        let environment = self.inventory.environment;
        let company = &self.project.fleet.company;
        let day_and_time = |moment: &jiff::Zoned| moment.strftime("%a %Y-%m-%d %H:%M %Z").to_string();
        let sets = &self.release.sets;
        let packages = || sets.iter().flat_map(|set| set.packages.values());
        let restarts: BTreeSet<&UnitName> = sets.iter().flat_map(|set| &set.restarts).collect();
        let reboot: BTreeSet<&PackageName> = sets.iter().flat_map(crate::release::Set::reboot).collect();
        let context = NoticeContext {
            company: company.clone(),
            environment: environment.to_string(),
            release: id.to_string(),
            opens: day_and_time(&self.window.opens),
            closes: day_and_time(&self.window.closes),
            timezone: self.plan.timezone.name().to_owned(),
            hosts: self.inventory.hosts.keys().map(ToString::to_string).collect(),
            packages: packages().count(),
            security: packages().filter(|package| package.is_security()).count(),
            restarts: restarts.into_iter().map(ToString::to_string).collect(),
            reboot: reboot.into_iter().map(ToString::to_string).collect(),
            emergency: self.release.emergency.clone().unwrap_or_default(),
        };
        let text =
            self.project.templates.notice(&context).map_err(|error| Failure::new(Kind::Refused, error))?;
        let event = calendar::Release {
            id: self.window.opens.date(),
            number: 1,
            slots: vec![Slot { environment, window: Some(self.window.clone()), moved: None }],
        };
        let subject =
            format!("[{company}] Maintenance of {environment}: {}", day_and_time(&self.window.opens));
        Ok(Mail {
            to: self.project.fleet.administrators.clone(),
            subject,
            text,
            calendar: calendar::calendar(self.plan, company, &[event], &[environment], now),
            id: format!("{}@palisade.invalid", fleet::run_id()),
            sent: now,
        })
    }

    fn record(
        &self,
        server: &MailServer,
        mail: &Mail,
        answer: String,
        file: Digest,
        by: crate::domain::UserName,
        sent: Timestamp,
    ) -> Notice {
        Notice {
            schema: notice::SCHEMA,
            release: self.release.id.clone(),
            sha256: file,
            environment: self.inventory.environment,
            opens: self.window.opens.timestamp(),
            closes: self.window.closes.timestamp(),
            sent,
            by,
            to: mail.to.clone(),
            message: mail.id.clone(),
            server: format!("{}:{}", server.server, server.port),
            answer,
        }
    }
}
