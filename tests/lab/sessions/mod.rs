//! What a person at a terminal does to runs on real hosts, and what is left of ssh(1)'s processes then: a key that is
//! unlocked there, Ctrl-C once and twice, kill -9. The program itself, as it is typed.

use std::ffi::OsString;
use std::fs;
use std::io::{Write as _, pipe};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use palisade::lab::{Spec, Suite, Suites};
use palisade::program::{Program, SYSTEM_PATH};
use support::{
    Call, Needs, PATIENT, Running, SHARED, Typing, World, binary, fleet, palisade, wait_for, wait_until,
};

support::tests! {
    Needs::LAB => [
        what_a_person_ends_leaves_nothing_and_a_key_is_unlocked_once,
    ],
}

mod secrets;

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

/// Where Alice sits: one host of dev with Debian 12, one of test with Debian 13, and a home of her own, with nothing of
/// the person's who runs the test.
struct Desk {
    _started: Started,
    world: World,
    home: tempfile::TempDir,
}

/// What was started with a path below this folder, which ends with the test, whatever became of it.
struct Started(PathBuf);

impl Drop for Started {
    fn drop(&mut self) {
        for (process, _) in processes(&self.0) {
            drop(Program::Kill.command().args(["-s", "KILL", &process]).stderr(Stdio::null()).status());
        }
    }
}

impl Desk {
    fn set_up() -> Self {
        let (dev, test) = (environment("dev", "192.0.2.2"), environment("test", "192.0.2.3"));
        let fleet = fleet(&[
            ("inventories/fleet.yaml", SHARED),
            ("inventories/dev.yaml", &dev),
            ("inventories/test.yaml", &test),
        ]);
        let mut spec = Spec::copy_of(&fleet, Suites::All(Suite::Bookworm)).unwrap();
        for host in spec.hosts.iter_mut().filter(|host| host.name.as_str() == "test-1") {
            host.suite = Suite::Trixie;
        }
        let world = World::of(&fleet, &spec, PATIENT);
        let home = tempfile::tempdir().unwrap();
        let desk = Self { _started: Started(home.path().to_owned()), world, home };
        fs::create_dir(desk.at("runtime")).unwrap();
        desk.nobody_confirms();
        std::thread::scope(|scope| {
            for environment in ["dev", "test"] {
                let world = &desk.world;
                scope.spawn(move || world.enrol(environment));
            }
        });
        let (locked, open) = (desk.at("locked"), desk.world.private_key("person-alice"));
        fs::copy(&open, &locked).unwrap();
        fs::copy(open.with_extension("pub"), locked.with_extension("pub")).unwrap();
        let mut keygen = Program::SshKeygen.command();
        let done = keygen.args(["-q", "-p", "-P", "", "-N", PASSPHRASE, "-f"]).arg(&locked).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        desk
    }

    /// Whoever is asked about a host's key, and goes, has not confirmed it.
    fn nobody_confirms(&self) {
        let (vendor, own) = (self.world.private_key("vendor"), self.world.private_key("person-alice"));
        let keys = format!("--bootstrap-identity {} --identity {}", vendor.display(), own.display());
        let mut typing = self.at_terminal(&format!("enrol dev --bootstrap-user debian {keys}"));
        typing.wait_for("or paste it: ");
        typing.types("SHA256:half of\u{3}");
        let (code, shown) = typing.end();
        assert_eq!(code, Some(130), "{shown}");
        let pins = fs::read_to_string(self.world.project().join("inventories/known_hosts"));
        assert!(!pins.unwrap_or_default().contains("dev-1"), "{shown}");
    }

    fn at(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// Where a run's sockets are.
    fn sockets(&self) -> PathBuf {
        self.at("runtime/palisade")
    }

    /// All the variables that there are, beside the path.
    fn variables(&self) -> [(&'static str, OsString); 5] {
        [
            ("TERM", "xterm".into()),
            ("HOME", self.home.path().into()),
            ("XDG_RUNTIME_DIR", self.at("runtime").into()),
            ("PALISADE_PROJECT", self.world.project().into()),
            ("PALISADE_AS", "alice".into()),
        ]
    }

    /// With Alice's key.
    fn palisade<'a>(&self, words: impl IntoIterator<Item = &'a str>) -> Call {
        let call = palisade(words).arg("--identity").arg(self.world.private_key("person-alice")).alone();
        self.variables().into_iter().fold(call, |call, (name, value)| call.env(name, value))
    }

    /// palisade with these words at a terminal.
    fn at_terminal(&self, words: &str) -> Typing {
        let mut script = Typing::command(&format!("exec {} {words}", binary()));
        script.env_clear().env("PATH", SYSTEM_PATH).envs(self.variables());
        Typing::start(script)
    }

    /// The same, with the key that is locked.
    fn types(&self, words: &str) -> Typing {
        self.at_terminal(&format!("{words} --identity {}", self.at("locked").display()))
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

    /// How many commands hang on a host.
    fn hang(&self, host: &str) -> usize {
        self.world.sh(host, HUNG).lines().count()
    }

    /// Starts a run over a host on which it hangs, by ssh(1), in the way of `start`; once it does.
    fn hanging_as<T>(&self, environment: &str, start: impl FnOnce(Call) -> T) -> T {
        let host = format!("{environment}-1");
        let before = self.hang(&host);
        let run = start(self.palisade(["audit", environment, "--transport", "openssh", "--quiet"]));
        wait_for("the host hangs", || self.hang(&host) > before);
        run
    }

    fn hanging(&self, environment: &str) -> Running {
        self.hanging_as(environment, Call::start)
    }

    fn nothing_is_left(&self, of: &str) {
        wait_until(&format!("nothing is left of {of}"), || {
            let (running, files) = (processes(&self.sockets()), entries(&self.sockets()));
            if running.is_empty() && files.is_empty() {
                Ok(())
            } else {
                Err(format!("{running:?}, {files:?}"))
            }
        });
    }

    fn records(&self) -> Vec<String> {
        entries(&self.world.project().join("runs"))
    }
}

/// The processes that were started with a path below `folder`.
fn processes(folder: &Path) -> Vec<(String, String)> {
    let below = format!("{}/", folder.display());
    let all = fs::read_dir("/proc").unwrap().flatten();
    all.filter_map(|entry| {
        Some((entry.file_name().into_string().ok()?, fs::read(entry.path().join("cmdline")).ok()?))
    })
    .map(|(process, words)| (process, String::from_utf8_lossy(&words).replace('\0', " ")))
    .filter(|(_, words)| words.contains(&below))
    .collect()
}

fn entries(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

fn signal(process: &str, name: &str) {
    assert!(Program::Kill.command().args(["-s", name, process]).status().unwrap().success());
}

fn what_a_person_ends_leaves_nothing_and_a_key_is_unlocked_once() {
    let desk = Desk::set_up();
    let orphans = killed_for_good(&desk);
    a_key_is_unlocked_once_a_run(&desk);
    secrets::go_to_hosts_and_nowhere_else(&desk);
    for host in ["dev-1", "test-1"] {
        desk.world.sh(host, HANG);
    }
    let before = desk.records();
    the_first_ctrl_c_tidies_up_and_the_second_ends_at_once(&desk);
    what_does_not_hear_is_ended_too(&desk);
    let left = killed(&desk);
    assert_eq!(desk.records(), before, "no record is kept");
    for host in ["dev-1", "test-1"] {
        desk.world.sh(host, MEND);
    }
    what_was_killed_is_swept(&desk, &left);
    for environment in ["dev", "test"] {
        let status = desk.palisade(["status", environment]).run();
        assert_eq!(status.code, Some(0), "nobody holds it: {}", status.said());
    }
    // Nobody swept there.
    let gone = || processes(&orphans).is_empty();
    wait_for("a master without its palisade ends a minute after what it ran", gone);
    desk.world.down();
}

/// Where a palisade was killed that is never started again, with a master up. What ran on its host has ended.
fn killed_for_good(desk: &Desk) -> PathBuf {
    fs::create_dir(desk.at("other")).unwrap();
    desk.world.sh("dev-1", HANG);
    desk.hanging_as("dev", |call| call.env("XDG_RUNTIME_DIR", desk.at("other")).start()).dies();
    let orphans = desk.at("other/palisade");
    assert!(!processes(&orphans).is_empty(), "a master is up");
    desk.world.sh("dev-1", MEND);
    orphans
}

fn a_key_is_unlocked_once_a_run(desk: &Desk) {
    for (environment, transport) in
        [("dev", "russh"), ("test", "russh"), ("dev", "openssh"), ("test", "openssh")]
    {
        let (code, shown) = desk.unlocks(&format!("audit {environment} --transport {transport}"));
        assert_eq!(code, Some(3), "{shown}");
        desk.nothing_is_left(transport);
    }
    // It asks hosts, and signs.
    let (code, shown) = desk.unlocks("patch plan dev");
    assert_eq!(code, Some(0), "{shown}");
    let show = desk.palisade(["patch", "show"]).run().exits(0);
    assert!(show.out.contains("signed by alice"), "{}", show.said());
    let show = desk.palisade(["patch", "show", "--format", "json"]).run().exits(0).json();
    let id = show["release"]["id"].as_str().unwrap();
    let (code, shown) = desk.unlocks(&format!("approve {id} --for test --yes"));
    assert_eq!(code, Some(0), "{shown}");
    // It asks the hosts of test, and those of dev twice; nobody installed it there.
    let (code, shown) = desk.unlocks("patch apply test");
    assert_eq!(code, Some(6), "{shown}");
    assert!(shown.contains("may not be installed in test"), "{shown}");
    desk.nothing_is_left("patch apply");
}

fn the_first_ctrl_c_tidies_up_and_the_second_ends_at_once(desk: &Desk) {
    // At a terminal, once.
    let before = desk.hang("dev-1");
    let mut typing = desk.types("audit dev --transport openssh");
    typing.wait_for("passphrase of ");
    typing.types(&format!("{PASSPHRASE}\r"));
    wait_for("the host hangs", || desk.hang("dev-1") > before);
    assert!(!processes(&desk.sockets()).is_empty(), "a master is up");
    typing.types("\u{3}");
    let (code, shown) = typing.end();
    assert_eq!(code, Some(130), "{shown}");
    assert!(shown.contains("interrupted before any host was changed"), "{shown}");
    desk.nothing_is_left("Ctrl-C");

    // Twice: the first has tidied up, and cannot say so, since nobody reads what it says; the second waits for nothing.
    let (unread, mut full) = pipe().unwrap();
    // As much as a pipe takes (pipe(7)).
    full.write_all(&vec![b'\n'; 65_536]).unwrap();
    let mut child =
        desk.hanging_as("test", |call| call.command().stdout(Stdio::null()).stderr(full).spawn().unwrap());
    let process = child.id().to_string();
    signal(&process, "INT");
    desk.nothing_is_left("the first");
    // That it does not end by itself is only seen after a while.
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(child.try_wait().unwrap(), None, "it waits to be read");
    signal(&process, "INT");
    assert_eq!(child.wait().unwrap().code(), Some(130));
    drop(unread);
}

fn what_does_not_hear_is_ended_too(desk: &Desk) {
    for times in [1, 2] {
        let run = desk.hanging("dev");
        let masters = processes(&desk.sockets());
        assert!(!masters.is_empty(), "a master is up");
        for (master, _) in &masters {
            signal(master, "STOP");
        }
        let process = run.process().to_string();
        for _ in 0..times {
            // The first may have ended it.
            drop(Program::Kill.command().args(["-s", "INT", &process]).stderr(Stdio::null()).status());
            // As fast as a person presses the keys again.
            std::thread::sleep(Duration::from_millis(200));
        }
        assert_eq!(run.end().code, Some(130));
        desk.nothing_is_left(&format!("{times} signals"));
    }
}

/// What kill -9 leaves, while a master is up: the master and its folder.
fn killed(desk: &Desk) -> Vec<(String, String)> {
    desk.hanging("test").dies();
    let left = processes(&desk.sockets());
    assert!(!left.is_empty() && entries(&desk.sockets()).len() == 1, "{left:?}");
    left
}

fn what_was_killed_is_swept(desk: &Desk, left: &[(String, String)]) {
    let still = processes(&desk.sockets());
    assert!(
        left.iter().all(|one| still.contains(one)),
        "it goes on without its palisade: {left:?}, {still:?}"
    );
    let _ = desk.palisade(["status", "dev", "--transport", "openssh"]).run().exits(0);
    desk.nothing_is_left("what was killed");
}
