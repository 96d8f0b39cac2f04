//! `palisade enrol`: first contact with hosts. Who is trusted, and what is put on a host, is decided below.
#![expect(
    clippy::disallowed_methods,
    reason = "the agent's socket, the local account and the file of fingerprints come in at the edge"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, BufRead as _, IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::sync::Arc;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use jiff::civil::Date;

use super::inputs::{TOOL, machine};
use super::signals::unless_interrupted;
use super::{Common, Transport, checked, environment_inventory, passphrase};
use crate::domain::{Address, Comment, Environment, Fingerprint, HostName, PublicKey, UserName};
use crate::enrolment::{Newcomer, parse_fingerprints};
use crate::event::{Event, Sink};
use crate::failure::{Failure, Kind};
use crate::fleet::{Access, Ask, CONNECT_TIMEOUT, Enrol, now, run_id};
use crate::inventory::{Person, select};
use crate::known_hosts::KnownHosts;
use crate::project::Project;
use crate::record::{AsHostEntry as _, Counts, Enrolled, Footer, Header, Line, SCHEMA};
use crate::report::{Depth, Head, Page, Report};
use crate::store::{self, Ledger, Writing};
use crate::text::visible;
use crate::transaction::Operator;
use crate::transport::{Identity, KeyAgent, RusshConnector};
use crate::ui::{Format, Printer};

/// Make first contact with hosts: pin their keys, and prepare them for changes that can be taken back.
///
/// A host's key is accepted only by its fingerprint, from a person. On the host it makes your account, with your
/// declared keys and sudo, marks the environment, installs the recovery unit, and fires one harmless rollback to see
/// it work. A host that is enrolled is checked, and left alone where nothing is missing.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  palisade enrol prod web-1 --as alice --bootstrap-user debian \\\n      \
    --fingerprint web-1=SHA256:uNiVztksCsDhcc0u9e8BrJXL44DoIKgiZEPj0GSqIGE\n  \
    palisade enrol dev --as alice --bootstrap-user debian --fingerprints fingerprints.yaml\n  \
    palisade enrol prod --as alice --bootstrap-user debian --replace web-1\n\n\
    A host's fingerprint is read on its provider's console:\n  \
    ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub\n\n\
    First contact is always made within this process, never by ssh(1): a key that nobody pinned yet must be judged by \
    its fingerprint before anything is sent, and an ssh configuration could lead to another machine. A host that only a \
    ProxyCommand reaches is enrolled from where it can be reached, or with `jump:` in the inventory.\n\n\
    Exit codes: 0 all enrolled, 1 something failed, 2 bad usage, 4 a host was unreachable, 6 a host was refused."
)]
pub struct Args {
    /// dev, test or prod.
    #[arg(value_name = "ENV", value_parser = super::environment())]
    environment: Environment,
    /// Which hosts; all of the environment where none is named.
    #[arg(value_name = "HOST", value_parser = checked::<HostName>, conflicts_with = "limit")]
    hosts: Vec<HostName>,
    /// The account that the provider delivered. Needed until a host knows you.
    #[arg(long, value_name = "USER", value_parser = checked::<UserName>)]
    bootstrap_user: Option<UserName>,
    /// The private key that opens it, where it is another than yours.
    #[arg(long, value_name = "FILE", requires = "bootstrap_user")]
    bootstrap_identity: Option<PathBuf>,
    /// The fingerprint that a host's key must have; may be given several times.
    #[arg(long = "fingerprint", value_name = "HOST=SHA256:...", value_parser = fingerprint)]
    fingerprints: Vec<(HostName, Fingerprint)>,
    /// A file of them: `host: SHA256:...` lines.
    #[arg(long = "fingerprints", value_name = "FILE")]
    fingerprints_file: Option<PathBuf>,
    /// A host that was installed anew: another key and another machine are expected. May be given several times.
    #[arg(long, value_name = "HOST", value_parser = checked::<HostName>)]
    replace: Vec<HostName>,
}

fn fingerprint(text: &str) -> Result<(HostName, Fingerprint), String> {
    let (host, print) = text.split_once('=').ok_or("write HOST=SHA256:...")?;
    Ok((checked(host)?, checked(print)?))
}

/// Runs the verb. `today` is where people's access is judged.
pub fn run(args: &Args, common: &Common, today: Date, printer: &Printer) -> Result<u8, Failure> {
    let project = Project::read(&common.project)?;
    let inventory = environment_inventory(&project, args.environment)?;
    let named: Vec<&str> = if args.hosts.is_empty() { args.replace.iter() } else { args.hosts.iter() }
        .map(HostName::as_str)
        .collect();
    let pattern = if named.is_empty() { common.limit.clone() } else { Some(named.join(",")) };
    let hosts = select(inventory, pattern.as_deref()).map_err(|error| Failure::new(Kind::Refused, error))?;
    if let Some(stray) = args.replace.iter().find(|name| !hosts.iter().any(|host| host.name == **name)) {
        return Err(Failure::refused(format!("--replace {stray}: that host is not among those to enrol")));
    }
    let person = person(&project, common, args.environment, today)?;
    let (enrol, _agents) = enrol(args, common, &project, person, *printer)?;
    let began = now();
    let results = unless_interrupted(enrol.run(inventory, &hosts)).map_err(|failure| match failure.kind {
        Kind::Interrupted => Failure::new(
            Kind::Interrupted,
            anyhow::anyhow!("interrupted: a host in the middle is as far as it came; no record is kept"),
        )
        .hint(format!("palisade enrol {} goes on where each host is", args.environment)),
        _ => failure,
    })?;
    let head = Head {
        verb: "enrol".to_owned(),
        environment: Some(args.environment),
        run: enrol.operator.run.clone(),
        tool: TOOL.to_owned(),
        controls: Vec::new(),
        release: None,
        jump_connections: enrol.connector.jump_connections(),
        interrupted: false,
        evidence: None,
    };
    let mut report = Report::new(head, results);
    report.head.evidence = Some(keep(&project, &enrol, began, &report)?);
    printer.show(&Page::Run(&report, Depth::Diffs))?;
    Ok(report.exit())
}

fn enrol(
    args: &Args,
    common: &Common,
    project: &Project,
    person: &Person,
    printer: Printer,
) -> Result<(Enrol, Vec<Arc<KeyAgent>>), Failure> {
    if common.transport == Transport::Openssh {
        return Err(Failure::refused("first contact is made within this process, not by ssh(1)").hint(
            "leave --transport out; a host behind a ProxyCommand is enrolled from where it can be reached, or with `jump:`",
        ));
    }
    let mut given: BTreeMap<HostName, Vec<Fingerprint>> = match &args.fingerprints_file {
        None => BTreeMap::new(),
        Some(path) => {
            let shown = visible(&path.to_string_lossy());
            let bytes = std::fs::read(path)
                .map_err(|error| Failure::refused(format!("{shown} cannot be read: {error}")))?;
            parse_fingerprints(&shown, &bytes)?
        }
    };
    let mut typed: BTreeMap<HostName, Vec<Fingerprint>> = BTreeMap::new();
    for (host, print) in &args.fingerprints {
        typed.entry(host.clone()).or_default().push(print.clone());
    }
    // What is typed for a host counts alone, whatever the file says.
    given.extend(typed);
    let pins = KnownHosts::parse(&project.known_hosts)
        .map_err(|refused| Failure::refused(format!("known_hosts, {refused}")).hint(refused.fix))?;
    let mut identity = Identity {
        file: common.identity.clone(),
        agent: std::env::var_os("SSH_AUTH_SOCK").map(PathBuf::from),
        declared: Some(person.keys.clone()),
    };
    let mut agents = Vec::new();
    let mut unlock = |identity: &mut Identity| {
        if let Some(agent) = passphrase::unlocked(identity)? {
            identity.agent = Some(agent.socket().to_owned());
            agents.push(agent);
        }
        Ok::<_, Failure>(())
    };
    unlock(&mut identity)?;
    // The provider's account is opened by the key that is named for it, else by the person's own.
    let mut bootstrap = args.bootstrap_user.clone().map(|user| {
        let file = args.bootstrap_identity.clone().or_else(|| identity.file.clone());
        let declared = if file.is_some() { None } else { identity.declared.clone() };
        (user, Identity { file, agent: identity.agent.clone(), declared })
    });
    if let Some((_, identity)) = &mut bootstrap {
        unlock(identity)?;
    }
    let at_terminal = io::stdin().is_terminal() && io::stderr().is_terminal();
    let enrol = Enrol {
        connector: Arc::new(RusshConnector::new()),
        events: Arc::new(Lines(printer)),
        operator: Operator { run: run_id(), who: person.user.clone(), from: machine() },
        ledger: Ledger::new(&common.project),
        environment: args.environment,
        newcomer: Newcomer { user: person.user.clone(), comment: comment(person), keys: person.keys.clone() },
        access: Access {
            user: person.user.clone(),
            identity,
            pins: Arc::new(pins),
            connect_timeout: CONNECT_TIMEOUT,
        },
        bootstrap,
        given,
        ask: (at_terminal && common.format == Format::Text)
            .then(|| Arc::new(AtTerminal::default()) as Arc<dyn Ask>),
        replace: args.replace.iter().cloned().collect::<BTreeSet<_>>(),
        concurrency: usize::from(common.concurrency),
    };
    Ok((enrol, agents))
}

/// Writes the run's record; where it lies.
fn keep(
    project: &Project,
    enrol: &Enrol,
    began: jiff::Timestamp,
    report: &Report<Vec<Enrolled>>,
) -> Result<String, Failure> {
    let operator = &enrol.operator;
    let name = store::folder_name(&operator.run, enrol.environment, "enrol");
    let write = || {
        let mut record = Writing::begin(&project.root, &name)?;
        record.line(&Line::Run(&Header {
            schema: SCHEMA,
            run: operator.run.clone(),
            tool: TOOL.to_owned(),
            verb: "enrol".to_owned(),
            environment: enrol.environment,
            by: Some(operator.who.clone()),
            from: operator.from.clone(),
            began,
            inputs: project.inputs.clone(),
            hosts: report.hosts().iter().map(|result| result.host.to_string()).collect(),
            controls: Vec::new(),
            plan: None,
        }))?;
        for line in report.hosts().iter().flat_map(|host| host.entry().lines()) {
            record.line(&line)?;
        }
        record.line(&Line::End(&Footer {
            ended: now(),
            exit: report.exit(),
            summary: Counts::Enrolled(report.tally().enrolment),
            interrupted: false,
            jump_connections: report.head.jump_connections.clone(),
        }))?;
        record.finish(&operator.run)
    };
    let folder = write().map_err(|error: io::Error| {
        Failure::from(anyhow::anyhow!("the run's record could not be written to runs/{name}: {error}"))
    })?;
    Ok(folder.display().to_string())
}

/// The person who enrols: `--as`, else the local account's name where it is declared.
fn person<'p>(
    project: &'p Project,
    common: &Common,
    environment: Environment,
    today: Date,
) -> Result<&'p Person, Failure> {
    let people = &project.fleet.people;
    let may = |person: &&Person| person.has_access(environment, today);
    let who: Vec<&str> = people.values().filter(may).map(|person| person.user.as_str()).collect();
    let hint = format!("name yourself with --as: {}", who.join(", "));
    match &common.person {
        Some(user) => people.get(user).filter(may).ok_or_else(|| {
            Failure::refused(format!("{user} is not a person with access to {environment} today")).hint(hint)
        }),
        None => std::env::var("USER")
            .ok()
            .and_then(|user| people.get(&user.parse::<UserName>().ok()?))
            .filter(may)
            .ok_or_else(|| Failure::refused(format!("who enrols the hosts of {environment}?")).hint(hint)),
    }
}

/// The account's comment field, as apply would make it.
fn comment(person: &Person) -> Comment {
    format!("{} ({})", person.name, person.title).parse().unwrap_or_else(|_| person.name.clone())
}

/// Plain lines, as things happen: a moving one would be drawn over a question.
struct Lines(Printer);

impl Sink for Lines {
    fn emit(&self, event: Event) {
        match event {
            Event::Asking { host } => self.0.detail(&format!("{host}: asking for its key")),
            Event::Finished { host, summary, good: true } => self.0.say(&format!("{host}: {summary}")),
            Event::Finished { host, summary, good: false } => self.0.insist(&format!("{host}: {summary}")),
            Event::Note { text } => self.0.say(&text),
            _ => {}
        }
    }
}

/// Asks the person at the terminal, one host at a time.
#[derive(Default)]
struct AtTerminal(Arc<tokio::sync::Mutex<()>>);

impl Ask for AtTerminal {
    fn confirm<'a>(
        &'a self,
        host: &'a HostName,
        address: Address,
        shown: &'a PublicKey,
    ) -> BoxFuture<'a, bool> {
        async move {
            let _turn = self.0.lock().await;
            let print = shown.fingerprint();
            let question = format!(
                "\n{host} ({address}) shows {print}\nOn its console, run: ssh-keygen -lf \
                 /etc/ssh/ssh_host_ed25519_key.pub\nType yes if that is what it says there, or paste it: "
            );
            // Left behind by Ctrl-C, which does not wait for an answer.
            let (told, answer) = tokio::sync::oneshot::channel();
            let ask = move || {
                let mut err = anstream::stderr().lock();
                write!(err, "{question}")?;
                err.flush()?;
                drop(err);
                let mut answer = String::new();
                io::stdin().lock().read_line(&mut answer)?;
                Ok::<_, io::Error>(answer)
            };
            let thread = std::thread::Builder::new().name("question".to_owned());
            drop(thread.spawn(move || drop(told.send(ask()))));
            let answer = answer.await.ok().and_then(Result::ok).unwrap_or_default();
            answer.trim() == "yes" || answer.trim() == print.as_str()
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typed_fingerprint_names_its_host() {
        let print = "SHA256:uNiVztksCsDhcc0u9e8BrJXL44DoIKgiZEPj0GSqIGE";
        assert_eq!(fingerprint(&format!("web-1={print}")).unwrap().0.as_str(), "web-1");
        assert!(fingerprint(print).is_err());
        assert!(fingerprint("web-1=SHA256:short").unwrap_err().contains("SHA-256"));
    }
}
