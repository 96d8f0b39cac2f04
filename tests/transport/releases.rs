//! Whose sshd and ssh the contract is asked of: this machine's own, and those of each other release that palisade
//! supports, where the lab has a root of it. A release's /usr is put in the place of ours for one process alone.

use std::cell::Cell;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::Command;
use std::sync::LazyLock;

use palisade::lab::{Availability, LabFolder, Suite, availability};
use palisade::program::{Program, SYSTEM_PATH};
use support::{Needs, note, tell};

use crate::sshd::Over;

/// The programs of one release.
pub(crate) struct Release {
    pub(crate) name: String,
    /// None for this machine's own.
    usr: Option<PathBuf>,
}

impl Release {
    /// A program as this release has it. It is a process of its own from the start: no shell stays around it.
    pub(crate) fn program(&self, program: Program) -> Command {
        let path = program.path().expect("the harness installed it");
        let Some(usr) = &self.usr else {
            let mut own = program.command();
            // sshd starts itself again by the path by which it was called
            own.env("PATH", SYSTEM_PATH).arg0(path);
            return own;
        };
        let mut other = Program::Unshare.command();
        other.args(["--mount", "sh", "-ec", "mount --bind -o ro \"$1\" /usr; shift; exec \"$@\"", "sh"]);
        other.arg(usr).arg(path);
        other
    }

    pub(crate) fn sshd(&self) -> Command {
        self.program(Program::Sshd)
    }
}

/// All that there are, this machine's own first or among them.
static ALL: LazyLock<Vec<Release>> = LazyLock::new(all);

fn all() -> Vec<Release> {
    let ours = own_name();
    let mut all = Vec::new();
    for suite in Suite::ALL {
        let name = suite.to_string();
        if name == ours {
            all.push(Release { name, usr: None });
            continue;
        }
        match root(suite) {
            Ok(root) => all.push(Release { name, usr: Some(root.join("usr")) }),
            Err(why) => note(&format!("SKIPPED: the contract of transports with the sshd of {name}: {why}")),
        }
    }
    if all.iter().all(|release| release.usr.is_some()) {
        all.insert(0, Release { name: ours, usr: None });
    }
    all
}

/// Where the files of another release are: a root of the lab, made where it is missing.
fn root(suite: Suite) -> Result<PathBuf, String> {
    let setting = std::env::var("PALISADE_LAB").ok();
    match availability(setting.as_deref()) {
        Ok(Availability::Open) => {
            LabFolder::default().make_root(suite, &tell).map_err(|error| error.to_string())
        }
        Ok(Availability::Closed { why }) => Err(why),
        Err(error) => panic!("{error}"),
    }
}

/// `Debian 12`; of another system, what it calls itself.
fn own_name() -> String {
    let text = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
    let field = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        line.unwrap_or_default().trim_matches('"').to_owned()
    };
    match field("ID").as_str() {
        "debian" => format!("Debian {}", field("VERSION_ID")),
        _ => field("PRETTY_NAME"),
    }
}

thread_local! {
    /// What this thread's test is about.
    static ASKED: Cell<Option<(Over, &'static Release)>> = const { Cell::new(None) };
}

/// The transport of this test.
pub(crate) fn transport() -> Over {
    ASKED.get().map_or(Over::Russh, |(over, _)| over)
}

/// The release of this test.
pub(crate) fn release() -> &'static Release {
    ASKED.get().map(|(_, release)| release).or_else(|| ALL.first()).expect("this machine's own")
}

/// Runs `test` over `over` against the sshd of every release, side by side, each in a thread of its name.
pub(crate) fn against_each<F: Future<Output = ()>>(over: Over, test: impl Fn() -> F + Sync) {
    run(over, &ALL, test);
}

/// The same where what answers is no release's: once.
pub(crate) fn against_one<F: Future<Output = ()>>(over: Over, test: impl Fn() -> F + Sync) {
    run(over, ALL.get(..1).unwrap_or_default(), test);
}

fn run<F: Future<Output = ()>>(over: Over, releases: &'static [Release], test: impl Fn() -> F + Sync) {
    let test = &test;
    let failed: Vec<&str> = std::thread::scope(|scope| {
        let begun: Vec<_> = releases
            .iter()
            .map(|release| {
                let thread = std::thread::Builder::new().name(release.name.clone());
                let work = move || {
                    ASKED.set(Some((over, release)));
                    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                    runtime.block_on(test());
                };
                (release, thread.spawn_scoped(scope, work).unwrap())
            })
            .collect();
        begun
            .into_iter()
            .filter_map(|(release, thread)| thread.join().is_err().then_some(release.name.as_str()))
            .collect()
    });
    assert!(failed.is_empty(), "failed with the sshd of {}", failed.join(" and of "));
}

/// What a test of the contract starts: an sshd of its own, ssh(1) as a transport and as the reference, and the programs
/// around them.
pub(crate) const NEEDS: Needs = Needs::programs(&[
    Program::Env,
    Program::Id,
    Program::Kill,
    Program::Mount,
    Program::Netcat,
    Program::Sh,
    Program::Ssh,
    Program::SshAdd,
    Program::SshAgent,
    Program::SshKeygen,
    Program::Sshd,
    Program::Sudo,
    Program::Unshare,
]);

/// The tests of a list, each run in this way, in a module of this name.
macro_rules! contract {
    ($name:literal, $against:ident, $over:ident, [$($test:ident),+]) => {
        support::Group {
            module: concat!(module_path!(), "::", $name),
            needs: $crate::releases::NEEDS,
            tests: &[$(support::Test {
                name: stringify!($test),
                run: || $crate::releases::$against($crate::sshd::Over::$over, $test),
            }),+],
        }
    };
}
pub(crate) use contract;

/// Declares each of these tests of the contract twice, once for each transport; each asks the sshd of every release.
macro_rules! over_both {
    ($($test:ident),+ $(,)?) => {
        pub(crate) const OVER_BOTH: &[support::Group] = &[
            $crate::releases::contract!("russh", against_each, Russh, [$($test),+]),
            $crate::releases::contract!("openssh", against_each, Openssh, [$($test),+]),
        ];
    };
}
pub(crate) use over_both;

/// The same for what answers otherwise than any sshd.
macro_rules! over_both_once {
    ($($test:ident),+ $(,)?) => {
        pub(crate) const OVER_BOTH_ONCE: &[support::Group] = &[
            $crate::releases::contract!("russh_once", against_one, Russh, [$($test),+]),
            $crate::releases::contract!("openssh_once", against_one, Openssh, [$($test),+]),
        ];
    };
}
pub(crate) use over_both_once;

/// Declares tests that choose their transport themselves; each asks the sshd of every release.
macro_rules! of_each_release {
    ($($test:ident),+ $(,)?) => {
        pub(crate) const OF_EACH_RELEASE: &[support::Group] =
            &[$crate::releases::contract!("of_each_release", against_each, Russh, [$($test),+])];
    };
}
pub(crate) use of_each_release;
