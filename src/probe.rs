//! The one read-only script that asks a host everything, and its answers as an [`Observation`].
//!
//! One exec, however many controls: each kind's question stands in a frame of its own, and the host's facts in
//! another. What a frame does not answer is unknown; nothing here turns silence into a value.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::desired::Desired;
use crate::domain::{Address, BootId, Environment, MachineId, TxId};
use crate::resource::{self, Answer, Reading, Unread};
use crate::shell::{self, Nonce, Output, Question, Script};
use crate::text::excerpt;

/// What a host says of itself, whatever the controls.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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
    /// The lease, if one stands: `run`, `who`, `from`, `since` and `left` (seconds).
    pub lease: Option<BTreeMap<String, String>>,
    /// Whether a recovery unit is enabled.
    pub recovery: bool,
    /// Free kilobytes of / and of /var.
    pub free_kilobytes: Vec<u64>,
    /// Free inodes of / and of /var; a file system that does not count them says 0 of 0, which is left out.
    pub free_inodes: Vec<u64>,
    /// Mount points among / /etc /var /home that are read-only.
    pub read_only: Vec<String>,
    /// What `dpkg --audit` complains about; empty is good.
    pub dpkg_audit: String,
}

const FACTS: &str = r#"fact() { printf '%s\t%s\n' "$1" "$2"; }
fact machine-id "$(cat /etc/machine-id)"
read -r boot </proc/sys/kernel/random/boot_id && fact boot-id "$boot"
( . /etc/os-release && fact distribution "$ID-$VERSION_ID" )
if [ -f /etc/palisade/environment ] && [ "$(stat -c '%u %a' /etc/palisade/environment)" = '0 644' ]; then
  fact environment "$(cat /etc/palisade/environment)"
fi
fact from "${SSH_CONNECTION%% *}"
fact uid "$(id -u)"
read -r up rest </proc/uptime
up=${up%.*}
state=/var/lib/palisade
if [ -s $state/pending ]; then
  pending=$(cat $state/pending)
  fact pending "$pending"
  fact pending-seconds "$(( $(cat "$state/tx/$pending/deadline") - up ))"
fi
if [ -s $state/lease ]; then
  while IFS== read -r name value; do
    case $name in run | who | from | since | boot) fact "lease-$name" "$value" ;; until) fact lease-left "$((value - up))" ;; esac
  done <$state/lease
fi
if [ -L /etc/systemd/system/sysinit.target.wants/palisade-recover.service ]; then fact recovery yes; fi
stat -f -c 'space	%a	%S	%d	%c' / /var
while read -r device point type options rest; do
  case $point in / | /etc | /var | /home) case ,$options, in *,ro,*) fact read-only "$point" ;; esac ;; esac
done </proc/mounts
fact dpkg-audit "$(dpkg --audit 2>&1 | head -n 1)"
fact end facts
"#;

/// The question that [`Facts`] answer.
pub fn facts_question() -> Question {
    Question { label: "facts", body: Script::new().text(FACTS), seconds: 20, cap: 64 << 10 }
}

/// Everything that `desired` needs to know, as one script.
pub fn script(desired: &Desired, nonce: &Nonce) -> Script {
    let resources = desired.resources();
    let mut questions = vec![facts_question()];
    questions.extend(resource::questions(&resources));
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
        readings: resource::read(&resources, |question| shell::frame(output, nonce, question)),
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
        lease: (!lease.is_empty()).then_some(lease),
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

impl Facts {
    /// Whether a lease of another run than `run` stands, and whose.
    pub fn held_by_other(&self, run: &str) -> Option<String> {
        let lease = self.lease.as_ref()?;
        let word = |name: &str| lease.get(name).map_or("?", String::as_str);
        let left: i64 = word("left").parse().unwrap_or(0);
        let this_boot = word("boot") == self.boot_id.as_str();
        (this_boot && left > 0 && word("run") != run).then(|| {
            format!(
                "{} on {} since {} (run {}), for {left} s more",
                word("who"),
                word("from"),
                word("since"),
                word("run")
            )
        })
    }
}
