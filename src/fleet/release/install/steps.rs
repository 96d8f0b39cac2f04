//! The steps of one host's part: each asks, carries, starts, follows or checks, and says what the journal has to say.

use std::time::Duration;

use super::Installing;
use super::stop::{Stop, failed, incomplete, refused};
use super::transfer::{AWAY, NotDone};
use crate::domain::Digest;
use crate::event::Event as Seen;
use crate::fleet::instant;
use crate::journal::{Event, Journal, Reason};
use crate::record::HostState;
use crate::release::Set;
use crate::release::installing::{self, Ailing, Health};
use crate::release::needed::{self, Needed};
use crate::release::standing::{self, Standing};
use crate::release::transfer::{self, Approved, NotApproved, PIECE, Piece};
use crate::shell::{Arg, Question, Script};
use crate::text::excerpt;

/// For the first connection: a host that does not answer is unreachable.
const PATIENCE: Duration = Duration::from_secs(15);

/// For dpkg, with all its maintainer scripts, and a wait for its locks.
const INSTALLED_WITHIN: Duration = Duration::from_hours(2);

/// For services and listeners to be there again. After a boot, systemd gives a service 90 s to start
/// (`DefaultTimeoutStartSec`).
const HEALTHY_WITHIN: Duration = Duration::from_mins(2);

/// Between two looks: a service that crashes at once is seen to run as another process.
const SETTLED: Duration = Duration::from_secs(4);

impl Installing<'_> {
    pub(super) async fn standing(&mut self) -> Result<Standing, Stop> {
        let question = standing::question(&self.inputs.carried.id);
        let frame = self.transfer.ask(&question, PATIENCE).await?;
        standing::read(&frame).map_err(|unread| incomplete(&unread))
    }

    pub(super) async fn write(&mut self, events: &[Event]) -> Result<(), Stop> {
        let carried = &self.inputs.carried;
        let make = |nonce: &_| installing::write(nonce, &carried.id, &carried.digest, events);
        self.transfer.tell(make, "written", 60).await.map(drop).map_err(Stop::from)
    }

    /// What stopped the work, in the host's own journal, where the host does not know it and was begun.
    pub(super) async fn keep(&mut self, stop: &Stop) {
        let (word, reason) = match &**stop {
            HostState::Failed { reason, .. } => ("failed", reason),
            HostState::Refused { reason, .. } => ("refused", reason),
            HostState::Incomplete { reason } => ("unread", reason),
            _ => return,
        };
        let Ok(word) = word.parse() else { return };
        // Only where this run has begun, and the unit has not said it itself.
        let Ok(standing) = self.standing().await else { return };
        let Ok(journal) = Journal::parse(&standing.journal) else { return };
        let mine = journal.begun().is_some_and(|(_, _, run)| *run == self.run.operator.run);
        let last = journal.entries().last().map(|entry| &entry.event);
        if mine && !standing.installing && !matches!(last, Some(Event::Failed { .. } | Event::Completed)) {
            let event = Event::Failed { word, reason: Reason::lossy(reason) };
            drop(self.write(&[event]).await);
        }
        self.told.journal = Some(journal);
    }

    /// Takes the host, and says in its journal that this run begins or goes on.
    pub(super) async fn begin(&mut self, standing: &Standing) -> Result<(), Stop> {
        self.transfer.take().await?;
        let operator = &self.run.operator;
        let begun = Event::Begun {
            sha256: self.inputs.carried.digest.clone(),
            by: operator.who.clone(),
            run: operator.run.clone(),
        };
        let mut events = vec![begun];
        events.extend(self.inputs.emergency.clone().map(|reason| Event::Emergency { reason }));
        if standing.installing {
            self.note("is being installed on already; attached");
            // What the unit says next must not stand behind another run's beginning as if that had been lost.
            events.push(Event::Installing);
        }
        self.write(&events).await
    }

    fn set(&self, standing: &Standing) -> Result<&Set, Stop> {
        let distribution = self.transfer.facts().map(|facts| facts.distribution.clone()).unwrap_or_default();
        self.inputs.set(standing, &distribution).ok_or_else(|| {
            refused(format!(
                "the release holds nothing for {distribution} {}: no host of dev has it",
                standing.architecture
            ))
        })
    }

    /// Carries what the host lacks, and lets its apt say what it would do.
    pub(super) async fn carry(&mut self, standing: &Standing) -> Result<Approved, Stop> {
        let set = self.set(standing)?.clone();
        let needed = needed::needed(&set, standing);
        if let Some(why) = needed::no_room(&set, &needed, standing) {
            return Err(refused(why));
        }
        let files = needed::files(&set, &needed);
        let fetched = self.fetch(&files, standing).await?;
        let standing = fetched.as_ref().unwrap_or(standing);
        let mut batch: Vec<(crate::domain::Digest, u64, u64, Vec<u8>)> = Vec::new();
        let mut filled = 0;
        for Needed { what, file } in &files {
            if standing.whole.contains(&file.sha256) {
                continue;
            }
            let bytes = self
                .inputs
                .pool
                .read(&file.sha256)
                .map_err(|error| refused(format!("the project does not have {what}: {error}")))?;
            let size = u64::from(file.size);
            let had = standing.parts.get(&file.sha256).copied().filter(|had| *had < size).unwrap_or_default();
            let mut offset = usize::try_from(had).unwrap_or_default();
            while offset < bytes.len() {
                let end = bytes.len().min(offset + PIECE - filled);
                let piece = bytes.get(offset..end).unwrap_or_default().to_vec();
                filled += piece.len();
                batch.push((file.sha256.clone(), size, u64::try_from(offset).unwrap_or_default(), piece));
                offset = end;
                if filled >= PIECE {
                    self.carry_batch(&mut batch).await?;
                    filled = 0;
                }
            }
        }
        self.carry_batch(&mut batch).await?;
        let carried = &self.inputs.carried;
        let make = |nonce: &_| transfer::prepare(nonce, carried, &set, &needed);
        let output = self.transfer.tell(make, "prepared", 300).await?;
        let approved = transfer::approve(&set, &needed, standing, &output).map_err(|not| match not {
            NotApproved::Refused(why) => refused(why),
            NotApproved::Unread(why) => incomplete(&why),
        })?;
        self.was_seen(&set, &approved)?;
        self.write(&[Event::Carried]).await?;
        Ok(approved)
    }

    /// Lets the host download what it lacks, where a mirror is declared, and says how far it is then. What the mirror does
    /// not have is carried; what it has with other bytes refuses the host.
    async fn fetch(&mut self, needed: &[Needed], standing: &Standing) -> Result<Option<Standing>, Stop> {
        let Some(mirror) = &self.inputs.mirror else { return Ok(None) };
        let lacks = |standing: &Standing| -> Vec<(Digest, u64)> {
            let lacking = needed.iter().filter(|one| !standing.whole.contains(&one.file.sha256));
            let mut all: Vec<(Digest, u64)> =
                lacking.map(|one| (one.file.sha256.clone(), u64::from(one.file.size))).collect();
            all.sort();
            all.dedup();
            all
        };
        let lacking = lacks(standing);
        if lacking.is_empty() {
            return Ok(None);
        }
        let release = &self.inputs.carried.id;
        for portion in transfer::portions(&lacking) {
            let make = |nonce: &_| transfer::fetch(nonce, release, mirror, &portion);
            match self.transfer.tell(make, "fetched", 1200).await {
                Err(NotDone::Refused { code, text }) if code == "mirror" => {
                    self.note(&format!("{mirror} cannot be downloaded from: {text}"));
                    break;
                }
                told => drop(told?),
            }
        }
        let standing = self.standing().await?;
        let left = lacks(&standing).len();
        self.told.downloaded += lacking.len() - left;
        if left > 0 {
            self.note(&format!("{left} of {} files are not from {mirror}, and are carried", lacking.len()));
        }
        Ok(Some(standing))
    }

    async fn carry_batch(
        &mut self,
        batch: &mut Vec<(crate::domain::Digest, u64, u64, Vec<u8>)>,
    ) -> Result<(), Stop> {
        if batch.is_empty() {
            return Ok(());
        }
        let release = &self.inputs.carried.id;
        let pieces: Vec<Piece<'_>> = batch
            .iter()
            .map(|(digest, size, offset, bytes)| Piece { digest, size: *size, offset: *offset, bytes })
            .collect();
        let carried: u64 = pieces.iter().map(|piece| u64::try_from(piece.bytes.len()).unwrap_or(0)).sum();
        let make = |nonce: &_| transfer::send(nonce, release, &pieces);
        self.transfer.tell(make, "carried", 600).await?;
        self.told.bytes += carried;
        batch.clear();
        Ok(())
    }

    /// Nothing is installed that no host of the environment before has.
    fn was_seen(&self, set: &Set, approved: &Approved) -> Result<(), Stop> {
        let Some(seen) = &self.inputs.installed_before else { return Ok(()) };
        let seen = seen.get(&set.distribution);
        let strange: Vec<String> = approved
            .packages
            .iter()
            .filter(|(name, version)| {
                seen.is_none_or(|seen| !seen.contains(&((*name).clone(), (*version).clone())))
            })
            .map(|(name, version)| format!("{name} {version}"))
            .collect();
        if strange.is_empty() {
            return Ok(());
        }
        Err(refused(format!(
            "no host of the environment before has installed {}",
            excerpt(&strange.join(", "), 300)
        )))
    }

    pub(super) async fn start(&mut self, standing: &Standing, approved: &Approved) -> Result<(), Stop> {
        let set = self.set(standing)?.clone();
        let release = &self.inputs.carried.id;
        self.note(&format!("installs {} packages", approved.packages.len()));
        let make = |nonce: &_| installing::start(nonce, release, &set, approved, &self.inputs.never);
        match self.transfer.tell(make, "started", 120).await {
            // Whether it runs, the next question says.
            Ok(_) | Err(NotDone::Broken(_)) => Ok(()),
            Err(told) => Err(told.into()),
        }
    }

    /// Watches the unit to its end, over as many connections as it takes.
    pub(super) async fn follow(&mut self) -> Result<Standing, Stop> {
        let question = installing::follow_question(&self.inputs.carried.id);
        let begun = instant();
        let mut known = 0;
        loop {
            let frame = self.transfer.ask(&question, AWAY.max(self.inputs.reboot_within)).await?;
            let standing = standing::read(&frame).map_err(|unread| incomplete(&unread))?;
            if let Ok(journal) = Journal::parse(&standing.journal) {
                let entries = journal.entries();
                if known > 0 {
                    for entry in entries.get(known..).unwrap_or_default() {
                        self.note(&entry.event.to_string());
                    }
                }
                known = entries.len();
            }
            if !standing.installing {
                return Ok(standing);
            }
            if begun.elapsed() > INSTALLED_WITHIN {
                return Err(failed(
                    "it installs for two hours now; it goes on by itself, and a later run attaches",
                ));
            }
            self.run.emit(Seen::Waiting {
                host: self.job.desired.host.clone(),
                seconds_left: INSTALLED_WITHIN.saturating_sub(begun.elapsed()).as_secs(),
            });
        }
    }

    async fn health(&mut self) -> Result<Health, Stop> {
        let frame = self.transfer.ask(&installing::health_question(&self.inputs.carried.id), AWAY).await?;
        installing::health(&frame).map_err(|unread| incomplete(&unread))
    }

    /// What ran and listened before does so again, and stays; and the host's own checks say that it works.
    pub(super) async fn healthy(&mut self) -> Result<(), Stop> {
        let begun = instant();
        let mut earlier: Option<Health> = None;
        loop {
            let health = self.health().await?;
            let ailing = health.ailing();
            let unsteady =
                earlier.as_ref().map(|earlier| health.restarted_since(earlier)).unwrap_or_default();
            if ailing == Ailing::default() && unsteady.is_empty() && earlier.is_some() {
                break;
            }
            let over = begun.elapsed() > HEALTHY_WITHIN;
            if over || !ailing.failed.is_empty() {
                let told = ailing.told().unwrap_or_else(|| excerpt(&unsteady.join("; "), 400));
                return Err(failed(format!("not as before: {told}")));
            }
            earlier = (ailing == Ailing::default()).then_some(health);
            tokio::time::sleep(SETTLED).await;
        }
        self.checks("afterwards").await.map_err(failed)
    }

    /// The programs that the host's roles name for it.
    pub(super) async fn checks(&mut self, when: &str) -> Result<(), String> {
        for program in self.inputs.checks.get(&self.job.desired.host).into_iter().flatten() {
            let question = Question {
                label: "check",
                body: Script::new().call("exec", [Arg::from(program)]).into(),
                seconds: 120,
                cap: 1 << 20,
            };
            let frame = self.transfer.ask(&question, PATIENCE).await.map_err(|stop| match *stop {
                HostState::Incomplete { reason } | HostState::Failed { reason, .. } => {
                    format!("{program} {when}: {reason}")
                }
                other => format!("{program} {when}: {}", other.word()),
            })?;
            if frame.status != 0 {
                let said = String::from_utf8_lossy(if frame.stderr.is_empty() {
                    &frame.stdout
                } else {
                    &frame.stderr
                });
                return Err(format!(
                    "{program} {when} (exit {}): {}",
                    frame.status,
                    excerpt(said.trim(), 200)
                ));
            }
        }
        Ok(())
    }

    /// The last line. Where it is not known whether it was written, the journal says.
    pub(super) async fn complete(&mut self) -> Result<(), Stop> {
        let release = &self.inputs.carried.id;
        let told = self.transfer.tell(|nonce| installing::complete(nonce, release), "completed", 120).await;
        let standing = self.standing().await;
        let journal = standing.as_ref().ok().and_then(|standing| Journal::parse(&standing.journal).ok());
        if let (Ok(standing), Some(journal)) = (&standing, &journal) {
            self.remember(standing, journal);
        }
        match (told, journal.and_then(|journal| journal.completion())) {
            (_, Some(_)) => Ok(()),
            (Err(told), None) => Err(told.into()),
            (Ok(_), None) => Err(failed("its journal does not say that the release was completed")),
        }
    }
}
