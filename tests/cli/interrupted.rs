//! A run that a person ends before its time, and a key that a person unlocks: as typed at a terminal, and without one. The
//! hosts are addresses that never answer, in a network of the test's own; the terminal is script(1)'s.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};

use palisade::program::{Program, SYSTEM_PATH};
use support::{Needs, Typing, binary, make_key, palisade};

support::tests! {
    Needs::root(PROGRAMS) => [
        a_key_is_unlocked_at_the_terminal_and_ctrl_c_leaves_nothing_behind,
        wrong_passphrases_are_an_error_and_ctrl_c_is_none_of_them,
        without_a_terminal_nothing_is_asked_and_a_signal_ends_a_run_at_once,
        which_way_a_host_is_reached_and_why_is_said_to_whoever_asks,
    ],
}

const PROGRAMS: &[Program] = &[
    Program::Unshare,
    Program::Sh,
    Program::Ip,
    Program::Kill,
    Program::Env,
    Program::Script,
    Program::Ssh,
    Program::SshKeygen,
    Program::Stty,
];

const PASSPHRASE: &str = "a long passphrase";

/// A network in which packets to the hosts' addresses go nowhere; then the command.
const ALONE: &str = "\
ip link set lo up
ip link add away type veth peer name nowhere
ip addr add 198.51.100.1/24 dev away
ip link set away up
ip link set nowhere up
ip neigh add 198.51.100.30 lladdr 02:00:00:00:00:01 dev away
exec \"$@\"";

/// A project with one enrolled host, whose administrator has a key with a passphrase.
fn project() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let at = |path: &str| folder.path().join(path);
    let _ = palisade(["init"]).arg(folder.path()).run().exits(0);
    let public = make_key(folder.path(), "key", "ed25519", PASSPHRASE).to_string();
    let fleet = fs::read_to_string(at("inventories/fleet.yaml")).unwrap();
    let theirs = fleet.lines().find(|line| line.contains("alice@example.com")).unwrap().to_owned();
    let ours = format!("    keys: [\"{public}\"]");
    fs::write(at("inventories/fleet.yaml"), fleet.replace(&theirs, &ours)).unwrap();
    let identities = "hosts:\n  test-web-1:\n    machine_id: 0123456789abcdef0123456789abcdef\n    environment: test\n    \
                      distribution: debian-12\n    enrolled: 2026-11-01T10:00:00Z\n    by: alice\n";
    fs::write(at("inventories/identities.yaml"), identities).unwrap();
    let host_key = public.split(' ').take(2).collect::<Vec<_>>().join(" ");
    fs::write(at("inventories/known_hosts"), format!("test-web-1 {host_key}\n")).unwrap();
    fs::create_dir(at("runtime")).unwrap();
    folder
}

/// What follows, in the network where nobody answers.
fn away(folder: &Path) -> Command {
    let mut command = Program::Unshare.command();
    command
        .args(["-n", "/bin/sh", "-ec", ALONE, "sh"])
        .current_dir(folder)
        .env_clear()
        .env("PATH", SYSTEM_PATH)
        .env("TERM", "xterm")
        .env("HOME", folder)
        .env("XDG_RUNTIME_DIR", folder.join("runtime"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// `palisade VERB test` over `transport`.
fn typed<'a>(verb: &'a str, transport: &'a str) -> Vec<&'a str> {
    let with = ["--as", "alice", "--identity", "key", "--limit", "test-web-1", "--transport", transport];
    [&[binary(), verb, "test"][..], &with].concat()
}

fn without_terminal(folder: &Path, verb: &str, transport: &str) -> Command {
    let mut command = away(folder);
    command.args(typed(verb, transport));
    command
}

fn at_a_terminal(folder: &Path, verb: &str, transport: &str) -> Typing {
    let typed = typed(verb, transport).join(" ");
    // What the terminal is like afterwards is for whoever types there next.
    let script = Typing::command(&format!("trap : INT; {typed}; code=$?; stty -a; exit $code"));
    let mut command = away(folder);
    command.arg(script.get_program()).args(script.get_args());
    Typing::start(command)
}

/// What lies in a folder, hidden files too.
fn inside(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

fn a_key_is_unlocked_at_the_terminal_and_ctrl_c_leaves_nothing_behind() {
    let folder = project();
    for (verb, transport) in
        [("audit", "russh"), ("audit", "openssh"), ("apply", "russh"), ("status", "openssh")]
    {
        let mut typing = at_a_terminal(folder.path(), verb, transport);
        typing.wait_for("passphrase of key: ");
        typing.types("not that one\r");
        typing.wait_for("passphrase of key (attempt 2 of 3): ");
        // Mistyped, and taken back.
        typing.types(&format!("é\u{7f}x\u{15}{PASSPHRASE}\r"));
        // The line ends when what is typed is shown again.
        typing.wait_for("(attempt 2 of 3): \r\n");
        if verb != "status" {
            typing.wait_for("waiting for test-web-1");
        }
        typing.types("\u{3}");
        let (code, shown) = typing.end();
        assert_eq!(code, Some(130), "{verb} {transport}: {shown:?}");
        assert!(shown.contains("interrupted before any host was changed; no record is kept"), "{shown:?}");
        assert!(!shown.contains("not that one") && !shown.contains(PASSPHRASE), "{shown:?}");
        assert!(shows_what_is_typed(&shown), "{shown:?}");
        let after = shown.rsplit("waiting for").next().unwrap();
        assert!(after.contains("\u{1b}[2K") || verb == "status", "the moving line stays: {shown:?}");
        assert_eq!(inside(&folder.path().join("runs")), [""; 0]);
        assert_eq!(inside(&folder.path().join("runtime/palisade")), [""; 0]);
    }
}

/// Whether the terminal is as terminals are, by the last words of `stty -a` on it.
fn shows_what_is_typed(shown: &str) -> bool {
    let (_, modes) = shown.rsplit_once("speed ").unwrap_or_default();
    let modes: Vec<&str> = modes.split_whitespace().collect();
    ["isig", "icanon", "echo"].iter().all(|mode| modes.contains(mode))
}

/// The palisade that runs in `folder`.
fn running(folder: &Path) -> String {
    let mut processes = fs::read_dir("/proc").unwrap().flatten();
    let found = processes.find(|process| {
        let is_it = fs::read(process.path().join("comm")).is_ok_and(|name| name == b"palisade\n");
        is_it && fs::read_link(process.path().join("cwd")).is_ok_and(|at| at == folder)
    });
    found.unwrap().file_name().into_string().unwrap()
}

fn wrong_passphrases_are_an_error_and_ctrl_c_is_none_of_them() {
    let folder = project();
    let mut typing = at_a_terminal(folder.path(), "audit", "russh");
    for said in ["passphrase of key: ", "(attempt 2 of 3): ", "(attempt 3 of 3): "] {
        typing.wait_for(said);
        typing.types("not that one\r");
    }
    let (code, shown) = typing.end();
    assert_eq!(code, Some(2), "{shown:?}");
    assert!(shown.contains("key stays locked: 3 passphrases were wrong"), "{shown:?}");
    assert!(shown.contains("ssh-add key"), "{shown:?}");
    assert!(shows_what_is_typed(&shown), "{shown:?}");

    // At the first question, at the second; by Ctrl-\ too.
    for (transport, wrong, end) in [("openssh", 0, "\u{3}"), ("russh", 1, "\u{3}"), ("russh", 0, "\u{1c}")] {
        let mut typing = at_a_terminal(folder.path(), "audit", transport);
        typing.wait_for("passphrase of key: ");
        for _ in 0..wrong {
            typing.types("not that one\r");
            typing.wait_for("(attempt 2 of 3): ");
        }
        typing.types(&format!("half of i{end}"));
        let (code, shown) = typing.end();
        assert_eq!(code, Some(130), "{shown:?}");
        assert!(!shown.contains("half of i"), "{shown:?}");
        assert!(shows_what_is_typed(&shown), "{shown:?}");
        assert_eq!(inside(&folder.path().join("runtime/palisade")), [""; 0]);
    }

    // A signal from elsewhere.
    let typing = at_a_terminal(folder.path(), "audit", "russh");
    typing.wait_for("passphrase of key: ");
    let kill = Program::Kill.command().args(["-s", "TERM", &running(folder.path())]).status();
    assert!(kill.unwrap().success());
    let (code, shown) = typing.end();
    assert_eq!(code, Some(130), "{shown:?}");
    assert!(shows_what_is_typed(&shown), "{shown:?}");
}

fn without_a_terminal_nothing_is_asked_and_a_signal_ends_a_run_at_once() {
    let folder = project();
    let mut child = without_terminal(folder.path(), "audit", "russh").spawn().unwrap();
    // Neither standard input nor the environment is a place for it.
    drop(child.stdin.take().unwrap().write_all(format!("{PASSPHRASE}\n").as_bytes()));
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("protected by a passphrase") && said.contains("ssh-add"), "{said}");
    assert!(!said.contains("passphrase of"), "{said}");

    let opened = Program::SshKeygen
        .command()
        .args(["-q", "-p", "-P", PASSPHRASE, "-N", "", "-f"])
        .arg(folder.path().join("key"))
        .output()
        .unwrap();
    assert!(opened.status.success());
    for (transport, signal) in [("russh", "INT"), ("openssh", "TERM"), ("openssh", "HUP")] {
        let mut child = without_terminal(folder.path(), "audit", transport).spawn().unwrap();
        drop(child.stdin.take());
        let mut err = child.stderr.take().unwrap();
        let mut first = [0; 1];
        // It says how many hosts it asks, and asks.
        err.read_exact(&mut first).unwrap();
        let pid = child.id().to_string();
        assert!(Program::Kill.command().args(["-s", signal, &pid]).status().unwrap().success());
        let mut said = String::new();
        err.read_to_string(&mut said).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(130), "{transport} {signal}: {said}");
        assert!(said.contains("interrupted before any host was changed"), "{said}");
        assert_eq!(inside(&folder.path().join("runs")), [""; 0]);
        assert_eq!(inside(&folder.path().join("runtime/palisade")), [""; 0]);
    }
}

fn which_way_a_host_is_reached_and_why_is_said_to_whoever_asks() {
    let folder = project();
    fs::create_dir(folder.path().join(".ssh")).unwrap();
    let said = |transport: &str, config: &str| {
        fs::write(folder.path().join(".ssh/config"), config).unwrap();
        let mut child = without_terminal(folder.path(), "audit", transport).arg("-v").spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
        let way = lines.find_map(|line| line.strip_prefix("test-web-1: by ").map(str::to_owned));
        // Nobody answers anyway.
        let pid = child.id().to_string();
        drop(Program::Kill.command().args(["-s", "INT", &pid]).stderr(Stdio::null()).status());
        child.wait().unwrap();
        way.unwrap_or_default()
    };
    let within = "SSH within this process";
    let because = "ssh(1): its ssh configuration says";
    for (transport, config, way) in [
        ("auto", "", within.to_owned()),
        ("auto", "Host *\n  User somebody\n  Compression yes\n", within.to_owned()),
        ("auto", "Host other\n  ProxyCommand nc %h %p\n", within.to_owned()),
        (
            "auto",
            "Host test-*\n  ProxyCommand nc -x socks %h %p\n",
            format!("{because} proxycommand nc -x socks %h %p"),
        ),
        ("auto", "Host test-*\n  ProxyJump bastion\n", format!("{because} proxyjump bastion")),
        ("auto", "CertificateFile /k-cert.pub\n", format!("{because} certificatefile /k-cert.pub")),
        ("auto", "PKCS11Provider /lib/p.so\n", format!("{because} pkcs11provider /lib/p.so")),
        ("auto", "IdentityAgent /run/agent\n", format!("{because} identityagent /run/agent")),
        ("auto", "Match host test-web-1\n  ProxyCommand none\nHost *\n  ProxyCommand x\n", within.to_owned()),
        ("russh", "Host test-*\n  ProxyJump bastion\n", within.to_owned()),
        ("openssh", "", "ssh(1): --transport openssh".to_owned()),
    ] {
        assert_eq!(said(transport, config), way, "{transport}, {config:?}");
    }
}
