//! A host's own tools, each replaced by one that says nothing, fails, or never ends: what depends on it is unknown, the
//! audit says so and exits 4, and nothing that was not read counts as compliant. The host is as declared all the time, so
//! that whatever is not compliant is so because of the tool.

use std::collections::BTreeSet;
use std::sync::Mutex;

use palisade::lab::Suite;
use palisade::shell::{Arg, Script};
use serde_json::Value;
use support::{Inventory, Needs, Project, World, host, note, tail};

support::tests! {
    Needs::LAB => [
        tools_that_say_nothing_fail_or_hang_leave_it_unknown,
    ],
}

/// How a tool goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wrong {
    /// It exits 0 and says nothing.
    Silent,
    /// It exits 1 and says nothing.
    Fails,
    /// It does not end.
    Hangs,
}

/// A tool, and the controls that cannot be judged without it.
struct Tool {
    name: &'static str,
    kinds: &'static str,
    controls: &'static [&'static str],
}

const fn tool(name: &'static str, kinds: &'static str, controls: &'static [&'static str]) -> Tool {
    Tool { name, kinds, controls }
}

const ALL: &[&str] = &["firewall", "key-only", "server-access"];
const UNITS: &[&str] = &["firewall", "key-only"];

/// Every program that a question is answered by.
const TOOLS: [Tool; 15] = [
    tool("dpkg-query", "package", &["firewall"]),
    tool("systemctl", "service, sshd", UNITS),
    tool("getent", "user, group, authorized-keys", &["server-access"]),
    tool("sshd", "sshd, authorized-keys", &["key-only", "server-access"]),
    tool("nft", "nftables", &["firewall"]),
    tool("unshare", "nftables", &["firewall"]),
    tool("ss", "sockets", &["firewall"]),
    tool("dpkg", "permissions", &["baseline"]),
    tool("find", "permissions", &["baseline"]),
    tool("apt-get", "updates, sources", &["patching"]),
    tool("apt-config", "sources", &["patching"]),
    tool("ip", "separation", &["separation"]),
    tool("fail2ban-client", "lockout", &["lockout"]),
    tool("systemd-detect-virt", "machine", &["hosting"]),
    tool("perl", "every kind", ALL),
];

/// Those that hang, the longest last: the questions of one look may take a minute in all, one of them 20 to 60 s.
const HANG: [&str; 7] = ["systemd-detect-virt", "ss", "dpkg-query", "nft", "getent", "systemctl", "sshd"];

const HOSTS: [(&str, Suite); 4] =
    [("a-12", Suite::Bookworm), ("b-12", Suite::Bookworm), ("a-13", Suite::Trixie), ("b-13", Suite::Trixie)];

fn tools_that_say_nothing_fail_or_hang_leave_it_unknown() {
    let world = World::with(HOSTS.map(|(name, suite)| host(name, suite).stocked()));
    let project = &Project::write(&world, "tools", &Inventory::default());
    project.waive("patching", HOSTS.iter().map(|(name, _)| *name));
    project.enrol();
    let applied = project.palisade(&["apply", "prod", "--batch", "100%"]).run();
    assert_eq!(applied.code, Some(0), "{}", applied.said());
    let sound = audit(project, "a-12", &[]);
    assert_eq!(sound.0, Some(0), "{}", sound.1);

    // Those that hang first, since they take longest: one tool of each kind, each on one distribution, in turn. The others
    // are silent on one distribution and fail on the other, in turn; the tail has both on both.
    let cases = |suite: Suite| {
        let quick = TOOLS.iter().enumerate().flat_map(|(at, tool)| {
            let here = move |wrong: usize| tail() || (at + wrong + suite as usize).is_multiple_of(2);
            [(tool, Wrong::Silent), (tool, Wrong::Fails)]
                .into_iter()
                .enumerate()
                .filter(move |(wrong, _)| here(*wrong))
        });
        let quick = quick.map(|(_, case)| case);
        let hang = HANG.iter().skip(suite as usize).step_by(2);
        let hang = hang.flat_map(|name| TOOLS.iter().filter(move |tool| tool.name == *name));
        Mutex::new(quick.chain(hang.map(|tool| (tool, Wrong::Hangs))).collect::<Vec<_>>())
    };
    let queues = [(Suite::Bookworm, cases(Suite::Bookworm)), (Suite::Trixie, cases(Suite::Trixie))];
    let failures = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for (name, suite) in HOSTS {
            let (queues, failures) = (&queues, &failures);
            scope.spawn(move || {
                let (_, queue) = queues.iter().find(|(one, _)| *one == suite).unwrap();
                loop {
                    let Some((tool, wrong)) = queue.lock().unwrap().pop() else { break };
                    if let Err(why) = without(project, name, tool, wrong) {
                        failures.lock().unwrap().push(format!("{name}, {} {wrong:?}: {why}", tool.name));
                    }
                }
                let again = audit(project, name, &[]);
                if again.0 != Some(0) {
                    failures.lock().unwrap().push(format!("{name} is not as before: {}", again.1));
                }
            });
        }
    });
    let failures = failures.into_inner().unwrap();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// One audit of `name` while `tool` is `wrong`, of the controls that it is asked for.
fn without(project: &Project, name: &str, tool: &Tool, wrong: Wrong) -> Result<(), String> {
    let host = project.world.host(name).unwrap();
    let does = match wrong {
        Wrong::Silent => "exit 0",
        Wrong::Fails => "exit 1",
        Wrong::Hangs => "exec sleep 600",
    };
    // Questions find what they run by its name, but for sshd: there the daemon itself must go on.
    let replace = Script::new().set("name", Arg::word(tool.name)).set("does", Arg::lossy(does)).text(
        r#"set -e
if [ "$name" = sshd ]; then
  mv /usr/sbin/sshd /usr/sbin/sshd.sound
  printf '#!/bin/sh\ncase $1 in -T | -V | -t) %s ;; esac\nexec /usr/sbin/sshd.sound "$@"\n' "$does" >/usr/sbin/sshd
  chmod 755 /usr/sbin/sshd
else
  printf '#!/bin/sh\n%s\n' "$does" >"/usr/local/sbin/$name"
  chmod 755 "/usr/local/sbin/$name"
fi"#,
    );
    let restore = "rm -f /usr/local/sbin/*; if [ -e /usr/sbin/sshd.sound ]; then mv -f /usr/sbin/sshd.sound /usr/sbin/sshd; fi";
    let done = host.run(&replace).map_err(|error| error.to_string())?;
    if !done.exit.success() {
        return Err(String::from_utf8_lossy(&done.stderr).into_owned());
    }
    let (code, said, document) = audit(project, name, tool.controls);
    host.sh(restore).map_err(|error| error.to_string())?;
    let document = document.ok_or_else(|| format!("no document: {said}"))?;
    let controls = document["hosts"][0]["controls"].as_array().unwrap();
    let unknown: BTreeSet<&str> = controls
        .iter()
        .filter(|control| control["verdict"] == "unknown")
        .map(|control| control["id"].as_str().unwrap())
        .collect();
    note(&format!("{name}: {} ({}) {wrong:?}: exit {code:?}, unknown: {unknown:?}", tool.name, tool.kinds));
    let wanted: BTreeSet<&str> = tool.controls.iter().copied().collect();
    if code != Some(4) {
        return Err(format!("exit {code:?}, unknown: {unknown:?}\n{said}"));
    }
    if !wanted.is_subset(&unknown) {
        return Err(format!("unknown is {unknown:?}, and should be {wanted:?} at least\n{said}"));
    }
    Ok(())
}

/// An audit of these controls; of all, where none is named.
fn audit(project: &Project, name: &str, controls: &[&str]) -> (Option<i32>, String, Option<Value>) {
    let controls = controls.iter().flat_map(|control| ["--control", *control]);
    let ran = project.palisade(&["audit", "prod", "--limit", name, "--format", "json"]).args(controls).run();
    let document = serde_json::from_str(&ran.out).ok();
    (ran.code, ran.said(), document)
}
