//! Running palisade's own verbs as a person would, and reading back what they recorded. What a verb says goes to the
//! terminal as it is; what it means is taken from its exit status and its record alone.

use std::collections::BTreeSet;
use std::fs;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::Value;

use super::moment::{DemoError, Moment, Options, Shown, Tell};
use crate::lab::Lab;
use crate::program;
use crate::store;

/// As whom the verbs are run.
pub(super) const WHO: &str = "alice";

/// Runs verbs on the lab's project.
pub(super) struct Verbs<'a> {
    palisade: &'a Path,
    shown: Shown,
    project: PathBuf,
    lab: String,
    variables: Vec<(String, String)>,
    known: BTreeSet<String>,
    recorded: usize,
    tell: Tell<'a>,
    interrupted: &'a AtomicBool,
}

/// What came of a verb.
pub(super) struct Ran {
    /// Its exit status; none where it was killed.
    pub(super) exit: Option<i32>,
    record: Vec<Value>,
}

/// A verb that runs. It ends with this value.
pub(super) struct Running {
    child: Child,
    verb: Option<String>,
    environment: Option<String>,
}

impl Drop for Running {
    fn drop(&mut self) {
        // Where it ended, neither does anything; where not, whatever it was at ends with the lab.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl<'a> Verbs<'a> {
    pub(super) fn new(
        options: &'a Options,
        lab: &Lab,
        identity: &Path,
        tell: Tell<'a>,
        interrupted: &'a AtomicBool,
    ) -> Self {
        let project = lab.project();
        let variables = vec![
            ("PALISADE_PROJECT".to_owned(), project.display().to_string()),
            ("PALISADE_AS".to_owned(), WHO.to_owned()),
            ("PALISADE_IDENTITY".to_owned(), identity.display().to_string()),
        ];
        Self {
            palisade: &options.palisade,
            shown: options.shown,
            project,
            lab: lab.folder().display().to_string(),
            variables,
            known: BTreeSet::new(),
            recorded: 0,
            tell,
            interrupted,
        }
    }

    /// The variables that every verb is run with.
    pub(super) fn variables(&self) -> &[(String, String)] {
        &self.variables
    }

    /// The project that they are about.
    pub(super) fn project(&self) -> &Path {
        &self.project
    }

    /// How many verbs left a record.
    pub(super) fn recorded(&self) -> usize {
        self.recorded
    }

    pub(super) fn say_variables(&self) {
        let values: Vec<String> =
            self.variables.iter().map(|(name, value)| format!("{name}={}", self.shortened(value))).collect();
        (self.tell)(Moment::Command(&format!("LAB={}", self.lab)));
        (self.tell)(Moment::Command(&format!("export {}", values.join(" "))));
    }

    /// With `$LAB` for the lab's folder, as a person would type it.
    fn shortened(&self, text: &str) -> String {
        text.replace(&self.lab, "$LAB")
    }

    /// Runs a verb to its end.
    pub(super) fn run(&mut self, args: &[&str]) -> Result<Ran, DemoError> {
        let mut running = self.start(args, &[])?;
        self.wait(&mut running)
    }

    /// Runs several verbs side by side. What they say meanwhile is mixed; what they print comes one after the other.
    pub(super) fn run_together(&mut self, all: &[Vec<&str>]) -> Result<Vec<Ran>, DemoError> {
        let mut running = Vec::new();
        for args in all {
            self.say(args, " &");
            let mut one = self.spawn(args, &[], Stdio::piped())?;
            let stdout = one.child.stdout.take();
            // Read from the beginning, so that nobody is held up by a full pipe.
            running.push((one, std::thread::spawn(move || stdout.map(std::io::read_to_string))));
        }
        let mut done = Vec::new();
        for (mut one, printed) in running {
            done.push(self.wait(&mut one)?);
            if let (true, Ok(Some(Ok(printed)))) = (self.shown != Shown::Silent, printed.join()) {
                (self.tell)(Moment::Text(printed.trim_end()));
            }
        }
        Ok(done)
    }

    pub(super) fn wait(&mut self, running: &mut Running) -> Result<Ran, DemoError> {
        loop {
            if let Some(ran) = self.ended(running)? {
                return Ok(ran);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Starts a verb, and says so.
    pub(super) fn start(&self, args: &[&str], more: &[(&str, &str)]) -> Result<Running, DemoError> {
        self.say(args, "");
        let stdout = match self.shown {
            Shown::Aloud => Stdio::inherit(),
            Shown::Aside => std::io::stderr()
                .as_fd()
                .try_clone_to_owned()
                .map(Stdio::from)
                .map_err(DemoError::failed("share standard error"))?,
            Shown::Silent => Stdio::null(),
        };
        self.spawn(args, more, stdout)
    }

    fn say(&self, args: &[&str], after: &str) {
        (self.tell)(Moment::Command(&format!("palisade {}{after}", self.shortened(&args.join(" ")))));
    }

    fn spawn(&self, args: &[&str], more: &[(&str, &str)], stdout: Stdio) -> Result<Running, DemoError> {
        let mut command = program::at(self.palisade);
        command.args(args).stdin(Stdio::null()).stdout(stdout);
        // The key of the lab's project is the only one to use.
        command.env_remove("SSH_AUTH_SOCK");
        if self.shown == Shown::Silent {
            command.arg("--quiet");
        }
        for (name, value) in &self.variables {
            command.env(name, value);
        }
        command.envs(more.iter().copied());
        let child =
            command.spawn().map_err(DemoError::failed(format!("start {}", self.palisade.display())))?;
        let word = |place: usize| args.get(place).map(|word| (*word).to_owned());
        Ok(Running { child, verb: word(0), environment: word(1) })
    }

    /// What came of it, once it ended.
    pub(super) fn ended(&mut self, running: &mut Running) -> Result<Option<Ran>, DemoError> {
        if self.interrupted.load(Ordering::SeqCst) {
            return Err(DemoError::Interrupted);
        }
        let Some(status) = running.child.try_wait().map_err(DemoError::failed("wait for palisade"))? else {
            return Ok(None);
        };
        let record = self.new_record(running)?;
        self.recorded += usize::from(!record.is_empty());
        Ok(Some(Ran { exit: status.code(), record }))
    }

    /// The lines of the record that a verb left; none where it left none.
    fn new_record(&mut self, of: &Running) -> Result<Vec<Value>, DemoError> {
        let failed = || DemoError::failed("read the runs");
        let runs = store::list_runs(&self.project).map_err(failed())?;
        let is = |run: &store::StoredRun, name: &str, wanted: Option<&str>| text(&run.header, name) == wanted;
        let new = runs.into_iter().find(|run| {
            !self.known.contains(&run.name)
                && is(run, "verb", of.verb.as_deref())
                && is(run, "environment", of.environment.as_deref())
        });
        let Some(run) = new else { return Ok(Vec::new()) };
        let path = self.project.join("runs").join(&run.name).join(store::RECORD);
        self.known.insert(run.name);
        let text = fs::read_to_string(path).map_err(failed())?;
        Ok(text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect())
    }

    /// How many records there are, and how many of them are whole.
    pub(super) fn records(&self) -> Result<(usize, usize), DemoError> {
        let runs = store::list_runs(&self.project).map_err(DemoError::failed("read the runs"))?;
        let whole = runs.iter().filter(|run| run.intact && run.footer.is_some()).count();
        Ok((runs.len(), whole))
    }
}

impl Ran {
    /// One result per host.
    pub(super) fn results(&self) -> Vec<&Value> {
        self.entries("host").filter_map(|line| line.get("result")).collect()
    }

    fn entries<'r>(&'r self, name: &'static str) -> impl Iterator<Item = &'r Value> {
        self.record.iter().filter(move |line| text(line, "entry") == Some(name))
    }

    fn names(&self) -> Vec<&str> {
        self.results().into_iter().filter_map(|result| text(result, "host")).collect()
    }

    /// The hosts, for a sentence: `db-1 and web-1`, `dev-1 was`.
    pub(super) fn hosts(&self) -> String {
        let names = self.names();
        format!("{} {}", names.join(" and "), if names.len() == 1 { "was" } else { "were" })
    }

    /// How the run ended on `host`.
    pub(super) fn state(&self, host: &str) -> Option<&str> {
        text(self.result(host)?, "state")
    }

    /// The result of `host`.
    pub(super) fn result(&self, host: &str) -> Option<&Value> {
        self.results().into_iter().find(|result| text(result, "host") == Some(host))
    }

    /// Whether there are hosts, and the run ended so on all of them.
    pub(super) fn all_states(&self, wanted: &str) -> bool {
        let results = self.results();
        !results.is_empty() && results.iter().all(|result| text(result, "state") == Some(wanted))
    }

    /// A count of the summary; a run without one has too many of everything.
    pub(super) fn count(&self, name: &str) -> u64 {
        let end = self.entries("end").next();
        end.and_then(|end| end.get("summary")?.get(name)?.as_u64()).unwrap_or(u64::MAX)
    }

    /// How many things are enforced, and how many of those are compliant.
    pub(super) fn enforced(&self) -> (usize, usize) {
        let results = self.results();
        let enforced: Vec<&Value> = results
            .iter()
            .filter_map(|result| result.get("judged")?.as_array())
            .flatten()
            .filter(|judged| judged.get("enforced") == Some(&Value::Bool(true)))
            .collect();
        let holding = enforced
            .iter()
            .filter(|judged| matches!(text(judged, "verdict"), Some("compliant" | "not-applicable")))
            .count();
        (enforced.len(), holding)
    }

    /// For whoever has to find out why something was not seen.
    pub(super) fn summary(&self) -> String {
        let exit = self.exit.map_or_else(|| "killed".to_owned(), |code| format!("exit {code}"));
        let states: Vec<String> = self
            .results()
            .iter()
            .map(|result| {
                let word = |name| text(result, name).unwrap_or("?");
                format!("{} {}", word("host"), word("state"))
            })
            .collect();
        if states.is_empty() {
            format!("{exit}, no record")
        } else {
            format!("{exit}, {}", states.join(", "))
        }
    }
}

/// A field of text.
pub(super) fn text<'v>(value: &'v Value, name: &str) -> Option<&'v str> {
    value.get(name)?.as_str()
}

/// A number somewhere in a value, such as `/cost/execs`.
pub(super) fn number(value: &Value, place: &str) -> Option<u64> {
    value.pointer(place)?.as_u64()
}
