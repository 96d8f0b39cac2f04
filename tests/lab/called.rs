//! Which programs of this machine are called, as its kernel saw it: palisade, its lab and its tests are traced at work, and
//! everything that they start, by themselves or through a script that they feed to a shell, is in the table of programs.
//! What those programs start in turn, and what runs on hosts, is no concern of the table.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use palisade::program::Program;
use support::{Needs, binary, note, tail};

use crate::bare_root::sibling;

support::tests! {
    Needs {
        programs: &[Program::Strace, Program::Openssl, Program::PythonSmtpd, Program::Python3, Program::Sshd, Program::Netcat],
        ..Needs::LAB
    } => [
        nothing_is_called_that_is_not_in_the_table,
        what_was_called_is_told_from_what_that_called,
    ],
}

/// Whose children are ours too: shells, and programs that start what they are told to.
const THROUGH: [&str; 14] = [
    "sh",
    "dash",
    "bash",
    "env",
    "nsenter",
    "unshare",
    "setsid",
    "timeout",
    "xargs",
    "script",
    "setpriv",
    "strace",
    "chroot",
    "systemd-nspawn",
];

/// A program that was started: by whom, and with which words.
#[derive(Debug, Clone, PartialEq)]
struct Started {
    path: String,
    /// The words of its command line, as strace quotes them.
    words: String,
    /// Whether palisade or a test started it.
    by_us: bool,
}

/// Every program that was started, in the order of a log of strace's: `PID execve("PATH", [WORDS], …) = 0`, and the calls
/// that make processes. `ours` is the folder of what was built.
fn started(log: &str, ours: &str) -> Vec<Started> {
    // A process may be seen at work before the call that made it has returned, so who made whom is gathered first.
    let mut parents: BTreeMap<&str, &str> = BTreeMap::new();
    for line in log.lines() {
        let Some((process, rest)) = line.split_once(' ') else { continue };
        let made = ["clone(", "clone3(", "fork(", "vfork(", "<... clone", "<... fork", "<... vfork"];
        if made.iter().any(|call| rest.trim_start().starts_with(call))
            && let Some((_, child)) = rest.rsplit_once(" = ")
            && let Some(child) = numbered(child)
        {
            parents.insert(child, process);
        }
    }
    let mut images: BTreeMap<&str, Started> = BTreeMap::new();
    let mut all = Vec::new();
    for line in log.lines() {
        let Some((process, rest)) = line.split_once(' ') else { continue };
        let Some(rest) = rest.trim_start().strip_prefix("execve(\"") else { continue };
        let Some((path, words)) = rest.split_once('"') else { continue };
        let mut above = Some(process);
        let caller = loop {
            match above {
                Some(one) if images.contains_key(one) => break images.get(one),
                Some(one) => above = parents.get(one).copied(),
                None => break None,
            }
        };
        let by_us = caller.map_or(images.is_empty(), |caller| {
            let is_ours = caller.path.starts_with(ours);
            is_ours || caller.by_us && passes_on(caller)
        });
        let one = Started { path: path.to_owned(), words: words.to_owned(), by_us };
        images.insert(process, one.clone());
        all.push(one);
    }
    all
}

/// The process that a call gave, by its number here: `2 /* 1234 in strace's PID NS */` where it was made in a namespace of
/// its own.
fn numbered(given: &str) -> Option<&str> {
    let number = match given.split_once("/* ") {
        Some((_, rest)) => rest.split(' ').next()?,
        None => given,
    };
    number.bytes().all(|byte| byte.is_ascii_digit()).then_some(number)
}

fn name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or_default()
}

/// Whether what this program starts is started by us. What enters a host or another root is not: there, other programs are.
fn passes_on(caller: &Started) -> bool {
    let enters = match name(&caller.path) {
        "nsenter" => caller.words.contains("--root"),
        "chroot" | "systemd-nspawn" => true,
        _ => false,
    };
    THROUGH.contains(&name(&caller.path)) && !enters
}

/// Runs a command, and adds what it called.
fn trace(command: &Command, log: &Path, found: &mut BTreeSet<String>) {
    let mut strace = Program::Strace.command();
    strace
        .args(["-f", "-qq", "--seccomp-bpf", "--decode-pids=pidns", "-z", "-s", "200", "-e", "signal=none"])
        .args(["-e", "trace=execve,clone,clone3,fork,vfork", "-o"])
        .arg(log)
        .arg(command.get_program())
        .args(command.get_args());
    let output = strace.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{command:?}: {}\n{said}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout)
    );
    let ours = Path::new(binary()).parent().expect("the target folder").display().to_string();
    let log = std::fs::read(log).unwrap();
    let calls = started(&String::from_utf8_lossy(&log), &ours);
    found.extend(
        calls
            .into_iter()
            .filter(|one| one.by_us && !one.path.starts_with(&ours))
            .map(|one| name(&one.path).to_owned()),
    );
}

fn nothing_is_called_that_is_not_in_the_table() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("strace");
    let mut found = BTreeSet::new();
    // A lab that goes with its process: strace goes on as long as anything does that it traces. All that its host does is
    // traced too, which takes a minute.
    let lab = if tail() { ["guests::packages_are_installed_without_any_network"].as_slice() } else { &[] };
    for (program, tests) in [
        ("lab", lab),
        ("cli", ["announce::", "nft::", "sshd_drop_in::", "signing::"].as_slice()),
        ("transport", ["identities::"].as_slice()),
    ] {
        for test in tests {
            let mut command = Program::Env.command();
            command.arg(sibling(program)).arg(test);
            let begun = std::time::Instant::now();
            trace(&command, &log, &mut found);
            note(&format!("traced {program} {test} in {:.0} s", begun.elapsed().as_secs_f32()));
        }
    }
    let table: BTreeSet<&str> = Program::ALL.iter().map(|program| name(program.name())).collect();
    let others: Vec<&String> = found.iter().filter(|one| !table.contains(one.as_str())).collect();
    note(&format!("called: {}", found.iter().cloned().collect::<Vec<_>>().join(" ")));
    assert!(found.contains("sshd") && found.contains("ssh"), "{found:?}");
    assert!(found.contains("systemd-nspawn") || !tail(), "{found:?}");
    assert!(others.is_empty(), "called, and in no line of src/program.rs: {others:?}");
}

fn what_was_called_is_told_from_what_that_called() {
    let log = "\
10 execve(\"/t/palisade\", [\"palisade\"], 0x1) = 0
10 vfork( <unfinished ...>
11 execve(\"/usr/bin/unshare\", [\"unshare\", \"-n\", \"sh\"], 0x1) = 0
10 <... vfork resumed>) = 11
11 execve(\"/bin/sh\", [\"sh\"], 0x1) = 0
11 clone(child_stack=NULL, flags=CLONE_CHILD_SETTID) = 12
12 execve(\"/usr/sbin/sshd\", [\"sshd\"], 0x1) = 0
12 clone3({flags=0}, 88) = 13
13 execve(\"/usr/bin/cat\", [\"cat\"], 0x1) = 0
10 clone3({flags=0}, 88) = 2 /* 14 in strace's PID NS */
14 execve(\"/usr/bin/nsenter\", [\"nsenter\", \"--all\", \"--root\"], 0x1) = 0
14 execve(\"/usr/bin/env\", [\"env\"], 0x1) = 0
";
    let by_us: Vec<(String, bool)> =
        started(log, "/t").into_iter().map(|one| (name(&one.path).to_owned(), one.by_us)).collect();
    let expected = [
        ("palisade", true),
        ("unshare", true),
        ("sh", true),
        ("sshd", true),
        ("cat", false),
        ("nsenter", true),
        ("env", false),
    ];
    assert_eq!(by_us, expected.map(|(name, by_us)| (name.to_owned(), by_us)));
}
