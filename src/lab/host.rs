//! One host of a lab: its power, its boots, and what runs inside it.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::Child;
use std::time::{Duration, Instant};

use super::Lab;
use super::base::Base;
use super::delivery::{DeliveredKeys, deliver};
use super::error::{LabError, no_randomness};
use super::event::Sink;
use super::fault::{self, At, Fault};
use super::guest::{Guest, Power};
use super::invocation::Invocation;
use super::record::HostRecord;
use crate::domain::{Address, BootId, HostName, PublicKey};
use crate::program::Program;
use crate::shell::{Output, Script};

/// How long a host may take to answer SSH. On an idle machine it takes one to three seconds.
const READY_WITHIN: Duration = Duration::from_secs(90);

/// The same for a virtual machine, which takes one to two minutes where it is emulated on two idle processors.
const MACHINE_READY_WITHIN: Duration = Duration::from_mins(15);

/// How long what runs inside a host may take, where nobody said otherwise.
const RUN_WITHIN: Duration = Duration::from_mins(2);

/// The same for a virtual machine, where apt alone may take minutes beside others.
const MACHINE_RUN_WITHIN: Duration = Duration::from_mins(20);

/// One host of a lab.
#[derive(Debug, Clone, Copy)]
pub struct Host<'a> {
    lab: &'a Lab,
    record: &'a HostRecord,
}

impl<'a> Host<'a> {
    pub(super) fn new(lab: &'a Lab, record: &'a HostRecord) -> Self {
        Self { lab, record }
    }

    fn guest(&self) -> Guest<'a> {
        Guest::new(&self.lab.record, self.record, &self.lab.folder)
    }

    pub(super) fn is_machine(&self) -> bool {
        self.guest().is_machine()
    }

    pub(super) fn folder(&self) -> PathBuf {
        self.guest().folder
    }

    /// Its name.
    pub fn name(&self) -> &'a HostName {
        &self.record.spec.name
    }

    /// What is written down about it.
    pub fn record(&self) -> &'a HostRecord {
        self.record
    }

    /// All its addresses, public ones first, IPv4 first.
    pub fn addresses(&self) -> impl Iterator<Item = Address> + 'a {
        self.record.public.iter().chain(&self.record.private).copied()
    }

    /// Where the control node reaches it; none for a host on the private network alone.
    pub fn public_address(&self) -> Option<Address> {
        self.record.public.first().copied()
    }

    /// Makes its disk what a provider delivers; gives its public host keys.
    pub(super) fn deliver(&self, keys: &DeliveredKeys) -> Result<Vec<PublicKey>, LabError> {
        let machine_id = new_machine_id()?;
        let guest = self.guest();
        let networks = &self.lab.record.networks;
        let kept = self.lab.place.host_keys();
        let host_keys = deliver(&guest.upper(), self.record, networks, keys, &machine_id, &kept)?;
        if guest.is_machine() {
            guest.pack_delivery()?;
        }
        Ok(host_keys)
    }

    /// Whether it runs.
    pub fn power(&self) -> Power {
        self.guest().power()
    }

    /// Boots it, if it is off.
    pub fn power_on(&self) -> Result<(), LabError> {
        let guest = self.guest();
        if guest.supervisor().is_some() {
            return Ok(());
        }
        let child = guest.start(&self.lab.place.bases())?;
        self.with_supervisors(|all| all.insert(self.name().to_string(), child));
        self.wait(Duration::from_mins(1), "start", || Ok(guest.supervisor().is_some()))?;
        guest.adopt()
    }

    /// Keeps its state for machines like it, where they would boot otherwise. For one that has just come up.
    pub(super) fn keep_warm(&self) -> Result<(), LabError> {
        match self.guest().warm(&self.lab.place.bases())? {
            Some(warm) => warm.keep(&self.guest()),
            None => Ok(()),
        }
    }

    /// Takes its power away, and leaves it off. What it had on its disk stays.
    pub fn power_off(&self) -> Result<(), LabError> {
        self.guest().stop()?;
        if let Some(mut child) = self.with_supervisors(|all| all.remove(self.name().as_str())) {
            drop(child.wait());
        }
        Ok(())
    }

    /// Runs shell text on the disk of a container that is off, as root, as in a provider's rescue system: nothing of the
    /// host's own system is at work, and no network. Fails where it runs.
    pub fn rescue(&self, text: &str) -> Result<String, LabError> {
        if self.power() != Power::Off {
            return Err(LabError::Running { host: self.name().clone() });
        }
        self.guest().rescue(&self.lab.place.bases(), text)
    }

    fn with_supervisors<T>(&self, act: impl FnOnce(&mut BTreeMap<String, Child>) -> T) -> T {
        act(&mut self.lab.supervisors.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
    }

    /// Takes its power away in the middle of whatever it does, and gives it back: its processes are killed, none of
    /// them asked, and it boots again. Returns once it answers SSH.
    pub fn crash(&self) -> Result<(), LabError> {
        let before = self.boots();
        self.begin_crash()?;
        self.wait_for_boot(before)?;
        self.wait_until_ready()
    }

    /// The same, without waiting for anything.
    pub fn begin_crash(&self) -> Result<(), LabError> {
        self.guest().crash()
    }

    /// Lets it reboot itself. Returns once it answers SSH again.
    pub fn reboot(&self) -> Result<(), LabError> {
        let before = self.boots();
        self.begin_reboot()?;
        self.wait_for_boot(before)?;
        self.wait_until_ready()
    }

    /// The same, without waiting for anything.
    pub fn begin_reboot(&self) -> Result<(), LabError> {
        match self.run(&Script::new().text("systemctl reboot")) {
            // a machine's agent may be gone before it says that it was asked; who waits sees whether it boots
            Err(LabError::NotRunning { .. }) if self.is_machine() => Ok(()),
            other => other.map(drop),
        }
    }

    /// How often it was booted so far.
    pub fn boots(&self) -> usize {
        self.guest().boots()
    }

    /// Waits until it was booted more often than `before`.
    pub fn wait_for_boot(&self, before: usize) -> Result<(), LabError> {
        self.wait(self.patience(), "boot again", || Ok(self.guest().boots() > before))
    }

    fn patience(&self) -> Duration {
        if self.is_machine() { MACHINE_READY_WITHIN } else { READY_WITHIN }
    }

    /// Waits until it answers SSH: on its public address from this machine, else from inside.
    pub fn wait_until_ready(&self) -> Result<(), LabError> {
        self.wait(self.patience(), "answer SSH", || {
            // a machine is asked last whether it is there: every question costs an emulated one a moment of its boot
            let greets = || match self.public_address() {
                Some(address) => Ok(greets(address, self.record.spec.ssh_port.number())),
                None => self.greets_inside(),
            };
            if self.is_machine() && !greets()? {
                return Ok(false);
            }
            // pam_nologin(8) turns people away while a system boots
            if !self.has("/etc/hostname") || self.has("/run/nologin") {
                return Ok(false);
            }
            greets()
        })
    }

    /// Waits until a machine's console says `question` anew, and types `answer` behind it: a passphrase at boot.
    pub fn answer_console(&self, question: &str, answer: &str, within: Duration) -> Result<(), LabError> {
        self.answer_console_after(self.console_says(question), question, answer, within)
    }

    /// The same, where its console may have said `question` anew already: it did so `already` times before.
    pub fn answer_console_after(
        &self,
        already: usize,
        question: &str,
        answer: &str,
        within: Duration,
    ) -> Result<(), LabError> {
        self.wait(within, "ask on its console", || Ok(self.console_says(question) > already))?;
        self.guest().type_on_console(answer)
    }

    /// How often a machine's console said `words` so far.
    pub fn console_says(&self, words: &str) -> usize {
        self.guest().console_says(words)
    }

    fn greets_inside(&self) -> Result<bool, LabError> {
        let script = Script::new()
            .set("port", self.record.spec.ssh_port.number())
            .text("nc -w 2 -N 127.0.0.1 \"$port\" </dev/null | head -c 4");
        match self.run(&script) {
            Ok(output) => Ok(output.stdout == b"SSH-"),
            Err(LabError::NotRunning { .. }) => Ok(false),
            Err(why) => Err(why),
        }
    }

    #[expect(clippy::disallowed_methods, reason = "the lab waits for hosts")]
    fn wait(
        &self,
        within: Duration,
        what: &'static str,
        mut done: impl FnMut() -> Result<bool, LabError>,
    ) -> Result<(), LabError> {
        let begun = Instant::now();
        let mut lived = false;
        while !done()? {
            let dead = match self.power() {
                Power::Failed => true,
                // its supervisor was killed, before anybody looked perhaps; until it is started there is none either
                Power::Dead => lived || self.guest().was_started(),
                Power::On | Power::Booting | Power::Off => {
                    lived = true;
                    false
                }
            };
            if dead || begun.elapsed() > within {
                return Err(self.guest().too_slow(what, begun.elapsed().as_secs()));
            }
            std::thread::sleep(Duration::from_millis(if self.is_machine() { 250 } else { 20 }));
        }
        Ok(())
    }

    /// Runs `script` inside, as root.
    pub fn run(&self, script: &Script) -> Result<Output, LabError> {
        self.run_within(script, if self.is_machine() { MACHINE_RUN_WITHIN } else { RUN_WITHIN })
    }

    /// The same, killed after `deadline`; then its exit status is 124 or 137.
    pub fn run_within(&self, script: &Script, deadline: Duration) -> Result<Output, LabError> {
        self.guest().run(script, deadline)
    }

    /// Runs static text inside, as root, and gives what it wrote to standard output; any exit status but 0 is an error.
    pub fn sh(&self, text: &'static str) -> Result<String, LabError> {
        let output = self.run(&Script::new().text(text))?;
        if output.exit.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        Err(LabError::Program {
            program: format!("{text} (in {})", self.name()),
            ended: format!("{:?}", output.exit),
            said: crate::text::excerpt(&String::from_utf8_lossy(&output.stderr), 600),
        })
    }

    /// Runs `command` inside on our own terminal, or a login shell where it is empty; gives its exit status.
    pub fn shell(&self, command: &[String]) -> Result<u8, LabError> {
        self.guest().shell(command)
    }

    /// Lets the network lose something on its way to this host, in the place of what it lost before.
    pub fn inject(&self, fault: Fault) -> Result<(), LabError> {
        fault::inject(&self.lab.record, At::Host(self.record.number), fault)
    }

    /// Lets the network lose nothing any more.
    pub fn lift_fault(&self) -> Result<(), LabError> {
        fault::lift(&self.lab.record, At::Host(self.record.number))
    }

    /// Whether the network loses anything on its way to this host.
    pub fn has_fault(&self) -> Result<bool, LabError> {
        fault::is_injected(&self.lab.record, At::Host(self.record.number))
    }

    /// Whether there is something at `path` inside, seen from outside. Nothing is seen of one that does not run.
    pub fn has(&self, path: &str) -> bool {
        let guest = self.guest();
        if guest.is_machine() {
            let program = ["/usr/bin/test", "-e", path];
            return guest.run_in_machine(&program, b"", RUN_WITHIN).is_ok_and(|output| output.exit.success());
        }
        self.root().is_ok_and(|root| root.join(path.trim_start_matches('/')).exists())
    }

    /// Its root folder, as it sees it, for reading; a machine has none that could be seen. A symbolic link with an absolute target leads out of it.
    pub fn root(&self) -> Result<PathBuf, LabError> {
        self.guest().root()
    }

    /// Puts `packages` that no other host needs, with all that they depend on, into its /root/more; they are fetched
    /// once for all labs. For containers alone.
    pub fn bring(&self, packages: &[&str], sink: Sink) -> Result<(), LabError> {
        let bases = self.lab.place.bases();
        let base = Base::at(&bases, &self.record.base);
        let folder = base.more(&bases, self.record.spec.suite, packages, sink)?;
        let into = self.root()?.join("root/more");
        Invocation::of(Program::Cp).arg("-r").arg(&folder).arg(&into).run()?;
        Ok(())
    }

    /// Which boot it is in.
    pub fn boot_id(&self) -> Result<BootId, LabError> {
        let text = self.sh("cat /proc/sys/kernel/random/boot_id")?;
        text.trim().parse().map_err(|why: crate::domain::Malformed| LabError::Program {
            program: "cat /proc/sys/kernel/random/boot_id".to_owned(),
            ended: "an answer that is none".to_owned(),
            said: why.to_string(),
        })
    }
}

/// Whether something at this address and port greets as SSH does.
fn greets(address: Address, port: u16) -> bool {
    let address = SocketAddr::new(address.ip(), port);
    let within = Duration::from_millis(250);
    let Ok(mut stream) = TcpStream::connect_timeout(&address, within) else { return false };
    let mut greeting = [0; 4];
    stream.set_read_timeout(Some(Duration::from_secs(2))).is_ok()
        && stream.read_exact(&mut greeting).is_ok()
        && &greeting == b"SSH-"
}

fn new_machine_id() -> Result<String, LabError> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(no_randomness)?;
    Ok(format!("{:032x}", u128::from_be_bytes(bytes)))
}
