//! The one read-only script that asks a host everything, and its answers as an [`Observation`].
//!
//! One exec, however many controls: each kind's question stands in a frame of its own, and the host's facts in
//! another. What a frame does not answer is unknown; nothing here turns silence into a value.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::desired::Desired;
use crate::domain::{Address, BootId, Environment, MachineId, TxId};
use crate::journal::Journal;
use crate::kinds::{self, Answer};
use crate::resource::{Reading, Unread};
use crate::shell::{self, Nonce, Output, Perl, Question, Script};
use crate::text::{excerpt, visible};

/// What a host says of itself, whatever the controls.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema, Deserialize)]
pub struct Facts {
    /// machine-id(5).
    pub machine_id: MachineId,
    /// This boot.
    pub boot_id: BootId,
    /// `debian-12`: ID and `VERSION_ID` of os-release(5).
    pub distribution: String,
    /// The environment marker that `enrol` wrote; none where it is missing, unreadable or not root's.
    pub environment: Option<Environment>,
    /// The address that the host sees this connection come from.
    pub from: Option<Address>,
    /// Effective user id of the questions; 0 is root.
    pub uid: u32,
    /// The armed transaction, if any.
    pub pending: Option<TxId>,
    /// Seconds until it goes back.
    pub pending_seconds: Option<i64>,
    /// True where its timer runs still, or what the timer started is at work.
    pub pending_watched: bool,
    /// The lease, if one stands: `run`, `who`, `from`, `since` and `left` (seconds).
    pub lease: Option<BTreeMap<String, String>>,
    /// The release that a unit of the host's own installs right now, if one is at work.
    #[serde(default)]
    pub installing: Option<Installing>,
    /// True where a recovery unit is enabled.
    pub recovery: bool,
    /// Free kilobytes of / and of /var.
    pub free_kilobytes: Vec<u64>,
    /// Free inodes of / and of /var; a file system that does not count them says 0 of 0, which is left out.
    pub free_inodes: Vec<u64>,
    /// Mount points among / /etc /var /home that are read-only.
    pub read_only: Vec<String>,
    /// Complaints of `dpkg --audit`; empty is good.
    pub dpkg_audit: String,
}

/// A release that a host installs by itself, whether or not whoever began it is there still.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema, Deserialize)]
pub struct Installing {
    /// The release.
    pub release: String,
    /// Account that runs it: the one that the release's journal there named last.
    pub who: String,
    /// Their run.
    pub run: String,
    /// Time of its beginning, by the host's clock.
    pub since: String,
}

impl Installing {
    /// `begun` is the last such line of the release's journal.
    fn read(release: &str, begun: Option<&str>) -> Self {
        let release = excerpt(release, 40);
        let journal = begun.and_then(|line| Journal::parse(format!("{line}\n").as_bytes()).ok());
        let entry = journal.as_ref().and_then(|journal| journal.entries().first());
        let (who, run) = match journal.as_ref().and_then(Journal::begun) {
            Some((_, who, run)) => (who.to_string(), run.to_string()),
            None => (String::new(), String::new()),
        };
        Self { release, who, run, since: entry.map(|entry| entry.at.to_string()).unwrap_or_default() }
    }
}

/// The question that [`Facts`] answer.
pub fn facts_question() -> Question {
    Question { label: "facts", body: Perl::new(include_str!("facts.pl")).into(), seconds: 20, cap: 64 << 10 }
}

/// Everything that `desired` needs to know, as one script.
pub fn script(desired: &Desired, nonce: &Nonce) -> Script {
    let resources = desired.resources();
    let mut questions = vec![facts_question()];
    questions.extend(kinds::questions(&resources));
    Script::new().framed(nonce, &questions)
}

/// What a host answered.
#[derive(Debug, Clone)]
pub struct Observation {
    /// Of itself.
    pub facts: Reading<Facts>,
    /// One for each of the desired resources, in their order.
    pub readings: Vec<Reading<Answer>>,
}

/// The answers in `output`.
pub fn observe(desired: &Desired, nonce: &Nonce, output: &Output) -> Observation {
    let resources = desired.resources();
    Observation {
        facts: read_facts(nonce, output),
        readings: kinds::read(&resources, |question| shell::frame(output, nonce, question)),
    }
}

/// An observation of a host that gave none: every reading says why.
pub fn nothing(desired: &Desired, why: &str) -> Observation {
    Observation {
        facts: Err(Unread(why.to_owned())),
        readings: desired.resources.iter().map(|_| Err(Unread(why.to_owned()))).collect(),
    }
}

/// The facts in `output`.
pub fn read_facts(nonce: &Nonce, output: &Output) -> Reading<Facts> {
    let frame = shell::frame(output, nonce, &facts_question()).map_err(|error| {
        // Our own marks are no words of the host.
        let said = String::from_utf8_lossy(&output.stderr);
        let said: Vec<&str> = said.lines().filter(|line| !line.starts_with(nonce.as_str())).collect();
        let said = excerpt(&said.join("\n"), 200);
        if said.is_empty() { Unread(error.to_string()) } else { Unread(format!("{error}; it said: {said}")) }
    })?;
    let text = String::from_utf8_lossy(&frame.stdout);
    let mut facts: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (name, value) in text.lines().filter_map(|line| line.split_once('\t')) {
        facts.entry(name).or_default().push(value);
    }
    let one = |name: &str| {
        facts.get(name).and_then(|values| values.first()).copied().filter(|value| !value.is_empty())
    };
    if one("end") != Some("facts") {
        return Err(Unread("the host's facts end early".to_owned()));
    }
    if let Some(what) = one("unread") {
        return Err(Unread(format!("the host does not say {}", excerpt(what, 80))));
    }
    let need = |name: &str| one(name).ok_or_else(|| Unread(format!("the host does not say its {name}")));
    let wrong = |name: &str| Unread(format!("the host's {name} is malformed"));
    let lease: BTreeMap<String, String> = facts
        .iter()
        .filter_map(|(name, values)| {
            Some((name.strip_prefix("lease-")?.to_owned(), excerpt(values.first()?, 80)))
        })
        .collect();
    let space: Vec<Vec<u64>> = facts
        .get("space")
        .into_iter()
        .flatten()
        .map(|line| line.split('\t').filter_map(|number| number.parse().ok()).collect())
        .collect();
    Ok(Facts {
        machine_id: need("machine-id")?.parse().map_err(|_| wrong("machine-id"))?,
        boot_id: need("boot-id")?.parse().map_err(|_| wrong("boot-id"))?,
        distribution: excerpt(need("distribution")?, 40),
        environment: one("environment").and_then(|text| text.trim().parse().ok()),
        from: one("from").and_then(|text| text.parse().ok()),
        uid: need("uid")?.parse().map_err(|_| wrong("uid"))?,
        pending: one("pending").and_then(|text| text.parse().ok()),
        pending_seconds: one("pending-seconds").and_then(|text| text.parse().ok()),
        pending_watched: one("pending-watched") == Some("yes"),
        lease: (!lease.is_empty()).then_some(lease),
        installing: one("installing").map(|release| Installing::read(release, one("installing-begun"))),
        recovery: one("recovery") == Some("yes"),
        free_kilobytes: space
            .iter()
            .filter_map(|numbers| Some(numbers.first()?.saturating_mul(*numbers.get(1)?) / 1024))
            .collect(),
        free_inodes: space
            .iter()
            .filter_map(|numbers| (*numbers.get(3)? > 0).then(|| numbers.get(2).copied())?)
            .collect(),
        read_only: facts.get("read-only").into_iter().flatten().map(|point| excerpt(point, 40)).collect(),
        dpkg_audit: one("dpkg-audit").map(|text| excerpt(text, 200)).unwrap_or_default(),
    })
}

/// Who works on a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema, Deserialize)]
pub struct Holder {
    /// The run.
    pub run: String,
    /// The account that holds it.
    pub who: String,
    /// Machine from which the host is held.
    pub from: String,
    /// Since when, by the host's clock.
    pub since: String,
    /// Seconds until the lease or the pending transaction ends; none are left where a release is installed without one.
    pub seconds_left: i64,
    /// The transaction that is armed, where one is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pending: Option<TxId>,
    /// The release that the host's own unit installs, where that is why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<String>,
}

impl Holder {
    /// For people: who, from where, since when, until when; the end by the clock that says that it is `now`.
    pub fn told(&self, now: Timestamp) -> String {
        let word =
            |text: &str, unknown: &str| if text.is_empty() { unknown.to_owned() } else { visible(text) };
        let who = word(&self.who, "somebody");
        let from = word(&self.from, "somewhere");
        let since = word(&self.since, "an unknown time");
        let until = now
            .checked_add(jiff::SignedDuration::from_secs(self.seconds_left))
            .and_then(|end| end.round(jiff::Unit::Second))
            .map_or_else(|_| "an unknown time".to_owned(), |end| end.to_string());
        match (&self.pending, &self.release) {
            (Some(tx), _) if self.seconds_left <= 0 => format!(
                "a change of {who} from {from} is pending there since {since} (transaction {tx}); its time is over, and \
                 it goes back now"
            ),
            (Some(tx), _) => format!(
                "a change of {who} from {from} is pending there since {since} (transaction {tx}); it goes back at {until} \
                 unless it is confirmed"
            ),
            (None, Some(release)) => format!(
                "release {} is being installed there for {who} since {since} (run {}), by a unit of the host's own that \
                 goes on by itself; `palisade patch apply` with that release follows it to its end",
                visible(release),
                word(&self.run, "unknown")
            ),
            (None, None) => format!(
                "held by {who} from {from} since {since} until {until} (run {})",
                word(&self.run, "unknown")
            ),
        }
    }
}

/// Seconds after its time in which a host that goes back is given to finish: the timer's accuracy is one second, and
/// the work takes about as long. A change that stands longer has lost its timer, or its host is slow.
const SECONDS_TO_GO_BACK: i64 = 3;

/// Seconds after its time in which a host that is seen to go back is waited for. Whoever is at it longer fails at it
/// again and again, and the next run takes it back.
const SECONDS_OF_A_SLOW_HOST: i64 = 120;

impl Facts {
    /// Whether the host is free, in one word: `free`, `held`, `installing` or `pending`.
    pub fn state(&self) -> &'static str {
        if self.pending.is_some() {
            "pending"
        } else if self.installing.is_some() {
            "installing"
        } else if self.holder("").is_some() {
            "held"
        } else {
            "free"
        }
    }

    /// Who holds the host, unless that is `run` with nothing pending: by a pending change whose time is not over, by a
    /// release that the host installs by itself, or by a lease of this boot.
    pub fn holder(&self, run: &str) -> Option<Holder> {
        // A dead run's lease says nothing where its change has outlived its time: it must be taken back, not waited for.
        let patience = if self.pending_watched { SECONDS_OF_A_SLOW_HOST } else { SECONDS_TO_GO_BACK };
        let outlived = self.pending_seconds.is_some_and(|left| left <= -patience);
        if self.pending.is_some() && outlived {
            return None;
        }
        let word =
            |name: &str| self.lease.as_ref().and_then(|lease| lease.get(name)).map_or("", String::as_str);
        let left: i64 = word("left").parse().unwrap_or(0);
        let leased = word("boot") == self.boot_id.as_str() && left > 0;
        // A pending change whose time is over stands because its timer was taken away: arming takes it back first.
        let pending = self.pending.clone().filter(|_| !outlived);
        if let (None, Some(Installing { release, who, run, since })) = (&pending, &self.installing) {
            let from = if word("run") == run { word("from") } else { "" };
            return Some(Holder {
                run: run.clone(),
                who: who.clone(),
                from: from.to_owned(),
                since: since.clone(),
                seconds_left: if leased { left } else { 0 },
                pending: None,
                release: Some(release.clone()),
            });
        }
        if pending.is_none() && (!leased || word("run") == run) {
            return None;
        }
        Some(Holder {
            run: word("run").to_owned(),
            who: word("who").to_owned(),
            from: word("from").to_owned(),
            since: word("since").to_owned(),
            seconds_left: if pending.is_some() { self.pending_seconds.unwrap_or(left) } else { left },
            pending,
            release: None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOOT: &str = "7de1efa4-ea2f-4175-bcf4-e39e0bce8ea0";

    fn facts(lease: &[(&str, &str)], pending: Option<(&str, i64)>) -> Facts {
        let lease: BTreeMap<String, String> =
            lease.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Facts {
            machine_id: "0123456789abcdef0123456789abcdef".parse().unwrap(),
            boot_id: BOOT.parse().unwrap(),
            distribution: "debian-13".to_owned(),
            environment: None,
            from: None,
            uid: 0,
            pending: pending.map(|(tx, _)| tx.parse().unwrap()),
            pending_seconds: pending.map(|(_, left)| left),
            pending_watched: false,
            lease: (!lease.is_empty()).then_some(lease),
            installing: None,
            recovery: true,
            free_kilobytes: Vec::new(),
            free_inodes: Vec::new(),
            read_only: Vec::new(),
            dpkg_audit: String::new(),
        }
    }

    const RUN: &str = "20261128t220000123z-00000001";
    const TX: &str = "20261128t220001z-1a2b3c4d";

    fn lease<'a>(boot: &'a str, left: &'a str) -> Vec<(&'a str, &'a str)> {
        let since = "2026-11-28T22:00:00Z";
        vec![
            ("run", RUN),
            ("who", "bob"),
            ("from", "laptop"),
            ("since", since),
            ("boot", boot),
            ("left", left),
        ]
    }

    fn told(facts: &Facts, run: &str) -> Option<String> {
        facts.holder(run).map(|holder| holder.told("2026-11-28T22:01:00.5Z".parse().unwrap()))
    }

    #[test]
    fn a_holder_is_told_by_name_place_and_both_times() {
        let held = facts(&lease(BOOT, "480"), None);
        assert_eq!(
            told(&held, "").unwrap(),
            format!(
                "held by bob from laptop since 2026-11-28T22:00:00Z until 2026-11-28T22:09:01Z (run {RUN})"
            )
        );
        assert_eq!(told(&held, RUN), None, "a run is not in its own way");
        let pending = facts(&lease(BOOT, "480"), Some((TX, 20)));
        let words = format!(
            "a change of bob from laptop is pending there since 2026-11-28T22:00:00Z (transaction {TX}); it goes back at \
             2026-11-28T22:01:21Z unless it is confirmed"
        );
        assert_eq!(told(&pending, "").unwrap(), words);
        assert_eq!(told(&pending, RUN).unwrap(), words, "what a run armed and did not end is in its way too");
        let late = facts(&lease(BOOT, "480"), Some((TX, -1)));
        assert!(told(&late, "").unwrap().ends_with("its time is over, and it goes back now"), "{late:?}");
        let nameless = facts(&[], Some((TX, 20)));
        assert!(
            told(&nameless, RUN).unwrap().starts_with("a change of somebody from somewhere"),
            "{nameless:?}"
        );
    }

    #[test]
    fn a_release_that_the_host_installs_holds_it_without_any_lease() {
        let begun = format!("1795903200 {BOOT} begun {} bob {RUN}", "a".repeat(64));
        let installing = |begun| Some(Installing::read("2026-11-28", begun));
        let over = Facts { installing: installing(Some(&begun)), ..facts(&lease(BOOT, "0"), None) };
        let words = format!(
            "release 2026-11-28 is being installed there for bob since 2026-11-28T22:00:00Z (run {RUN}), by a unit of the \
             host's own that goes on by itself; `palisade patch apply` with that release follows it to its end"
        );
        assert_eq!(told(&over, "").unwrap(), words);
        assert_eq!(
            told(&over, RUN).unwrap(),
            words,
            "no run is exempt: attaching is asked of the host itself"
        );
        let torn = Facts { installing: installing(Some("1795903200 torn")), ..facts(&[], None) };
        assert!(told(&torn, "").unwrap().contains("for somebody since an unknown time"), "{torn:?}");
        let pending = Facts { installing: installing(None), ..facts(&[], Some((TX, 20))) };
        assert!(told(&pending, "").unwrap().contains("goes back at"), "{pending:?}");
    }

    #[test]
    fn the_facts_name_what_is_being_installed() {
        let nonce = Nonce::new([7; 16]);
        let begun = format!("1795903200 {BOOT} begun {} bob {RUN}", "a".repeat(64));
        let facts = |further: &str| {
            let mark = |which: &str| format!("\n{} {which}\n", nonce.as_str());
            let frame = |body: &str| mark("begin facts") + body + &mark("end facts 0");
            let machine = "0123456789abcdef".repeat(2);
            let body = format!(
                "machine-id\t{machine}\nboot-id\t{BOOT}\ndistribution\tdebian-12\nuid\t0\n{further}end\tfacts\n"
            );
            let exit = shell::Exit::Status(0);
            let output = Output { exit, stdout: frame(&body).into_bytes(), stderr: frame("").into_bytes() };
            read_facts(&nonce, &output).unwrap().installing
        };
        assert_eq!(facts(""), None);
        let installing = facts(&format!("installing\t2026-11-28\ninstalling-begun\t{begun}\n")).unwrap();
        assert_eq!((installing.release.as_str(), installing.who.as_str()), ("2026-11-28", "bob"));
    }

    #[test]
    fn a_lease_that_is_over_or_of_another_boot_holds_nobody_back() {
        let other = "00000000-ea2f-4175-bcf4-e39e0bce8ea0";
        for free in [facts(&lease(BOOT, "0"), None), facts(&lease(other, "480"), None), facts(&[], None)] {
            assert_eq!(free.holder(""), None);
        }
        let over = facts(&lease(BOOT, "480"), Some((TX, -3)));
        assert_eq!(
            over.holder(""),
            None,
            "what is still there after its time is taken back, whoever's lease stands"
        );
        let slow = |left| Facts { pending_watched: true, ..facts(&lease(BOOT, "0"), Some((TX, left))) };
        assert!(slow(-30).holder("").is_some(), "a slow host that goes back is not disturbed");
        assert_eq!(slow(-120).holder(""), None, "one that fails at it again and again is");
        let going = facts(&lease(BOOT, "480"), Some((TX, 0)));
        assert!(going.holder("").is_some(), "a host that goes back right now is given the time for it");
    }
}
