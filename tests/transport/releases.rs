//! Whose sshd and ssh the contract is asked of: this machine's own, and those of each other release that palisade
//! supports, where the lab has a root of it. A release's /usr is put in the place of ours for one process alone.

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use palisade::lab::{LabEvent, Lane, Place, Suite, lane};

use crate::support::Over;

const SSHD: &str = "/usr/sbin/sshd";

/// The programs of one release.
pub(crate) struct Release {
    pub(crate) name: String,
    /// None for this machine's own.
    usr: Option<PathBuf>,
}

impl Release {
    /// The program at `path`, as this release has it. It is a process of its own from the start: no shell stays around it.
    pub(crate) fn program(&self, path: &str) -> Command {
        let Some(usr) = &self.usr else { return Command::new(path) };
        let mut other = Command::new("unshare");
        other.args(["--mount", "sh", "-ec", "mount --bind -o ro \"$1\" /usr; shift; exec \"$@\"", "sh"]);
        other.arg(usr).arg(path);
        other
    }

    pub(crate) fn sshd(&self) -> Command {
        self.program(SSHD)
    }
}

/// All that there are; none, with a loud word, where this machine has no sshd.
static ALL: LazyLock<Vec<Release>> = LazyLock::new(all);

fn all() -> Vec<Release> {
    let setting = std::env::var("PALISADE_LAB").ok();
    let required = setting.as_deref() == Some("required");
    if !Path::new(SSHD).exists() {
        assert!(!required, "{SSHD} is required: apt-get install openssh-server");
        eprintln!("SKIPPED: {SSHD} is not installed; the contract of transports needs a real sshd");
        return Vec::new();
    }
    let ours = own_name();
    let mut all = Vec::new();
    for suite in Suite::ALL {
        let name = suite.to_string();
        if name == ours {
            all.push(Release { name, usr: None });
            continue;
        }
        let root = match lane(setting.as_deref()) {
            Ok(Lane::Open) if required => Place::default().make_root(suite, &tell).map_err(|e| e.to_string()),
            Ok(Lane::Open) => match Place::default().root(suite) {
                Ok(Some(root)) => Ok(root),
                Ok(None) => Err("the lab has not made a root of it; `palisade lab up` does".to_owned()),
                Err(error) => Err(error.to_string()),
            },
            Ok(Lane::Closed { why }) => Err(why),
            Err(error) => Err(error.to_string()),
        };
        match root {
            Ok(root) => all.push(Release { name, usr: Some(root.join("usr")) }),
            Err(why) => {
                assert!(!required, "the sshd of {name} is required: {why}");
                eprintln!("SKIPPED: the contract of transports with the sshd of {name}: {why}");
            }
        }
    }
    if all.iter().all(|release| release.usr.is_some()) {
        all.insert(0, Release { name: ours, usr: None });
    }
    all
}

fn tell(event: &LabEvent) {
    if !matches!(event, LabEvent::Detail(_)) {
        eprintln!("{event}");
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

/// The release of this test; none where there is no sshd at all.
pub(crate) fn release() -> Option<&'static Release> {
    ASKED.get().map(|(_, release)| release).or_else(|| ALL.first())
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

/// Declares each of these tests of the contract twice, once for each transport; each asks the sshd of every release.
macro_rules! over_both {
    ($($test:ident),+ $(,)?) => {
        mod russh {
            $(#[test] fn $test() {
                $crate::releases::against_each($crate::support::Over::Russh, super::$test);
            })+
        }
        mod openssh {
            $(#[test] fn $test() {
                $crate::releases::against_each($crate::support::Over::Openssh, super::$test);
            })+
        }
    };
}
pub(crate) use over_both;

/// The same for what answers otherwise than any sshd.
macro_rules! over_both_once {
    ($($test:ident),+ $(,)?) => {
        mod russh_once {
            $(#[test] fn $test() {
                $crate::releases::against_one($crate::support::Over::Russh, super::$test);
            })+
        }
        mod openssh_once {
            $(#[test] fn $test() {
                $crate::releases::against_one($crate::support::Over::Openssh, super::$test);
            })+
        }
    };
}
pub(crate) use over_both_once;

/// Declares tests that choose their transport themselves; each asks the sshd of every release.
macro_rules! of_each_release {
    ($($test:ident),+ $(,)?) => {
        mod of_each_release {
            $(#[test] fn $test() {
                $crate::releases::against_each($crate::support::Over::Russh, super::$test);
            })+
        }
    };
}
pub(crate) use of_each_release;
