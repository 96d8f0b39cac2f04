//! The chapter in which the network loses every new connection to a host in the middle of a change. The lab's bridge
//! loses them, after the host switched; the host itself is not touched. That it went back is read on its console.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::moment::{DemoError, Moment};
use super::teller::{Teller, reachable};
use super::verb::{Ran, Running, Verbs};
use crate::lab::{Fault, Host, STATE, differences};
use crate::shell::{Arg, Script};

/// The host that it happens to.
const HOST: &str = "web-1";

/// Inserted before the listener `https` of the project's own inventory.
const LISTENER: [&str; 3] = ["- name: metrics", "  port: 9100", "  from: admin"];

/// How long the hosts wait for confirmation in this chapter, since somebody watches.
const ROLLBACK_TIMEOUT: Duration = Duration::from_secs(15);

pub(super) fn tell(teller: &mut Teller, verbs: &mut Verbs) -> Result<(), DemoError> {
    teller.chapter(
        7,
        "The network fails in the middle of a change",
        "One listener more is declared in prod. As soon as web-1 has switched, the network loses every new connection \
         to it, so that nobody can see whether the change works. Nobody has to do anything about it.",
    );
    let path = verbs.project().join("inventories/prod.yaml");
    let failed = || DemoError::failed("change the inventory of prod");
    let before = fs::read_to_string(&path).map_err(failed())?;
    let (after, added) = with_listener(&before).ok_or_else(|| DemoError::NotSeen {
        wanted: "a listener https in the inventory of prod".to_owned(),
        found: "none".to_owned(),
    })?;
    fs::write(&path, after).map_err(failed())?;
    let shown: Vec<String> = added.iter().map(|line| format!("  + {line}")).collect();
    (teller.tell)(Moment::Text(&format!("  inventories/prod.yaml, role web\n{}", shown.join("\n"))));
    let patient = hurry(teller, verbs)?;

    let lab = teller.lab;
    let host = lab.host(HOST)?;
    let snapshot = host.snapshot(&STATE)?;
    let hold = lab.folder().join("hold");
    fs::write(&hold, b"").map_err(DemoError::failed("hold the change"))?;
    let place = format!("verifying:{}", hold.display());
    let mut running = verbs.start(&["apply", "prod", "--yes"], &[("PALISADE_LAB_HOLD", &place)])?;
    let reached = hold.with_file_name("hold.reached");
    let mut ended = wait(verbs, &mut running, Duration::from_mins(2), || Ok(reached.exists()))?;
    if let Some(ran) = ended {
        return Err(not_seen("web-1 switched", &ran));
    }
    let tx = pending(&host)?;
    host.inject(Fault::NewConnections)?;
    let cut = Instant::now();
    fs::remove_file(&hold).map_err(DemoError::failed("let the change go on"))?;
    (teller.tell)(Moment::Meanwhile(
        "web-1 has switched: from now on the network loses every new connection to it",
    ));

    let mut outcome = String::new();
    ended = wait(verbs, &mut running, Duration::from_mins(1), || {
        outcome = said(&host, &tx)?;
        Ok(!outcome.is_empty())
    })?;
    let after = cut.elapsed();
    if let Some(ran) = ended {
        return Err(not_seen("web-1 went back while nobody could reach it", &ran));
    }
    let reached = reachable(lab, HOST, 22)?;
    (teller.tell)(Moment::Meanwhile(&format!(
        "web-1's own console, {:.1} s later: {outcome:?}; now its network is given back",
        after.as_secs_f64()
    )));
    let differs = differences(&snapshot, &host.snapshot(&STATE)?);
    host.lift_fault()?;
    let ran = loop {
        if let Some(ran) = verbs.ended(&mut running)? {
            break ran;
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    patient.restore()?;
    teller.see(
        outcome == "rolled-back timer" && !reached,
        &format!(
            "web-1 took the change back by itself, {:.0} s after it lost its network",
            after.as_secs_f64()
        ),
        || format!("its outcome is {outcome:?}, and it can{} be reached", if reached { "" } else { "not" }),
    )?;
    teller.see(
        differs.is_empty(),
        "web-1 is byte for byte what it was before: files, ruleset, units",
        || differs.join(", "),
    )?;
    teller.see(
        ran.exit == Some(5) && ran.state(HOST) == Some("rolled-back"),
        "palisade saw it, said so, and ended with exit code 5",
        || ran.summary(),
    )
}

/// What `fleet.yaml` said before this chapter.
struct Patient {
    path: PathBuf,
    text: String,
}

impl Patient {
    fn restore(self) -> Result<(), DemoError> {
        fs::write(&self.path, self.text).map_err(DemoError::failed("change the inventory of the fleet"))
    }
}

/// Has the hosts go back sooner than a real fleet may, and says so.
fn hurry(teller: &Teller, verbs: &Verbs) -> Result<Patient, DemoError> {
    let path = verbs.project().join("inventories/fleet.yaml");
    let failed = || DemoError::failed("change the inventory of the fleet");
    let text = fs::read_to_string(&path).map_err(failed())?;
    let (hurried, line) = with_timeout(&text).ok_or_else(|| DemoError::NotSeen {
        wanted: "a rollback_timeout in the inventory of the fleet".to_owned(),
        found: "none".to_owned(),
    })?;
    fs::write(&path, hurried).map_err(failed())?;
    (teller.tell)(Moment::Text(&format!(
        "  inventories/fleet.yaml, limits, for this chapter alone: a real fleet has a minute at least\n  + {line}"
    )));
    Ok(Patient { path, text })
}

fn not_seen(wanted: &str, ran: &Ran) -> DemoError {
    DemoError::NotSeen { wanted: wanted.to_owned(), found: ran.summary() }
}

/// Waits for `done`. Gives what came of the verb, where it ended before that.
fn wait(
    verbs: &mut Verbs,
    running: &mut Running,
    at_most: Duration,
    mut done: impl FnMut() -> Result<bool, DemoError>,
) -> Result<Option<Ran>, DemoError> {
    let until = Instant::now() + at_most;
    loop {
        if done()? {
            return Ok(None);
        }
        if let Some(ran) = verbs.ended(running)? {
            return Ok(Some(ran));
        }
        if Instant::now() > until {
            return Err(DemoError::NotSeen {
                wanted: "the next step of the change".to_owned(),
                found: format!("nothing for {} s", at_most.as_secs()),
            });
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// The transaction that is pending on the host.
fn pending(host: &Host) -> Result<Arg, DemoError> {
    let id = host.sh("cat /var/lib/palisade/pending")?;
    Ok(Arg::lossy(id.trim()))
}

/// What the host itself says of how the transaction ended; nothing while it is pending.
fn said(host: &Host, tx: &Arg) -> Result<String, DemoError> {
    let script = Script::new().set("id", tx.clone()).text(
        "[ \"$(cat /var/lib/palisade/pending 2>/dev/null)\" = \"$id\" ] || cat \"/var/lib/palisade/tx/$id/outcome\"",
    );
    let output = host.run(&script)?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// The inventory with one listener more, and the lines that are new.
fn with_listener(text: &str) -> Option<(String, Vec<String>)> {
    let lines: Vec<&str> = text.lines().collect();
    let at = lines.iter().position(|line| line.trim() == "- name: https")?;
    let (before, after) = lines.split_at_checked(at)?;
    let indent: String = after.first()?.chars().take_while(|c| *c == ' ').collect();
    let added: Vec<String> = LISTENER.iter().map(|line| format!("{indent}{line}")).collect();
    let all: Vec<&str> =
        before.iter().copied().chain(added.iter().map(String::as_str)).chain(after.iter().copied()).collect();
    Some((format!("{}\n", all.join("\n")), added))
}

/// The inventory of the fleet with this chapter's timeout, and the line that says it.
fn with_timeout(text: &str) -> Option<(String, String)> {
    const FIELD: &str = "rollback_timeout: ";
    let line = text.lines().find(|line| line.trim_start().starts_with(FIELD))?;
    let indent = line.len() - line.trim_start().len();
    let new = format!("{:indent$}{FIELD}{}s", "", ROLLBACK_TIMEOUT.as_secs());
    Some((text.replacen(line, &new, 1), new))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_timeout_takes_the_place_of_the_fleets() {
        let (new, line) =
            with_timeout("limits:\n  people: 2\n  rollback_timeout: 60s\npeople: {}\n").expect("a timeout");
        assert_eq!(new, "limits:\n  people: 2\n  rollback_timeout: 15s\npeople: {}\n");
        assert_eq!(line, "  rollback_timeout: 15s");
        assert_eq!(with_timeout("limits: {}\n"), None);
    }

    #[test]
    fn a_listener_is_declared_beside_the_others() {
        let text = "roles:\n  web:\n    listeners:\n      - name: http\n        port: 80\n      - name: https\n        port: 443\n";
        let (new, added) = with_listener(text).expect("a place for it");
        assert_eq!(added.len(), 3);
        assert!(new.contains("        port: 80\n      - name: metrics\n        port: 9100\n        from: admin\n      - name: https\n"));
        assert_eq!(with_listener("roles: {}\n"), None);
    }
}
