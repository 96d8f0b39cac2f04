//! First contact: scan, trust, survey, install, log in as the person, rehearse a rollback, and only then record.
//!
//! Hosts behind a jump host come after it. One host's failure stops no other. Nothing is recorded of a host on which
//! not everything worked; what was installed on it until then does no harm and is found again by the next try.

mod rehearsal;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures::StreamExt as _;
use futures::future::BoxFuture;

use super::access::Access;
use super::{add_cost, instant, nonce, now};
use crate::domain::{Address, Environment, Fingerprint, HostName, PublicKey, UserName};
use crate::enrolment::{
    self, Newcomer, Refusal, Survey, Trust, install_script, installed, may_enrol, read_survey, survey_script,
};
use crate::event::{Event, Sink};
use crate::inventory::{EnvironmentInventory, Host, HostIdentity, Route};
use crate::known_hosts::{KnownHosts, pin, repin};
use crate::probe;
use crate::record::{Cost, EnrolState, Enrolled};
use crate::shell::Script;
use crate::store::{Entries, Ledger};
use crate::transaction::Operator;
use crate::transport::{
    Bounds, Connector as _, Entry, HostKeys, Identity, RusshConnector, Session, Target, TransportError,
};

/// Asks a person whether the host at `address` really has this key.
pub trait Ask: Send + Sync {
    /// True only after an explicit yes.
    fn confirm<'a>(
        &'a self,
        host: &'a HostName,
        address: Address,
        shown: &'a PublicKey,
    ) -> BoxFuture<'a, bool>;
}

/// Enrols hosts of one environment.
pub struct Enrol {
    /// Opens connections.
    pub connector: Arc<RusshConnector>,
    /// Takes events.
    pub events: Arc<dyn Sink>,
    /// Who, and the run's id.
    pub operator: Operator,
    /// Where pins and identities are recorded.
    pub ledger: Ledger,
    /// Where the hosts belong.
    pub environment: Environment,
    /// The person who enrols, with account and keys.
    pub newcomer: Newcomer,
    /// How that person connects. Its pins are those at the start of the run.
    pub access: Access,
    /// The account that the provider delivered, and what proves it.
    pub bootstrap: Option<(UserName, Identity)>,
    /// Fingerprints that a person gave.
    pub given: BTreeMap<HostName, Vec<Fingerprint>>,
    /// Who is asked about the others; nobody where there is no terminal.
    pub ask: Option<Arc<dyn Ask>>,
    /// Hosts that were installed anew.
    pub replace: BTreeSet<HostName>,
    /// Hosts at the same time.
    pub concurrency: usize,
}

impl From<Refusal> for EnrolState {
    fn from(refusal: Refusal) -> Self {
        Self::Refused { reason: refusal.why, hint: refusal.fix }
    }
}

impl From<TransportError> for EnrolState {
    fn from(error: TransportError) -> Self {
        let reason = error.to_string();
        match error {
            TransportError::NoIdentity { .. } => Self::Failed { reason },
            TransportError::KeyUnknown { .. }
            | TransportError::KeyChanged { .. }
            | TransportError::KeyRevoked { .. } => Self::Refused {
                reason,
                hint: "its key changed in the middle of the enrolment: find out who answers there".to_owned(),
            },
            TransportError::Unsupported { .. } => {
                Self::Refused { reason, hint: "nothing weaker is negotiated".to_owned() }
            }
            _ => Self::Unreachable { reason },
        }
    }
}

impl EnrolState {
    /// The same where `host` was named just before: what is said of it says "it".
    fn about(mut self, host: &HostName) -> Self {
        if let Self::Unreachable { reason } | Self::Refused { reason, .. } | Self::Failed { reason } =
            &mut self
            && let Some(rest) = reason.strip_prefix(host.as_str()).and_then(|rest| rest.strip_prefix(' '))
        {
            *reason = format!("it {rest}");
        }
        self
    }
}

/// As whom a session was opened.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Via {
    Person,
    Bootstrap,
}

impl Enrol {
    /// Enrols `hosts`, those on the way to others first.
    pub async fn run(&self, inventory: &EnvironmentInventory, hosts: &[&Host]) -> Vec<Enrolled> {
        let named: BTreeSet<&HostName> = hosts.iter().map(|host| &host.name).collect();
        let mut waves: BTreeMap<usize, Vec<(usize, &Host)>> = BTreeMap::new();
        for (place, host) in hosts.iter().copied().enumerate() {
            let depth = inventory.route(host).map_or(0, |way| way.over.len());
            waves.entry(depth).or_default().push((place, host));
        }
        let mut results: BTreeMap<usize, Enrolled> = BTreeMap::new();
        for wave in waves.into_values() {
            let done: Vec<(usize, Enrolled)> = futures::stream::iter(wave)
                .map(|(place, host)| {
                    let named = &named;
                    async move { (place, self.enrol_one(inventory, host, named).await) }
                })
                .buffer_unordered(self.concurrency.max(1))
                .collect()
                .await;
            results.extend(done);
        }
        results.into_values().collect()
    }

    async fn enrol_one(
        &self,
        inventory: &EnvironmentInventory,
        host: &Host,
        named: &BTreeSet<&HostName>,
    ) -> Enrolled {
        self.events.emit(Event::Asking { host: host.name.clone() });
        let begun = instant();
        let way = inventory.route(host);
        let mut result = Enrolled {
            host: host.name.clone(),
            address: way.as_ref().map(|way| way.address),
            state: EnrolState::Unchanged,
            fingerprint: None,
            machine_id: None,
            distribution: None,
            changes: Vec::new(),
            rollback_milliseconds: None,
            cost: Cost::default(),
            milliseconds: 0,
        };
        result.state = match way {
            None => EnrolState::Failed { reason: "no address leads to it in the inventory".to_owned() },
            Some(way) => {
                let came = self.first_contact(&way, named, &mut result).await;
                came.unwrap_or_else(|state| state.about(&host.name))
            }
        };
        result.milliseconds = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        let (summary, good) = match &result.state {
            EnrolState::Enrolled => ("enrolled".to_owned(), true),
            EnrolState::Unchanged => ("enrolled already, nothing to change".to_owned(), true),
            EnrolState::Refused { reason, hint } => (format!("{reason}; {hint}"), false),
            EnrolState::Unreachable { reason } | EnrolState::Failed { reason } => (reason.clone(), false),
        };
        self.events.emit(Event::Finished { host: host.name.clone(), summary, good });
        result
    }

    /// `named` are the hosts of this run: whoever is on the way to this one had its turn before.
    async fn first_contact(
        &self,
        way: &Route<'_>,
        named: &BTreeSet<&HostName>,
        result: &mut Enrolled,
    ) -> Result<EnrolState, EnrolState> {
        let host = &way.host.name;
        let failed = |reason: String| EnrolState::Failed { reason };
        let entries = self.ledger.read().map_err(|error| failed(error.to_string()))?;
        if let Some((jump, _)) =
            way.over.iter().find(|(jump, _)| !entries.identities.hosts.contains_key(&jump.name))
        {
            let why = format!("its jump host {} is not enrolled", jump.name);
            let fix = if named.contains(&jump.name) {
                format!("look first at what kept {} from being enrolled", jump.name)
            } else {
                "enrol that one first, or with it".to_owned()
            };
            return Err(Refusal { why, fix }.into());
        }
        let replace = self.replace.contains(host);
        let known = KnownHosts::parse(&entries.pins).map_err(|error| failed(error.to_string()))?;
        let mut target = Access { pins: Arc::new(known), ..self.access.clone() }.target(way);

        let shown = self.connector.scan_host_key(&target).await?;
        result.cost.connections += 1;
        result.fingerprint = Some(shown.fingerprint());
        self.check_trust(&target, &shown, replace).await?;
        let edit = if replace { repin } else { pin };
        let pins =
            edit(&entries.pins, host, std::slice::from_ref(&shown)).map_err(|e| failed(e.to_string()))?;
        let known = KnownHosts::parse(&pins).map_err(|error| failed(error.to_string()))?;
        target.host_keys = HostKeys::Pinned(Arc::new(known));

        let enrolled = entries.identities.hosts.get(host).filter(|_| !replace);
        let (via, session) = self.open(&target, enrolled.is_some()).await?;
        let prepared = self.prepare(session.as_ref(), via, host, &entries, replace, result).await;
        let session = match prepared {
            Ok(_) if via == Via::Bootstrap => {
                self.end(session, result).await;
                self.connector.connect(&target).await.map_err(|error| {
                    failed(format!(
                        "the account of {} was made, but its login does not work: {error}; look at AllowUsers, \
                         AuthorizedKeysFile and PAM on the host",
                        target.user
                    ))
                })?
            }
            _ => session,
        };
        let finished = match prepared {
            Err(state) => Err(state),
            Ok(survey) => {
                self.finish(session.as_ref(), &target, &survey, enrolled, result).await.map(|()| survey)
            }
        };
        self.end(session, result).await;
        let survey = finished?;
        let vendor = match (via, &self.bootstrap) {
            (Via::Bootstrap, Some((user, _))) if *user != target.user && *user != UserName::root() => {
                Some(user.clone())
            }
            _ => entries.identities.hosts.get(host).and_then(|known| known.vendor.clone()),
        };
        if enrolled.is_some() && result.changes.is_empty() && pins == entries.pins {
            return Ok(EnrolState::Unchanged);
        }
        let identity = HostIdentity {
            machine_id: survey.facts.machine_id,
            environment: self.environment,
            distribution: survey.facts.distribution,
            vendor,
            enrolled: now(),
            by: target.user.clone(),
        };
        let recorded = self.ledger.update(|entries| {
            let mut identities = entries.identities;
            identities.hosts.insert(host.clone(), identity);
            Ok(Entries { pins: edit(&entries.pins, host, &[shown])?, identities })
        });
        recorded
            .map_err(|error| failed(format!("everything worked, but it could not be recorded: {error}")))?;
        Ok(EnrolState::Enrolled)
    }

    async fn check_trust(&self, target: &Target, shown: &PublicKey, replace: bool) -> Result<(), EnrolState> {
        let HostKeys::Pinned(known) = &target.host_keys else {
            return Err(EnrolState::Failed { reason: "no pins were given".to_owned() });
        };
        let given = self.given.get(&target.host).map_or(&[][..], Vec::as_slice);
        match enrolment::trust(known, &target.host, shown, given, replace)? {
            Trust::Pinned | Trust::Confirmed => Ok(()),
            Trust::Ask => {
                let host = &target.host;
                let print = shown.fingerprint();
                let confirmed = match &self.ask {
                    Some(ask) => ask.confirm(host, target.address, shown).await,
                    None => false,
                };
                if confirmed {
                    return Ok(());
                }
                let why = format!("nobody confirmed its key: {print}");
                let fix = format!(
                    "compare it with `ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub` on the provider's console, \
                     then give what you read there: --fingerprint {host}=SHA256:…"
                );
                Err(Refusal { why, fix }.into())
            }
        }
    }

    /// As the person where the host was enrolled before, else as the account that the provider delivered.
    async fn open(&self, target: &Target, enrolled: bool) -> Result<(Via, Box<dyn Session>), EnrolState> {
        let bootstrap = self.bootstrap.as_ref().map(|(user, identity)| Target {
            user: user.clone(),
            identity: identity.clone(),
            ..target.clone()
        });
        let Some(bootstrap) = bootstrap else {
            return match self.connector.connect(target).await {
                Ok(session) => Ok((Via::Person, session)),
                Err(error @ TransportError::Refused { .. }) if !enrolled => Err(EnrolState::Refused {
                    reason: error.to_string(),
                    hint: "name the account that the provider delivered: --bootstrap-user debian".to_owned(),
                }),
                Err(error) => Err(error.into()),
            };
        };
        if enrolled {
            match self.connector.connect(target).await {
                Ok(session) => return Ok((Via::Person, session)),
                Err(TransportError::Refused { .. } | TransportError::NoIdentity { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok((Via::Bootstrap, self.connector.connect(&bootstrap).await?))
    }

    /// Looks at the machine, and installs what it lacks.
    async fn prepare(
        &self,
        session: &dyn Session,
        via: Via,
        host: &HostName,
        entries: &Entries,
        replace: bool,
        result: &mut Enrolled,
    ) -> Result<Survey, EnrolState> {
        let first = nonce();
        let output = session.run(&survey_script(&first), Entry::Root, Bounds::default()).await?;
        let survey = read_survey(&first, &output)
            .map_err(|unread| EnrolState::Failed { reason: unread.to_string() })?;
        result.machine_id = Some(survey.facts.machine_id.clone());
        result.distribution = Some(survey.facts.distribution.clone());
        may_enrol(&survey, host, self.environment, &entries.identities, replace)?;
        let newcomer = (via == Via::Bootstrap).then_some(&self.newcomer);
        let second = nonce();
        let script = install_script(&second, self.environment, newcomer);
        let output = session.run(&script, Entry::Root, Bounds::default()).await?;
        result.changes = installed(&second, &output, self.environment, newcomer)
            .map_err(|reason| EnrolState::Failed { reason })?;
        Ok(survey)
    }

    /// The person has root, on the same machine; and a rollback really comes back.
    async fn finish(
        &self,
        session: &dyn Session,
        target: &Target,
        survey: &Survey,
        enrolled: Option<&HostIdentity>,
        result: &mut Enrolled,
    ) -> Result<(), EnrolState> {
        let failed = |reason: String| EnrolState::Failed { reason };
        let nonce = nonce();
        let script = Script::new().framed(&nonce, &[probe::facts_question()]);
        let output = session.run(&script, Entry::Root, Bounds::default()).await?;
        let facts = probe::read_facts(&nonce, &output)
            .map_err(|unread| failed(format!("{} gets no root by sudo: {unread}", target.user)))?;
        if facts.uid != 0 {
            return Err(failed(format!("{} gets no root by sudo (uid {})", target.user, facts.uid)));
        }
        if facts.machine_id != survey.facts.machine_id || facts.boot_id != survey.facts.boot_id {
            return Err(failed(
                "another machine, or the same one rebooted, answers the second connection".to_owned(),
            ));
        }
        if facts.environment != Some(self.environment) || !facts.recovery {
            return Err(failed("the environment marker or the recovery unit is not in place".to_owned()));
        }
        if enrolled.is_some() && result.changes.is_empty() {
            return Ok(());
        }
        let took = self.rehearse(session, &target.host).await.map_err(failed)?;
        result.rollback_milliseconds = Some(u64::try_from(took.as_millis()).unwrap_or(u64::MAX));
        Ok(())
    }

    async fn end(&self, session: Box<dyn Session>, result: &mut Enrolled) {
        add_cost(&mut result.cost, session.as_ref());
        session.close().await;
    }
}
