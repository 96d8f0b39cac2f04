//! What a host is like, as a snapshot that is compared byte by byte, and the word for it: old, widened or new.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use palisade::lab::{Form, STATE, Snapshot, differences};
use support::World;

/// Backups that shadow-utils make of what they change, and their lock: never read by anybody.
const BACKUPS: [&str; 7] = [
    "/etc/passwd-",
    "/etc/shadow-",
    "/etc/group-",
    "/etc/gshadow-",
    "/etc/subuid-",
    "/etc/subgid-",
    "/etc/.pwd.lock",
];

/// Units that start when somebody asks them something, and stop again.
const ASKED: [&str; 2] = ["systemd-timedated.service active", "systemd-fsckd.service active"];

/// What the running kernel of a machine is set to, of what `kernel` sets. A container's is that of the machine below.
const KERNEL: &str = "cd /proc/sys && grep -s '' kernel/randomize_va_space kernel/kptr_restrict kernel/dmesg_restrict \
                      kernel/yama/ptrace_scope kernel/perf_event_paranoid kernel/sysrq dev/tty/ldisc_autoload \
                      net/core/bpf_jit_harden fs/suid_dumpable fs/protected_* net/ipv4/tcp_rfc1337 net/ipv4/icmp_* \
                      net/ipv*/conf/*/*_redirects net/ipv*/conf/*/accept_source_route net/ipv4/conf/*/rp_filter \
                      net/ipv4/conf/*/log_martians || :";

/// Everything of `name` that a change may touch.
pub(crate) fn snapshot(world: &World, name: &str) -> Snapshot {
    let host = world.host(name).unwrap();
    let is_machine = matches!(host.record().spec.form, Form::Machine(_));
    if is_machine {
        // an emulated one lets people in while it still starts what it starts
        host.sh("systemctl is-system-running --wait >/dev/null || :").unwrap();
    }
    let mut snapshot = host.snapshot(&STATE).unwrap();
    if is_machine {
        snapshot.insert("kernel".to_owned(), host.sh(KERNEL).unwrap());
    }
    snapshot.retain(|path, _| !BACKUPS.contains(&path.as_str()));
    let units: Vec<&str> = snapshot["units"].lines().filter(|line| !ASKED.contains(line)).collect();
    let units = units.join("\n");
    snapshot.insert("units".to_owned(), units);
    snapshot
}

/// `snapshot` without what each host has for itself.
pub(crate) fn comparable(snapshot: &Snapshot) -> Snapshot {
    const OWN: [&str; 6] = [
        "/etc/hostname",
        "/etc/hosts",
        "/etc/machine-id",
        "/etc/ssh/ssh_host_",
        "/etc/systemd/network/",
        "/etc/systemd/system/user@.service.d",
    ];
    let own = |path: &str| OWN.iter().any(|start| path.starts_with(start));
    // Which units are active differs between a first boot and a later one; which would be started does not.
    let units = |text: &str| {
        let (files, active) = text.split_once("\n\n").unwrap();
        let ours = |line: &&str| ["palisade", "nftables", "ssh"].iter().any(|start| line.starts_with(start));
        // Columns are as wide as the longest name was.
        let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
        files.lines().chain(active.lines().filter(ours)).map(words).collect::<Vec<_>>().join("\n")
    };
    snapshot
        .iter()
        .filter(|(path, _)| !own(path))
        .map(|(path, how)| (path.clone(), if path == "units" { units(how) } else { how.clone() }))
        .collect()
}

/// What palisade left of its own work on `name` that should be gone once nothing is pending.
pub(crate) fn leftovers(world: &World, name: &str) -> Vec<String> {
    let found = world
        .host(name).unwrap()
        .sh("find /etc /home /root /usr/local /var/lib/palisade -name '.palisade-*' -o -path /var/lib/palisade/pending \
             -o -path /var/lib/palisade/lease -o -path '/var/lib/palisade/tx/*/old.*' -o -path '/var/lib/palisade/tx/*/new.*' \
             -o -path '/var/lib/palisade/tx/*/etc.*' -o -path '/var/lib/palisade/tx/*/ssh' -o -path /etc/passwd.lock
             systemctl list-units --plain --no-legend --all 'palisade-rollback-*' | cut -d ' ' -f 1")
        .unwrap();
    found.lines().map(str::to_owned).collect()
}

/// Snapshots of one host, by their names.
#[derive(Default)]
pub(crate) struct Known {
    snapshots: BTreeMap<&'static str, Snapshot>,
}

impl Known {
    pub(crate) fn learn(&mut self, word: &'static str, snapshot: Snapshot) {
        self.snapshots.insert(word, snapshot);
    }

    pub(crate) fn has(&self, word: &str) -> bool {
        self.snapshots.contains_key(word)
    }

    pub(crate) fn get(&self, word: &str) -> &Snapshot {
        &self.snapshots[word]
    }

    /// Whether `now` is exactly the state called `word`; else how it differs from every known state.
    pub(crate) fn expect(&self, word: &str, now: &Snapshot) -> Result<(), String> {
        let mut text = String::new();
        for (name, known) in &self.snapshots {
            let differs = differences(known, now);
            if differs.is_empty() {
                if *name == word {
                    return Ok(());
                }
                let _ = write!(text, "\n  it is {name}");
            } else {
                let _ = write!(text, "\n  against {name}: {}", excerpt(known, now, &differs));
            }
        }
        Err(format!("it is not {word}:{text}"))
    }
}

fn excerpt(known: &Snapshot, now: &Snapshot, differs: &[String]) -> String {
    let first =
        differs.iter().find(|line| line.starts_with('~')).and_then(|line| line.get(2..)).map(|what| {
            let lines = |snapshot: &Snapshot| snapshot[what].lines().map(str::to_owned).collect::<Vec<_>>();
            let (old, new) = (lines(known), lines(now));
            let only = |some: &[String], others: &[String]| {
                some.iter()
                    .filter(|line| !others.contains(line))
                    .take(6)
                    .cloned()
                    .collect::<Vec<_>>()
                    .join("\n      ")
            };
            format!("\n    {what}:\n    - {}\n    + {}", only(&old, &new), only(&new, &old))
        });
    format!("{}{}", differs.join(", "), first.unwrap_or_default())
}
