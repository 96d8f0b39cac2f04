//! Which tests run here, what they need, and what is said of those that do not. A test program is one list of tests, each
//! with the programs that it starts; what this machine lacks is installed before the first one runs, after saying so, or
//! the tests are skipped by name, with the reason, past any capture of output.
//!
//! It runs tests through libtest-mimic, so that `cargo test NAME`, `--exact`, `--list` and nextest work as they do
//! everywhere.

use std::collections::BTreeMap;
use std::future::Future;
use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use libtest_mimic::{Arguments, Trial};
use palisade::lab::{self, Availability};
use palisade::program::{self, Program};

use crate::call;
use crate::tally::{Skipped, Tally};

/// What a test needs of the machine that it runs on.
#[derive(Debug, Clone, Copy)]
pub struct Needs {
    /// The programs that it starts, by itself or through the lab.
    pub programs: &'static [Program],
    /// Whether it makes namespaces, mounts or accounts.
    pub root: bool,
    /// Whether it brings up hosts of the lab.
    pub hosts: bool,
    /// Whether it takes so long that only `PALISADE_LAB_TAIL=1` runs it.
    pub tail: bool,
}

impl Needs {
    /// Nothing but files and the palisade that was built.
    pub const NOTHING: Self = Self { programs: &[], root: false, hosts: false, tail: false };

    /// These programs.
    pub const fn programs(programs: &'static [Program]) -> Self {
        Self { programs, ..Self::NOTHING }
    }

    /// These programs, as root on Linux.
    pub const fn root(programs: &'static [Program]) -> Self {
        Self { programs, root: true, ..Self::NOTHING }
    }

    /// Hosts of the lab.
    pub const LAB: Self = Self {
        programs: &[Program::Ssh, Program::SshKeygen, Program::Kill, Program::Script, Program::Gpgv],
        root: true,
        hosts: true,
        tail: false,
    };

    /// Hosts of the lab, and more time than the default run has.
    pub const TAIL: Self = Self { tail: true, ..Self::LAB };
}

/// A test.
#[derive(Debug, Clone, Copy)]
pub struct Test {
    /// Its name within its file.
    pub name: &'static str,
    /// It fails by panicking.
    pub run: fn(),
}

/// Tests of one file that need the same.
#[derive(Debug, Clone, Copy)]
pub struct Group {
    /// The path of the module, with the program's name in front.
    pub module: &'static str,
    /// What each of them needs.
    pub needs: Needs,
    /// In the order in which they begin.
    pub tests: &'static [Test],
}

/// Lists the tests of a file, by what they need: `support::tests! { Needs::LAB => [one, another] }`. A test that no list
/// names is dead code, which clippy refuses.
#[macro_export]
macro_rules! tests {
    ($($needs:expr => [$($name:ident),* $(,)?]),* $(,)?) => {
        /// The tests of this file.
        pub(crate) const TESTS: &[$crate::Group] = &[$($crate::Group {
            module: module_path!(),
            needs: $needs,
            tests: &[$($crate::Test { name: stringify!($name), run: $name }),*],
        }),*];
    };
}

/// The `main` of a test program: so many tests at a time, and the files' lists.
#[macro_export]
macro_rules! program {
    ($at_once:expr, [$($($module:ident)::+),* $(,)?]) => {
        fn main() -> std::process::ExitCode {
            $crate::run(
                env!("CARGO_CRATE_NAME"),
                env!("CARGO_BIN_EXE_palisade"),
                $at_once,
                &[$($($module)::+::TESTS),*],
            )
        }
    };
}

/// A line on the real standard error, whatever a runner captures.
pub fn note(line: &str) {
    drop(writeln!(std::io::stderr(), "{line}"));
}

/// Runs `future` to its end on a runtime of its own.
pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Runtime::new().expect("a runtime").block_on(future)
}

/// A name that the tests of the whole program have, without the program's own.
fn full_name(group: &Group, test: &Test) -> String {
    match group.module.split_once("::") {
        Some((_, module)) => format!("{module}::{}", test.name),
        None => test.name.to_owned(),
    }
}

/// What the environment says of tests that need more than this machine has.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Setting {
    /// `required`: a test that cannot run is a failure.
    Required,
    /// `auto`, or nothing: as root on Debian what is missing is installed.
    Auto,
    /// `off`: nothing is installed, and no hosts are brought up.
    Off,
}

/// Whether there is time for everything (`PALISADE_LAB_TAIL=1`): tests that only then run, and the whole of those that
/// run a part of what they could by default.
pub fn tail() -> bool {
    std::env::var_os("PALISADE_LAB_TAIL").is_some_and(|value| value == "1")
}

/// Why each test does not run here, where it does not.
struct Here {
    setting: Setting,
    root: bool,
    tail: bool,
    closed: Option<String>,
}

impl Here {
    fn found() -> Result<Self, String> {
        let word = std::env::var("PALISADE_LAB").ok();
        let setting = match word.as_deref() {
            Some("required") => Setting::Required,
            Some("off") => Setting::Off,
            _ => Setting::Auto,
        };
        let closed = match lab::availability(word.as_deref()) {
            Ok(Availability::Open) => None,
            Ok(Availability::Closed { why }) => Some(why),
            Err(error) => return Err(error.to_string()),
        };
        Ok(Self {
            setting,
            root: cfg!(target_os = "linux") && rustix::process::geteuid().is_root(),
            tail: tail(),
            closed,
        })
    }

    fn may_install(&self) -> bool {
        self.root && self.setting != Setting::Off && Program::AptGet.path().is_some()
    }

    /// Why a test with these needs does not run; programs are looked at by [`Self::lacks`].
    fn skips(&self, needs: &Needs) -> Option<String> {
        if needs.tail && !self.tail {
            return Some("only PALISADE_LAB_TAIL=1 runs it".to_owned());
        }
        if needs.hosts
            && let Some(why) = &self.closed
        {
            return Some(why.clone());
        }
        (needs.root && !self.root).then(|| "it needs root on Linux".to_owned())
    }
}

fn all_programs(needs: &Needs) -> impl Iterator<Item = Program> {
    needs.programs.iter().chain(if needs.hosts { lab::NEEDED } else { &[] }).copied()
}

/// The programs that a test starts and this machine lacks, in words.
fn lacks(needs: &Needs) -> Option<String> {
    let gone: Vec<String> = all_programs(needs)
        .filter(|program| program.path().is_none())
        .map(|program| format!("{} (package {})", program.name(), program.package()))
        .collect();
    (!gone.is_empty()).then(|| format!("this machine lacks {}", gone.join(", ")))
}

/// Installs what the tests that run need. What cannot be had is no error here: those tests say that they lack it.
fn install(here: &Here, needs: &[Needs]) {
    let packages = program::missing(needs.iter().flat_map(all_programs));
    if packages.is_empty() {
        return;
    }
    if !here.may_install() {
        note(&format!(
            "not installed, since only root on Debian installs, and PALISADE_LAB=off does not: {}",
            packages.join(" ")
        ));
        return;
    }
    note(&format!("installing what tests need and this machine lacks: {}", packages.join(" ")));
    let begun = Instant::now();
    match program::install(&packages, &|_| {}) {
        Ok(()) => note(&format!("installed in {} s", begun.elapsed().as_secs())),
        Err(error) => note(&format!("NOT INSTALLED: {error}")),
    }
}

/// What this program has run so far.
#[derive(Default)]
struct Times(Mutex<BTreeMap<String, Duration>>);

/// How many of the slowest tests are told with their time.
const SLOWEST: usize = 12;

/// The signals of a terminal, in the order of the kernel's bits: SIGHUP, SIGINT, SIGQUIT (signal(7)).
const OF_A_TERMINAL: u64 = 0b111;

/// Starts this program anew where a terminal's signals are ignored, as a shell lets whatever it starts in the background: palisade
/// heeds what whoever started it wants ignored, and tests interrupt it. Gives why it could not; nothing where they are heard.
fn heard_again() -> Option<String> {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"))?;
    if u64::from_str_radix(mask.trim(), 16).ok()? & OF_A_TERMINAL == 0 {
        return None;
    }
    let mut again = Program::Env.command();
    again.arg("--default-signal=HUP,INT,QUIT").args(std::env::args_os());
    let error = std::os::unix::process::CommandExt::exec(&mut again);
    Some(format!("a terminal's signals are ignored here, and env(1) could not be started: {error}"))
}

/// The `main` of a test program.
pub fn run(program: &str, binary: &'static str, at_once: usize, groups: &[&[Group]]) -> ExitCode {
    call::set_binary(binary);
    if let Some(code) = call::played_role() {
        return code;
    }
    if let Some(error) = heard_again() {
        note(&format!("{program}: {error}"));
        return ExitCode::from(101);
    }
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(at_once);
    let here = match Here::found() {
        Ok(here) => here,
        Err(why) => {
            note(&format!("{program}: {why}"));
            return ExitCode::from(101);
        }
    };
    let all: Vec<(String, Needs, fn())> = groups
        .iter()
        .flat_map(|of_file| of_file.iter())
        .flat_map(|group| group.tests.iter().map(move |test| (full_name(group, test), group.needs, test.run)))
        .collect();
    let chosen = |name: &str| selects(&arguments, name);
    let goes_on = !arguments.list;
    if goes_on {
        let wanted: Vec<Needs> = all
            .iter()
            .filter(|(name, needs, _)| chosen(name) && here.skips(needs).is_none())
            .map(|(_, needs, _)| *needs)
            .collect();
        install(&here, &wanted);
    }
    let times = Arc::new(Times::default());
    let mut skipped = Vec::new();
    let mut unmet = false;
    let mut trials = Vec::new();
    for (name, needs, test) in all {
        let why = here.skips(&needs).or_else(|| lacks(&needs));
        if goes_on
            && chosen(&name)
            && let Some(why) = &why
        {
            note(&format!("SKIPPED: {program}::{name}: {why}"));
            unmet |= here.setting == Setting::Required && !needs.tail;
            skipped.push(Skipped { name: name.clone(), why: why.clone() });
        }
        trials.push(trial(&name, test, Arc::clone(&times)).with_ignored_flag(why.is_some()));
    }
    if unmet {
        note(&format!(
            "{program}: PALISADE_LAB=required, and tests cannot run here; their reasons stand above"
        ));
        return ExitCode::from(101);
    }
    let begun = Instant::now();
    let conclusion = libtest_mimic::run(&arguments, trials);
    if goes_on {
        tell_times(&times);
        Tally {
            program: program.to_owned(),
            passed: conclusion.num_passed,
            failed: conclusion.num_failed,
            seconds: begun.elapsed().as_secs(),
            skipped,
        }
        .told();
    }
    conclusion.exit_code()
}

fn trial(name: &str, test: fn(), times: Arc<Times>) -> Trial {
    let own = name.to_owned();
    Trial::test(name, move || {
        let begun = Instant::now();
        let outcome = std::panic::catch_unwind(test);
        times.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).insert(own, begun.elapsed());
        outcome.map_err(|panic| {
            let said = panic.downcast_ref::<String>().cloned();
            said.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()))
                .unwrap_or_else(|| "it panicked; its words stand above".to_owned())
                .into()
        })
    })
}

fn tell_times(times: &Times) {
    let mut all: Vec<(String, Duration)> = times.0.lock().unwrap().clone().into_iter().collect();
    all.sort_by_key(|(_, time)| std::cmp::Reverse(*time));
    all.retain(|(_, time)| *time >= Duration::from_secs(5));
    for (name, time) in all.iter().take(SLOWEST) {
        note(&format!("{:6.1} s  {name}", time.as_secs_f32()));
    }
}

/// Whether the command line runs a test of this name, as libtest-mimic decides it.
fn selects(arguments: &Arguments, name: &str) -> bool {
    let is = |word: &String| if arguments.exact { name == word } else { name.contains(word.as_str()) };
    arguments.filter.as_ref().is_none_or(is) && !arguments.skip.iter().any(is)
}

/// The root of the repository.
pub(crate) fn repository() -> &'static Path {
    static ROOT: OnceLock<std::path::PathBuf> = OnceLock::new();
    ROOT.get_or_init(|| {
        let support = Path::new(env!("CARGO_MANIFEST_DIR"));
        support.ancestors().nth(2).expect("the repository").to_owned()
    })
}
