//! The unit on a host that installs a release, and what ran there before and runs after it. Pure: scripts out, answers in.
//! A service or a listener that is not as it was is a finding, however apt ended.

use std::collections::{BTreeMap, BTreeSet};

use super::Set;
use super::standing::{LIBRARY, begin};
use super::transfer::Approved;
use crate::domain::{Digest, ReleaseId, UnitName};
use crate::journal::Event;
use crate::kinds::updates::PROCESSES;
use crate::resource::{Reading, Unread, parts};
use crate::shell::{Arg, Frame, Nonce, Question, Script};
use crate::text::excerpt;

/// Ports from here on belong to connections that come and go (ip(7), `ip_local_port_range`).
const EPHEMERAL: u16 = 32_768;

/// The word of a host that went down in the middle, and put its packages in order when it was up again.
pub const INTERRUPTED: &str = "interrupted";

/// Starts the unit that installs `approved`, where it does not run already.
pub fn start(
    nonce: &Nonce,
    release: &ReleaseId,
    set: &Set,
    approved: &Approved,
    never: &BTreeSet<UnitName>,
) -> Script {
    let lines = |all: Vec<String>| Arg::lossy(all.into_iter().map(|line| line + "\n").collect::<String>());
    let approved = approved.packages.iter().map(|(name, version)| format!("{name} {version}")).collect();
    let all = set.packages.iter().map(|(name, package)| format!("{name} {}", package.version)).collect();
    let asks = set.reboot().into_iter().map(ToString::to_string).collect();
    let unit = Script::new().text(LIBRARY).text(PROCESSES).text(include_str!("host/install.sh"));
    begin(nonce, release)
        .set("palisade_approved", lines(approved))
        .set("palisade_all", lines(all))
        .set("palisade_asks", lines(asks))
        .set("palisade_never", lines(never.iter().map(ToString::to_string).collect()))
        .set("palisade_run", Arg::lossy(unit.body()))
        .text(include_str!("host/health.sh"))
        .text(include_str!("host/start.sh"))
        .text("palisade_start")
}

/// Writes what happened into the journal, one line each. What an earlier release of that name left there goes first.
pub fn write(nonce: &Nonce, release: &ReleaseId, file: &Digest, events: &[Event]) -> Script {
    let script = begin(nonce, release)
        .text(include_str!("host/begin.sh"))
        .call("palisade_begin", [Arg::from(file)])
        .text("palisade_ok=0");
    let script = events.iter().fold(script, |script, event| {
        script.call("palisade_write", [Arg::lossy(event.to_string())]).text("[ $? = 0 ] || palisade_ok=1")
    });
    script.text(
        "[ $palisade_ok = 0 ] || palisade_refuse space 'the journal cannot be written'
palisade_reply \"written $palisade_release\"",
    )
}

/// Writes that all is done, and takes away what was carried.
pub fn complete(nonce: &Nonce, release: &ReleaseId) -> Script {
    begin(nonce, release).text(
        "palisade_write completed || palisade_refuse space 'the journal cannot be written'
rm -rf \"$palisade_folder/pool\" \"$palisade_folder/apt\" \"$palisade_folder/archive\" \"$palisade_folder/trust\"
palisade_unwary
palisade_reply \"completed $palisade_release\"",
    )
}

/// Waits for the unit that installs, at most as long as one exec may take, and asks how far the host is by then: the
/// answer is [`super::standing::read`]'s.
pub fn follow_question(release: &ReleaseId) -> Question {
    let body = Script::new()
        .text(LIBRARY)
        .text(parts::PART)
        .call("palisade_use", [Arg::from(release)])
        .text(
            "palisade_turns=0
while [ \"$palisade_turns\" -lt 50 ] && systemctl is-active --quiet \"$(palisade_unit)\"; do
  sleep 0.2
  palisade_turns=$((palisade_turns + 1))
done",
        )
        .text(include_str!("host/standing.sh"));
    Question { label: "followed", body: body.into(), seconds: 150, cap: 8 << 20 }
}

/// Asks what runs and listens now, beside what did before.
pub fn health_question(release: &ReleaseId) -> Question {
    let body = Script::new()
        .text(LIBRARY)
        .text(parts::PART)
        .call("palisade_use", [Arg::from(release)])
        .text(include_str!("host/health.sh"))
        .text(
            "cat \"$palisade_folder/health.before\"
palisade_part units palisade_units
palisade_part listeners palisade_listeners",
        );
    Question { label: "health", body: body.into(), seconds: 60, cap: 8 << 20 }
}

/// A service, as systemd has it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Service {
    state: String,
    sub: String,
    pid: u32,
    /// Whether it is there for as long as the host is: not one that a timer, a socket or a message wakes, nor one that does
    /// its work and ends.
    lasting: bool,
}

/// What runs and listens on a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    before: Look,
    now: Look,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Look {
    services: BTreeMap<String, Service>,
    listeners: BTreeSet<String>,
}

/// What is not as it was.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Ailing {
    /// What has failed: waiting does not help.
    pub failed: Vec<String>,
    /// What is not there yet.
    pub missing: Vec<String>,
}

impl Ailing {
    /// For people.
    pub fn told(&self) -> Option<String> {
        let all: Vec<&str> = self.failed.iter().chain(&self.missing).map(String::as_str).collect();
        (!all.is_empty()).then(|| excerpt(&all.join("; "), 400))
    }
}

impl Health {
    /// What ran or listened before and does not now, and what has failed since.
    pub fn ailing(&self) -> Ailing {
        let mut ailing = Ailing::default();
        for (unit, service) in &self.now.services {
            let was = self.before.services.get(unit);
            if service.state == "failed" && was.is_none_or(|was| was.state != "failed") {
                ailing.failed.push(format!("{unit} has failed"));
            }
        }
        for (unit, was) in &self.before.services {
            let runs = was.lasting && was.state == "active" && was.sub == "running";
            let now = self.now.services.get(unit);
            if runs
                && now.is_none_or(|now| now.state != "active")
                && now.is_none_or(|now| now.state != "failed")
            {
                ailing.missing.push(format!("{unit} ran before and does not now"));
            }
        }
        for listener in self.before.listeners.difference(&self.now.listeners) {
            ailing.missing.push(format!("nothing listens on {listener} any more"));
        }
        ailing
    }

    /// Services that run as another process than at `earlier`: one that crashes and is started again and again looks
    /// active whenever it is asked.
    pub fn restarted_since(&self, earlier: &Self) -> Vec<String> {
        let mut restarted = Vec::new();
        for (unit, was) in &earlier.now.services {
            let known = self
                .before
                .services
                .get(unit)
                .is_some_and(|before| before.lasting && before.sub == "running");
            let now = self.now.services.get(unit);
            if known && was.pid != 0 && now.is_some_and(|now| now.pid != was.pid) {
                restarted.push(format!("{unit} does not stay up"));
            }
        }
        restarted
    }
}

/// The answer to [`health_question`].
pub fn health(frame: &Frame) -> Reading<Health> {
    let look = |units: &'static str, listeners: &'static str| {
        Ok::<_, Unread>(Look {
            services: services(&parts::succeeded(frame, units)?.text)?,
            listeners: listening(&parts::succeeded(frame, listeners)?)?,
        })
    };
    Ok(Health { before: look("before-units", "before-listeners")?, now: look("units", "listeners")? })
}

fn services(text: &str) -> Reading<BTreeMap<String, Service>> {
    let mut services = BTreeMap::new();
    for block in text.split("\n\n").filter(|block| !block.trim().is_empty()) {
        let field = |name: &str| {
            block.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('=')).unwrap_or_default()
        };
        let (id, state) = (field("Id"), field("ActiveState"));
        if id.is_empty() || state.is_empty() {
            return Err(Unread(format!(
                "systemctl describes a service in another form: {}",
                parts::line(block)
            )));
        }
        let woken = !field("TriggeredBy").is_empty();
        // A message wakes them, and they go when nobody has asked for a while; on Debian 13 with another type.
        let woken_by_name = !field("BusName").is_empty() && field("WantedBy").is_empty();
        let on_demand = field("UnitFileState") == "static" && (field("Type") == "dbus" || woken_by_name);
        // Somebody's job, which no boot starts again.
        let transient = field("UnitFileState") == "transient";
        let ours = ["run-", "user@", "session-", "palisade-"].iter().any(|prefix| id.starts_with(prefix));
        services.insert(
            id.to_owned(),
            Service {
                state: state.to_owned(),
                sub: field("SubState").to_owned(),
                pid: field("MainPID").parse().unwrap_or_default(),
                lasting: !(woken
                    || on_demand
                    || transient
                    || ours
                    || field("Type") == "oneshot"
                    || id.contains("getty@")),
            },
        );
    }
    if services.is_empty() {
        return Err(Unread("systemctl names no service at all".to_owned()));
    }
    Ok(services)
}

/// `tcp 0.0.0.0:22`, of ports that are not a connection's.
fn listening(part: &parts::Part) -> Reading<BTreeSet<String>> {
    let lines = super::upgrades::looked(part)?;
    let number = |line: &str| line.rsplit_once(':').and_then(|(_, port)| port.parse::<u16>().ok());
    let listeners = lines.iter().map(|line| {
        let found = number(line)
            .ok_or_else(|| Unread(format!("ss wrote a line of another form: {}", parts::line(line))))?;
        Ok((found, parts::line(line)))
    });
    let all: Vec<(u16, String)> = listeners.collect::<Reading<_>>()?;
    Ok(all.into_iter().filter(|(port, _)| *port < EPHEMERAL).map(|(_, line)| line).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(units: &[(&str, &str, &str, &str, u32)], listeners: &[&str]) -> Look {
        let text: Vec<String> = units
            .iter()
            .map(|(id, kind, state, sub, pid)| {
                format!("Id={id}\nType={kind}\nMainPID={pid}\nTriggeredBy=\nUnitFileState=enabled\nActiveState={state}\nSubState={sub}")
            })
            .collect();
        Look {
            services: services(&text.join("\n\n")).unwrap(),
            listeners: listeners.iter().map(ToString::to_string).collect(),
        }
    }

    #[test]
    fn what_ran_and_listened_before_has_to_do_so_after() {
        let before = look(
            &[
                ("web.service", "simple", "active", "running", 7),
                ("job.service", "oneshot", "active", "running", 8),
                ("old.service", "simple", "failed", "failed", 0),
            ],
            &["tcp 0.0.0.0:80"],
        );
        let same = Health { before: before.clone(), now: before.clone() };
        assert_eq!(same.ailing(), Ailing::default(), "what had failed before is not the release's");
        let gone = look(
            &[
                ("web.service", "simple", "failed", "failed", 0),
                ("new.service", "simple", "failed", "failed", 0),
            ],
            &[],
        );
        let ailing = Health { before: before.clone(), now: gone }.ailing();
        assert_eq!(ailing.failed, ["new.service has failed", "web.service has failed"]);
        assert_eq!(ailing.missing, ["nothing listens on tcp 0.0.0.0:80 any more"]);
        let coming = look(&[("web.service", "simple", "activating", "auto-restart", 0)], &["tcp 0.0.0.0:80"]);
        let ailing = Health { before, now: coming }.ailing();
        assert_eq!((ailing.failed.len(), ailing.missing.len()), (0, 1));
    }

    #[test]
    fn what_a_message_wakes_may_go_again_and_what_a_boot_starts_may_not() {
        let one = |id: &str, wanted: &str| {
            format!(
                "Id={id}\nType=notify\nMainPID=7\nTriggeredBy=\nBusName=org.freedesktop.x\nWantedBy={wanted}\n\
                 UnitFileState=static\nActiveState=active\nSubState=running\n"
            )
        };
        let job = one("job.service", "").replace("=static", "=transient");
        let text =
            [one("systemd-timedated.service", ""), one("systemd-logind.service", "multi-user.target"), job];
        let before = Look { services: services(&text.join("\n")).unwrap(), listeners: BTreeSet::new() };
        let now = look(&[("other.service", "simple", "active", "running", 1)], &[]);
        let missing = Health { before, now }.ailing().missing;
        assert_eq!(missing, ["systemd-logind.service ran before and does not now"]);
    }

    #[test]
    fn a_service_that_crashes_again_and_again_does_not_stay_up() {
        let with = |pid| look(&[("web.service", "simple", "active", "running", pid)], &[]);
        let first = Health { before: with(1), now: with(2) };
        assert!(Health { before: with(1), now: with(2) }.restarted_since(&first).is_empty());
        let again = Health { before: with(1), now: with(3) };
        assert_eq!(again.restarted_since(&first), ["web.service does not stay up"]);
    }

    #[test]
    fn connections_are_no_listeners() {
        let part = parts::Part { status: 0, text: "tcp 0.0.0.0:22\nudp 0.0.0.0:40001\nlooked".to_owned() };
        assert_eq!(listening(&part).unwrap().into_iter().collect::<Vec<_>>(), ["tcp 0.0.0.0:22"]);
        let torn = parts::Part { status: 0, text: "tcp 0.0.0.0:22".to_owned() };
        assert!(listening(&torn).is_err());
    }
}
