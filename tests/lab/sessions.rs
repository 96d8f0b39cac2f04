//! What a person at a terminal does to runs on real hosts, and what is left of ssh(1)'s processes then: a key that is
//! unlocked there, Ctrl-C once and twice, kill -9. The program itself, as it is typed.

use std::fs;
use std::io::{Write as _, pipe};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use palisade::inventory;
use palisade::lab::{Lab, Place, Spec, Suite, Suites};
use palisade::source::Sources;

use super::enrolled::SHARED;
use super::lane::runs_here;
use super::terminal::{SCRIPT, Typing};
use super::{tell, text, wait_for};

const PASSPHRASE: &str = "a long passphrase";

fn environment(name: &str, address: &str) -> String {
    let place = "roles: [web], provider: lab, datacenter: here, country: FR";
    format!(
        "environment: {name}\nnetworks: {{admin: [192.0.2.1]}}\nroles: {{web: {{listeners: []}}}}\n\
         hosts:\n  {name}-1: {{addresses: {{public: [{address}]}}, {place}}}\n"
    )
}

/// From now on no command of Alice's comes to an end; who of them is there is written down.
const HANG: &str = "mv /usr/bin/sudo /usr/bin/sudo.kept
printf '#!/bin/sh\\necho $$ >>/tmp/hang\\nexec sleep 3000\\n' >/usr/bin/sudo
chmod 0755 /usr/bin/sudo
install -o alice -m 0644 /dev/null /tmp/hang";

const HUNG: &str = "cat /tmp/hang";

/// They come to an end again, and those that did not are ended.
const MEND: &str = "mv /usr/bin/sudo.kept /usr/bin/sudo
while read -r process; do kill \"$process\" 2>/dev/null || true; done </tmp/hang
rm /tmp/hang";

/// One host of dev with Debian 12, one of test with Debian 13.
struct World {
    lab: Lab,
    _started: Started,
    folder: tempfile::TempDir,
}

/// What was started with a path below this folder, which ends with the test, whatever became of it.
struct Started(PathBuf);

impl Drop for Started {
    fn drop(&mut self) {
        for (process, _) in processes(&self.0) {
            drop(Command::new("kill").args(["-s", "KILL", &process]).stderr(Stdio::null()).status());
        }
    }
}

impl World {
    fn up() -> Self {
        let sources = Sources::new()
            .with("inventories/fleet.yaml", SHARED)
            .with("inventories/dev.yaml", environment("dev", "192.0.2.2"))
            .with("inventories/test.yaml", environment("test", "192.0.2.3"));
        let fleet =
            inventory::parse(&sources).unwrap_or_else(|refusals| panic!("{}", refusals.annotated(false)));
        let mut spec = Spec::copy_of(&fleet, Suites::All(Suite::Bookworm)).unwrap();
        for host in spec.hosts.iter_mut().filter(|host| host.name.as_str() == "test-1") {
            host.suite = Suite::Trixie;
        }
        let lab = Lab::up(&Place::default(), &spec, &tell).unwrap();
        lab.write_project(&fleet, None, Duration::from_mins(3)).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let world = Self { lab, _started: Started(folder.path().to_owned()), folder };
        fs::create_dir(world.at("runtime")).unwrap();
        world.nobody_confirms();
        std::thread::scope(|scope| {
            for environment in ["dev", "test"] {
                let world = &world;
                scope.spawn(move || {
                    let enrolled = world
                        .palisade(&["enrol", environment, "--bootstrap-user", "debian"])
                        .arg("--bootstrap-identity")
                        .arg(world.lab.private_key("vendor"))
                        .arg("--fingerprints")
                        .arg(world.lab.fingerprints())
                        .output()
                        .unwrap();
                    assert!(enrolled.status.success(), "{}", text(&enrolled.stderr));
                });
            }
        });
        let (locked, open) = (world.at("locked"), world.lab.private_key("person-alice"));
        fs::copy(&open, &locked).unwrap();
        fs::copy(open.with_extension("pub"), locked.with_extension("pub")).unwrap();
        let mut keygen = Command::new("ssh-keygen");
        let done = keygen.args(["-q", "-p", "-P", "", "-N", PASSPHRASE, "-f"]).arg(&locked).output().unwrap();
        assert!(done.status.success(), "{}", text(&done.stderr));
        world
    }

    /// Whoever is asked about a host's key, and goes, has not confirmed it.
    fn nobody_confirms(&self) {
        let mut script = self.alone(Command::new(SCRIPT[0]));
        let program = env!("CARGO_BIN_EXE_palisade");
        let (vendor, own) = (self.lab.private_key("vendor"), self.lab.private_key("person-alice"));
        let keys = format!("--bootstrap-identity {} --identity {}", vendor.display(), own.display());
        let line = format!("exec {program} enrol dev --bootstrap-user debian {keys}");
        script.args(&SCRIPT[1..]).arg(line).arg("/dev/null");
        let mut typing = Typing::start(script);
        typing.wait_for("or paste it: ");
        typing.types("SHA256:half of\u{3}");
        let (code, shown) = typing.end();
        assert_eq!(code, Some(130), "{shown}");
        let pins = fs::read_to_string(self.lab.project().join("inventories/known_hosts"));
        assert!(!pins.unwrap_or_default().contains("dev-1"), "{shown}");
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Where a run's sockets are.
    fn sockets(&self) -> PathBuf {
        self.at("runtime/palisade")
    }

    /// Nothing of the person's who runs the test: no agent, no configuration.
    fn alone(&self, mut command: Command) -> Command {
        command
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("TERM", "xterm")
            .env("HOME", self.folder.path())
            .env("XDG_RUNTIME_DIR", self.at("runtime"))
            .env("PALISADE_PROJECT", self.lab.project())
            .env("PALISADE_AS", "alice");
        command
    }

    /// With Alice's key.
    fn palisade(&self, args: &[&str]) -> Command {
        let mut command = self.alone(Command::new(env!("CARGO_BIN_EXE_palisade")));
        command.args(args).arg("--identity").arg(self.lab.private_key("person-alice")).stdin(Stdio::null());
        command
    }

    /// The same at a terminal, with the key that is locked.
    fn types(&self, words: &str) -> Typing {
        let mut script = self.alone(Command::new(SCRIPT[0]));
        let program = env!("CARGO_BIN_EXE_palisade");
        let line = format!("exec {program} {words} --identity {}", self.at("locked").display());
        script.args(&SCRIPT[1..]).arg(line).arg("/dev/null");
        Typing::start(script)
    }

    /// The same with the passphrase typed, to its end; it is asked for once.
    fn unlocks(&self, words: &str) -> (Option<i32>, String) {
        let mut typing = self.types(words);
        typing.wait_for("passphrase of ");
        typing.types(&format!("{PASSPHRASE}\r"));
        let (code, shown) = typing.end();
        assert_eq!(shown.matches("passphrase").count(), 1, "{words}: {shown}");
        (code, shown)
    }

    fn sh(&self, host: &str, text: &'static str) -> String {
        self.lab.host(host).unwrap().sh(text).unwrap()
    }

    /// How many commands hang on a host.
    fn hang(&self, host: &str) -> usize {
        self.sh(host, HUNG).lines().count()
    }

    /// Starts a run over a host on which it hangs, by ssh(1); once it does.
    fn hanging(&self, environment: &str, how: impl FnOnce(&mut Command)) -> Child {
        let host = format!("{environment}-1");
        let before = self.hang(&host);
        let mut command = self.palisade(&["audit", environment, "--transport", "openssh", "--quiet"]);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        how(&mut command);
        let child = command.spawn().unwrap();
        wait_for("the host hangs", || self.hang(&host) > before);
        child
    }

    fn nothing_is_left(&self, of: &str) {
        wait_for(&format!("nothing is left of {of}: {:?}", processes(&self.sockets())), || {
            processes(&self.sockets()).is_empty()
        });
        assert_eq!(entries(&self.sockets()), [""; 0], "{of}");
    }

    fn records(&self) -> Vec<String> {
        entries(&self.lab.project().join("runs"))
    }
}

/// The processes that were started with a path below `folder`.
fn processes(folder: &Path) -> Vec<(String, String)> {
    let below = format!("{}/", folder.display());
    let all = fs::read_dir("/proc").unwrap().flatten();
    all.filter_map(|entry| {
        Some((entry.file_name().into_string().ok()?, fs::read(entry.path().join("cmdline")).ok()?))
    })
    .map(|(process, words)| (process, text(&words).replace('\0', " ")))
    .filter(|(_, words)| words.contains(&below))
    .collect()
}

fn entries(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

fn signal(process: &str, name: &str) {
    assert!(Command::new("kill").args(["-s", name, process]).status().unwrap().success());
}

#[test]
fn what_a_person_ends_leaves_nothing_and_a_key_is_unlocked_once() {
    if !runs_here("what_a_person_ends_leaves_nothing_and_a_key_is_unlocked_once") {
        return;
    }
    let world = World::up();
    let orphans = killed_for_good(&world);
    a_key_is_unlocked_once_a_run(&world);
    for host in ["dev-1", "test-1"] {
        world.sh(host, HANG);
    }
    let before = world.records();
    the_first_ctrl_c_tidies_up_and_the_second_ends_at_once(&world);
    what_does_not_hear_is_ended_too(&world);
    let left = killed(&world);
    assert_eq!(world.records(), before, "no record is kept");
    for host in ["dev-1", "test-1"] {
        world.sh(host, MEND);
    }
    what_was_killed_is_swept(&world, &left);
    for environment in ["dev", "test"] {
        let status = world.palisade(&["status", environment]).output().unwrap();
        assert_eq!(status.status.code(), Some(0), "nobody holds it: {}", text(&status.stdout));
    }
    // Nobody swept there.
    let gone = || processes(&orphans).is_empty();
    wait_for("a master without its palisade ends a minute after what it ran", gone);
    world.lab.down(&tell).unwrap();
}

/// Where a palisade was killed that is never started again, with a master up. What ran on its host has ended.
fn killed_for_good(world: &World) -> PathBuf {
    fs::create_dir(world.at("other")).unwrap();
    world.sh("dev-1", HANG);
    let mut child = world.hanging("dev", |command| {
        command.env("XDG_RUNTIME_DIR", world.at("other"));
    });
    child.kill().unwrap();
    child.wait().unwrap();
    let orphans = world.at("other/palisade");
    assert!(!processes(&orphans).is_empty(), "a master is up");
    world.sh("dev-1", MEND);
    orphans
}

fn a_key_is_unlocked_once_a_run(world: &World) {
    for (environment, transport) in
        [("dev", "russh"), ("test", "russh"), ("dev", "openssh"), ("test", "openssh")]
    {
        let (code, shown) = world.unlocks(&format!("audit {environment} --transport {transport}"));
        assert_eq!(code, Some(3), "{shown}");
        world.nothing_is_left(transport);
    }
    // It asks hosts, and signs.
    let (code, shown) = world.unlocks("patch plan dev");
    assert_eq!(code, Some(0), "{shown}");
    let show = world.palisade(&["patch", "show"]).output().unwrap();
    assert_eq!((show.status.code(), text(&show.stdout).contains("signed by alice")), (Some(0), true));
    // It asks the hosts of test, and those of dev twice; nobody installed it there.
    let (code, shown) = world.unlocks("patch apply test");
    assert_eq!(code, Some(6), "{shown}");
    assert!(shown.contains("may not be installed in test"), "{shown}");
    world.nothing_is_left("patch apply");
}

fn the_first_ctrl_c_tidies_up_and_the_second_ends_at_once(world: &World) {
    // At a terminal, once.
    let before = world.hang("dev-1");
    let mut typing = world.types("audit dev --transport openssh");
    typing.wait_for("passphrase of ");
    typing.types(&format!("{PASSPHRASE}\r"));
    wait_for("the host hangs", || world.hang("dev-1") > before);
    assert!(!processes(&world.sockets()).is_empty(), "a master is up");
    typing.types("\u{3}");
    let (code, shown) = typing.end();
    assert_eq!(code, Some(130), "{shown}");
    assert!(shown.contains("interrupted before any host was changed"), "{shown}");
    world.nothing_is_left("Ctrl-C");

    // Twice: the first has tidied up, and cannot say so, since nobody reads what it says; the second waits for nothing.
    let (unread, mut full) = pipe().unwrap();
    // As much as a pipe takes (pipe(7)).
    full.write_all(&vec![b'\n'; 65_536]).unwrap();
    let mut child = world.hanging("test", |command| {
        command.stderr(full);
    });
    let process = child.id().to_string();
    signal(&process, "INT");
    world.nothing_is_left("the first");
    std::thread::sleep(Duration::from_secs(1));
    assert!(child.try_wait().unwrap().is_none(), "it waits to be read");
    signal(&process, "INT");
    assert_eq!(child.wait().unwrap().code(), Some(130));
    drop(unread);
}

fn what_does_not_hear_is_ended_too(world: &World) {
    for times in [1, 2] {
        let mut child = world.hanging("dev", |_| {});
        let masters = processes(&world.sockets());
        assert!(!masters.is_empty(), "a master is up");
        for (master, _) in &masters {
            signal(master, "STOP");
        }
        for _ in 0..times {
            drop(
                Command::new("kill")
                    .args(["-s", "INT", &child.id().to_string()])
                    .stderr(Stdio::null())
                    .status(),
            );
            std::thread::sleep(Duration::from_millis(200));
        }
        assert_eq!(child.wait().unwrap().code(), Some(130));
        world.nothing_is_left(&format!("{times} signals"));
    }
}

/// What kill -9 leaves, while a master is up: the master and its folder.
fn killed(world: &World) -> Vec<(String, String)> {
    let mut child = world.hanging("test", |_| {});
    child.kill().unwrap();
    child.wait().unwrap();
    let left = processes(&world.sockets());
    assert!(!left.is_empty() && entries(&world.sockets()).len() == 1, "{left:?}");
    left
}

fn what_was_killed_is_swept(world: &World, left: &[(String, String)]) {
    let still = processes(&world.sockets());
    assert!(
        left.iter().all(|one| still.contains(one)),
        "it goes on without its palisade: {left:?}, {still:?}"
    );
    let next = world.palisade(&["status", "dev", "--transport", "openssh"]).output().unwrap();
    assert_eq!(next.status.code(), Some(0), "{}", text(&next.stderr));
    world.nothing_is_left("what was killed");
}
