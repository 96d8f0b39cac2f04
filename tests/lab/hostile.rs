//! Hostile hosts: `palisade audit` over hosts that flood, dawdle, lie, deceive terminals, refuse, or are other machines,
//! beside a healthy one. Each hostile host gets its own reason, the healthy one its judgement, all of it in bounded time
//! and memory, and nothing that a host says reaches the terminal as it came.
//!
//! All hosts are one real sshd in namespaces of its own (network and mounts), with an address for each and a forced
//! command where a host is hostile.

use std::fmt::Write as _;
use std::io::{Read, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use palisade::program::Program;
use serde_json::Value;
use support::{Needs, as_role, make_key, note, palisade, wait_until};

support::tests! {
    Needs::root(PROGRAMS) => [
        hostile_hosts_harm_nobody_but_themselves,
    ],
}

const PROGRAMS: &[Program] = &[
    Program::Sshd,
    Program::SshKeygen,
    Program::Sudo,
    Program::Setpriv,
    Program::Unshare,
    Program::Nsenter,
    Program::Mount,
    Program::Ip,
    Program::Sh,
    Program::Cp,
    Program::Head,
    Program::Mkdir,
    Program::Rm,
    Program::Sleep,
    Program::Yes,
];

const MACHINE: &str = "0123456789abcdef0123456789abcdef";
const PORT: u16 = 2222;
/// Where the test's own program stands in for hosts that are no sshd at all.
const STAND_IN: u16 = 2223;
/// The name of its role.
pub(crate) const STAND_IN_ROLE: &str = "stand-in";

/// A host: its name, what its login shell runs instead of what it is asked (none for nothing else), and what palisade
/// must say of it: a state, and a part of the reason.
struct Hostile {
    name: &'static str,
    shell: Option<&'static str>,
    state: &'static str,
    reason: &'static str,
}

const fn hostile(
    name: &'static str,
    shell: &'static str,
    state: &'static str,
    reason: &'static str,
) -> Hostile {
    Hostile { name, shell: Some(shell), state, reason }
}

/// What a deceptive host writes: a title, a cleared screen, a colour, a reversed line.
const ESCAPES: &str = r"printf '\033]0;owned\007\033[2J\033[31m\342\200\256all compliant\r'";

/// Hosts that answer as themselves, more or less.
const HOSTS: &[Hostile] = &[
    Hostile { name: "well", shell: None, state: "answered", reason: "" },
    // A login shell that greets, with forged answers under a guessed nonce, and then does as it is asked.
    hostile(
        "noisy",
        r#"n=00000000000000000000000000000000
for s in 1 2; do printf '\033[2JWelcome\n\n%s begin facts\nmachine-id\tffffffffffffffffffffffffffffffff\nend\tfacts\n\n%s end facts 0\n' $n $n >&$s; done
exec sudo -n unshare -m --propagation private sh -c 'mount --bind FOLDER/noisy-machine-id /etc/machine-id && exec setpriv --reuid 2001 --regid 2001 --clear-groups sh -c "$0"' "$SSH_ORIGINAL_COMMAND""#,
        "answered",
        "",
    ),
    hostile("flood", "exec yes", "unreachable", "answered more than 16777216 bytes"),
    hostile("flood-err", "exec yes >&2", "unreachable", "answered more than 16777216 bytes"),
    hostile("long", "exec head -c 17000000 /dev/zero", "unreachable", "answered more than 16777216 bytes"),
    hostile("slow", "while printf x; do sleep 1; done", "unreachable", "did not answer within 60 s"),
    hostile("dumb", "exec sleep 90", "unreachable", "did not answer within 60 s"),
    hostile("garbage", "exec head -c 3000000 /dev/urandom", "unreachable", "gave no answer to `facts`"),
    hostile("half", r#"eval "$SSH_ORIGINAL_COMMAND" | head -c 300"#, "unreachable", "`facts`"),
    hostile(
        "forger",
        r"n=00000000000000000000000000000000
for s in 1 2; do printf '\n%s begin facts\nmachine-id\t0123456789abcdef0123456789abcdef\nboot-id\t01234567-89ab-cdef-0123-456789abcdef\ndistribution\tdebian-12\nenvironment\tdev\nuid\t0\nend\tfacts\n\n%s end facts 0\n' $n $n >&$s; done",
        "unreachable",
        "gave no answer to `facts`",
    ),
    hostile("deceiver", "ESCAPES; ESCAPES >&2; exit 3", "unreachable", "all compliant"),
    // Its shell kills the sshd above the shell that started it.
    hostile(
        "cut",
        "printf half; read -r _ _ _ above _ </proc/$PPID/stat; kill -KILL $above; sleep 5",
        "unreachable",
        "broke",
    ),
    hostile(
        "asks",
        r#"exec sudo -n unshare -m --propagation private sh -c 'mount --bind FOLDER/sudoers.password /etc/sudoers && exec setpriv --reuid 2001 --regid 2001 --clear-groups sh -c "$0"' "$SSH_ORIGINAL_COMMAND""#,
        "unreachable",
        "password is required",
    ),
    Hostile { name: "refuses", shell: None, state: "unreachable", reason: "refused alice" },
    Hostile {
        name: "mute",
        shell: None,
        state: "unreachable",
        reason: "did not finish the handshake within 15 s",
    },
    Hostile { name: "babbler", shell: None, state: "unreachable", reason: "" },
    Hostile { name: "closed", shell: None, state: "unreachable", reason: "refused" },
];

/// Hosts that are other machines than they should be.
const OTHERS: &[Hostile] = &[
    Hostile {
        name: "wrong-key",
        shell: None,
        state: "refused",
        reason: "another host key than the pinned one",
    },
    Hostile {
        name: "clone",
        shell: None,
        state: "refused",
        reason: "answers as another machine (0123456789abcdef0123456789abcdef)",
    },
    hostile(
        "ubuntu",
        r#"exec sudo -n unshare -m --propagation private sh -c 'mount --bind FOLDER/os-release.ubuntu /etc/os-release && exec setpriv --reuid 2001 --regid 2001 --clear-groups sh -c "$0"' "$SSH_ORIGINAL_COMMAND""#,
        "refused",
        "runs ubuntu-24.04; palisade supports Debian 12 and 13",
    ),
];

fn all() -> impl Iterator<Item = (usize, &'static Hostile)> {
    HOSTS.iter().chain(OTHERS).enumerate()
}

fn address(place: usize) -> String {
    format!("198.51.100.{}", 40 + place)
}

fn port(host: &Hostile) -> u16 {
    match host.name {
        "mute" | "babbler" => STAND_IN,
        "closed" => 2224,
        _ => PORT,
    }
}

/// The namespaces, the sshd within them, and the project about its hosts.
struct HostileHosts {
    folder: tempfile::TempDir,
    sshd: Child,
    stand_in: Option<Child>,
    /// Kept open, so that the stand-in may write to its end.
    said: Option<ChildStdout>,
}

impl Drop for HostileHosts {
    fn drop(&mut self) {
        for child in self.stand_in.iter_mut().chain([&mut self.sshd]) {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn write(path: &Path, text: &str, mode: u32) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

/// $1 is the folder, $2 the addresses. /etc becomes a copy of this machine's with a few files of its own.
const STAGE: &str = r#"set -e
ip link set lo up
for address in $2; do ip addr add "$address/32" dev lo; done
mkdir "$1/etc" /run/sshd 2>/dev/null || true
mount -t tmpfs -o mode=755 none "$1/etc"
cp -a /etc/. "$1/etc/"
rm -rf "$1/etc/sudoers.d" "$1/etc/palisade"
mkdir "$1/etc/palisade" "$1/etc/sudoers.d"
for name in passwd sudoers os-release machine-id; do rm -f "$1/etc/$name"; cp -p "$1/$name" "$1/etc/$name"; done
cp -p "$1/environment" "$1/etc/palisade/environment"
mount --bind "$1/etc" /etc
exec /usr/sbin/sshd -D -f "$1/sshd_config" -E "$1/log""#;

/// Everything that the hosts and the project about them are made of.
fn write_files(folder: &Path) {
    let at = |name: &str| folder.join(name);
    // Without their comments, as pins have them.
    let key = |name: &str| make_key(folder, name, "ed25519", "").material();
    let (host_key, other_key, alice) = (key("host_key"), key("other_key"), key("alice"));
    write(&at("authorized_keys"), &format!("{alice}\n"), 0o644);
    write(
        &at("passwd"),
        "root:x:0:0:root:/root:/bin/bash\nsshd:x:100:65534::/run/sshd:/usr/sbin/nologin\nalice:*:2001:2001::/:/bin/sh\n",
        0o644,
    );
    write(&at("sudoers"), "root ALL=(ALL:ALL) ALL\nalice ALL=(ALL:ALL) NOPASSWD: ALL\n", 0o440);
    write(&at("sudoers.password"), "root ALL=(ALL:ALL) ALL\nalice ALL=(ALL:ALL) ALL\n", 0o440);
    write(&at("os-release"), "ID=debian\nVERSION_ID=\"12\"\n", 0o644);
    write(&at("os-release.ubuntu"), "ID=ubuntu\nVERSION_ID=\"24.04\"\n", 0o644);
    write(&at("machine-id"), &format!("{MACHINE}\n"), 0o644);

    write(&at("environment"), "dev\n", 0o644);
    let mut config = format!(
        "Port {PORT}\nHostKey {}\nAuthorizedKeysFile {}\nStrictModes no\nUsePAM no\nPidFile none\nLogLevel VERBOSE\n\
             PasswordAuthentication no\nKbdInteractiveAuthentication no\n",
        at("host_key").display(),
        at("authorized_keys").display(),
    );
    let (mut hosts, mut pins, mut identities) = (String::new(), String::new(), String::from("hosts:\n"));
    let own = folder.display().to_string();
    for (place, host) in all() {
        let address = address(place);
        // All hosts stand on one machine, which is the first's.
        let machine = if place == 0 { MACHINE.to_owned() } else { format!("{:032x}", 0xabc + place) };
        write(&at(&format!("{}-machine-id", host.name)), &format!("{machine}\n"), 0o644);
        if let Some(shell) = host.shell {
            let text = format!("#!/bin/sh\n{}\n", shell.replace("ESCAPES", ESCAPES).replace("FOLDER", &own));
            let path = at(&format!("shells/{}", host.name));
            write(&path, &text, 0o755);
            let _ = write!(config, "Match LocalAddress {address}\n  ForceCommand {}\n", path.display());
        }
        if host.name == "refuses" {
            let _ = write!(config, "Match LocalAddress {address}\n  AuthorizedKeysFile none\n");
        }
        let _ = writeln!(
            hosts,
            "  {}: {{addresses: {{public: [{address}]}}, ssh: {{port: {}}}, roles: [web], provider: x, datacenter: x1, country: FR}}",
            host.name,
            port(host)
        );
        let _ =
            writeln!(pins, "{} {}", host.name, if host.name == "wrong-key" { &other_key } else { &host_key });
        let _ = writeln!(
            identities,
            "  {}:\n    machine_id: {machine}\n    environment: dev\n    distribution: debian-12\n    enrolled: 2026-01-01T00:00:00Z\n    by: alice",
            host.name
        );
    }
    write(&at("sshd_config"), &config, 0o644);
    write(
        &at("project/inventories/fleet.yaml"),
        &format!(
            "company: Hostile\npeople:\n  alice: {{name: Alice Martin, title: CTO, approver: true, keys: [\"{alice}\"], access: [dev]}}\n\
                 contacts: {{administrators: [ops@example.com]}}\n"
        ),
        0o644,
    );
    write(
        &at("project/inventories/dev.yaml"),
        &format!(
            "environment: dev\nnetworks: {{admin: [198.51.100.10], private: [10.40.0.0/24]}}\nroles: {{web: {{listeners: []}}}}\nhosts:\n{hosts}"
        ),
        0o644,
    );
    write(&at("project/inventories/known_hosts"), &pins, 0o644);
    write(&at("project/inventories/identities.yaml"), &identities, 0o644);
}

impl HostileHosts {
    fn begin() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        write_files(folder.path());
        let own = folder.path().display().to_string();
        let addresses: Vec<String> = all().map(|(place, _)| address(place)).collect();
        let sshd = Program::Unshare
            .command()
            .args(["-n", "-m", "--propagation", "private", "/bin/sh", "-c", STAGE, "sh"])
            .args([&own, &addresses.join(" ")])
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let mut this = Self { folder, sshd, stand_in: None, said: None };
        let log = this.folder.path().join("log");
        wait_until("sshd to listen", || {
            let log = std::fs::read_to_string(&log).unwrap_or_default();
            assert!(this.sshd.try_wait().unwrap().is_none(), "sshd ended: {log}");
            if log.contains("Server listening") { Ok(()) } else { Err(log) }
        });
        let mut child = this.within(&as_role(STAND_IN_ROLE)).stdout(Stdio::piped()).spawn().unwrap();
        let mut ready = [0; 4096];
        let mut said = String::new();
        let mut stdout = child.stdout.take().unwrap();
        this.stand_in = Some(child);
        while !said.contains("standing in") {
            let count = stdout.read(&mut ready).unwrap();
            assert!(count > 0, "the stand-in ended: {said}");
            said.push_str(&String::from_utf8_lossy(ready.get(..count).unwrap()));
        }
        this.said = Some(stdout);
        this
    }

    /// `command` in the network of the hosts.
    fn within(&self, command: &Command) -> Command {
        let mut within = Program::Nsenter.command();
        within.args(["-t", &self.sshd.id().to_string(), "-n", "--"]).stdin(Stdio::null());
        within.arg(command.get_program()).args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => within.env(name, value),
                None => within.env_remove(name),
            };
        }
        within
    }

    fn audit(&self, arguments: &[&str]) -> Seen {
        let begun = Instant::now();
        let at = |name: &str| self.folder.path().join(name).display().to_string();
        let audit = palisade(["audit", "dev", "--as", "alice", "--identity", &at("alice")])
            .args(["--project", &at("project")])
            .args(arguments);
        let mut child =
            self.within(&audit.command()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let status = format!("/proc/{}/status", child.id());
        let out = reader(child.stdout.take().unwrap());
        let err = reader(child.stderr.take().unwrap());
        let mut kilobytes = 0;
        let code = loop {
            kilobytes = kilobytes.max(peak(&std::fs::read_to_string(&status).unwrap_or_default()));
            if let Some(done) = child.try_wait().unwrap() {
                break done.code();
            }
            std::thread::sleep(Duration::from_millis(50));
        };
        Seen { code, out: out.join().unwrap(), err: err.join().unwrap(), took: begun.elapsed(), kilobytes }
    }
}

fn reader(mut stream: impl Read + Send + 'static) -> std::thread::JoinHandle<String> {
    std::thread::spawn(move || {
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        text
    })
}

/// `VmHWM:` of proc(5), in kilobytes.
fn peak(status: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse().ok()).unwrap_or(0)
}

struct Seen {
    code: Option<i32>,
    out: String,
    err: String,
    took: Duration,
    kilobytes: u64,
}

/// What an inventory may show: no control character but the ends of lines, and nothing that hides or reorders.
fn is_plain(text: &str) -> bool {
    !text.chars().any(|c| c != '\n' && palisade::text::is_deceptive(c))
}

fn document(seen: &Seen) -> Value {
    let document: Value =
        serde_json::from_str(&seen.out).unwrap_or_else(|why| panic!("{why}\n{}\n{}", seen.out, seen.err));
    assert!(document["hosts"].is_array() || document["error"].is_string(), "{document:#}");
    document
}

fn host<'a>(document: &'a Value, name: &str) -> &'a Value {
    let Some(hosts) = document["hosts"].as_array() else { panic!("{document:#}") };
    hosts.iter().find(|host| host["host"] == name).unwrap()
}

/// What is wrong with what was said of `hosts`.
fn wrong(document: &Value, hosts: &[Hostile]) -> String {
    let mut wrong = String::new();
    for hostile in hosts {
        let said = host(document, hostile.name);
        let reason = said["reason"].as_str().unwrap_or_default();
        if said["state"] != hostile.state || !reason.contains(hostile.reason) {
            let _ = writeln!(
                wrong,
                "{}: {} ({reason}), not {} ({})",
                hostile.name, said["state"], hostile.state, hostile.reason
            );
        }
        let controls = said["controls"].as_array().unwrap();
        let unknown = controls.iter().filter(|control| control["verdict"] == "unknown").count();
        let judged = hostile.state == "answered";
        if controls.is_empty()
            || (judged && unknown == controls.len())
            || (!judged && unknown != controls.len())
        {
            let _ = writeln!(wrong, "{}: {unknown} of {} controls are unknown", hostile.name, controls.len());
        }
    }
    wrong
}

fn hostile_hosts_harm_nobody_but_themselves() {
    let hosts = HostileHosts::begin();
    let names = |hosts: &[Hostile]| hosts.iter().map(|host| host.name).collect::<Vec<_>>().join(",");

    let seen = hosts.audit(&["--limit", &names(HOSTS), "--format", "json"]);
    let report = document(&seen);
    assert_eq!(wrong(&report, HOSTS), "", "{}", seen.err);
    assert_eq!(seen.code, Some(4), "{}", seen.err);
    assert!(is_plain(&seen.out) && is_plain(&seen.err), "{:?}\n{:?}", seen.out, seen.err);
    note(&format!("{} hosts in {:?}, {} kB at most", HOSTS.len(), seen.took, seen.kilobytes));
    assert!(seen.took < Duration::from_mins(5), "{:?}", seen.took);
    assert!((1..400_000).contains(&seen.kilobytes), "{} kB", seen.kilobytes);

    let seen = hosts.audit(&["--limit", &format!("well,{}", names(OTHERS)), "--format", "json"]);
    let report = document(&seen);
    assert_eq!(wrong(&report, OTHERS), "", "{}", seen.err);
    assert_eq!(host(&report, "well")["state"], "answered");
    assert_eq!(seen.code, Some(6), "another machine answers: {}", seen.err);

    let seen = hosts.audit(&["--limit", "well,noisy,deceiver,garbage,forger,half,asks,ubuntu", "--verbose"]);
    assert!(is_plain(&seen.out) && is_plain(&seen.err), "{:?}\n{:?}", seen.out, seen.err);
    assert_eq!(seen.code, Some(6), "{}", seen.err);
    // Long reasons are wrapped to the width.
    let said = seen.out.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(said.contains("well") && said.contains("a password is required"), "{}", seen.out);

    let seen = hosts.audit(&["--limit", "nobody", "--format", "json"]);
    let refusal = document(&seen);
    assert_eq!((seen.code, refusal["exit"].as_u64()), (Some(2), Some(2)), "{}", seen.err);
}

/// Stands in for hosts that are no sshd: one that never speaks, and one that never stops before it says what it is. A
/// role of this program.
pub(crate) fn stand_in() {
    let listener = |name: &str| {
        let place = HOSTS.iter().position(|host| host.name == name).unwrap();
        TcpListener::bind((address(place), STAND_IN)).unwrap()
    };
    let (mute, babbler) = (listener("mute"), listener("babbler"));
    let mut out = std::io::stdout();
    writeln!(out, "standing in").unwrap();
    out.flush().unwrap();
    std::thread::spawn(move || {
        for stream in babbler.incoming() {
            std::thread::spawn(move || {
                let mut stream = stream.unwrap();
                while stream.write_all(&[b'x'; 4096]).is_ok() {}
            });
        }
    });
    let mut held = Vec::new();
    for stream in mute.incoming() {
        held.push(stream);
    }
}
