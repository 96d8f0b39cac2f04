//! Emulated machines that begin where one like them stood when it had just booted: qemu's own snapshot of memory and disks,
//! kept beside the base. A boot costs an emulated machine half a minute of processor time, and this half a second. The
//! machine is then given what makes it itself (name, ids, host keys, addresses, clock); its boot id is the snapshot's, and
//! its first reboot is a real one. On KVM, where a boot takes seconds, nothing is kept.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use super::super::base::Base;
use super::super::error::LabError;
use super::super::guest::Guest;
use super::super::invocation::Invocation;
use super::super::spec::Hardware;
use super::super::tree::remove_tree;
use super::{Accelerator, SUPERVISE, disks, tools_key};
use crate::domain::Digest;
use crate::program::Program;
use crate::shell::Script;

/// How long qemu may take for a snapshot; it takes half a second.
const SNAPSHOT_WITHIN: Duration = Duration::from_mins(3);

/// How long the system may take until nothing of its boot is under way.
const SETTLED_WITHIN: Duration = Duration::from_mins(10);

/// How long a machine may take until it answers, which is a whole boot where its snapshot does not fit this qemu.
const ANSWERS_WITHIN: Duration = Duration::from_mins(15);

/// Snapshots take 200 MB each. More kinds of machines than this are not kept for one base.
const MOST: usize = 8;

/// What stands in the folder of a machine that begins so.
const MARK: &str = "warm";

/// Where the snapshot of one kind of machine is, or would be.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Warm {
    folder: PathBuf,
}

impl Warm {
    /// Of machines on `base` with `hardware` and these networks; none where nothing is gained.
    pub(crate) fn of(
        base: &Base,
        hardware: &Hardware,
        networks: &str,
        ssh_port: u16,
        accelerator: Accelerator,
    ) -> Option<Self> {
        if accelerator == Accelerator::Kvm {
            return None;
        }
        let memory = hardware.memory;
        let recipe =
            format!("{SUPERVISE}{ADOPT}{}{memory} {} {networks} {ssh_port}", tools_key(), disks(hardware));
        let digest = Digest::of(recipe.as_bytes());
        let short = digest.as_str().get(..12).unwrap_or_default();
        Some(Self { folder: base.folder().join(format!("warm-{short}")) })
    }

    /// Puts the snapshot into the folder of a machine that was never started; false where there is none.
    #[expect(clippy::disallowed_methods, reason = "the lab's own folders")]
    pub(crate) fn begin(&self, folder: &Path) -> Result<bool, LabError> {
        if !self.folder.is_dir() {
            return Ok(false);
        }
        Invocation::of(Program::Cp)
            .args(["--recursive", "--sparse=always", "--reflink=auto", "--"])
            .arg(self.folder.join("."))
            .arg(folder)
            .run()?;
        let mark = folder.join(MARK);
        std::fs::write(&mark, b"").map_err(LabError::file("write", &mark))?;
        Ok(true)
    }

    /// Keeps the state of a machine that has just booted, if none like it is kept. It stands still meanwhile.
    #[expect(clippy::disallowed_methods, reason = "the lab's own folders")]
    pub(crate) fn keep(&self, guest: &Guest<'_>) -> Result<(), LabError> {
        let Some(base) = self.folder.parent() else { return Ok(()) };
        let kept = std::fs::read_dir(base).into_iter().flatten().map_while(Result::ok);
        let kept = kept.filter(|entry| entry.file_name().to_string_lossy().starts_with("warm-")).count();
        if self.folder.is_dir() || kept >= MOST {
            return Ok(());
        }
        let settled = Script::new().text("systemctl is-system-running --wait >/dev/null; sync");
        guest.run(&settled, SETTLED_WITHIN)?;
        let unfinished = guest.folder.join("keeping");
        remove_tree(&unfinished)?;
        std::fs::create_dir(&unfinished).map_err(LabError::file("make", &unfinished))?;
        let copied = order(guest, "stop").and_then(|()| monitor(guest, "savevm warm")).and_then(|()| {
            let disks = std::fs::read_dir(&guest.folder).into_iter().flatten().map_while(Result::ok);
            let disks = disks.map(|entry| entry.path());
            let disks = disks.filter(|path| path.extension().is_some_and(|end| end == "qcow2"));
            let rest = ["kernel", "initrd", "cmdline"].map(|name| guest.folder.join(name));
            Invocation::of(Program::Cp)
                .args(["--sparse=always", "--reflink=auto", "--target-directory"])
                .arg(&unfinished)
                .args(disks.chain(rest))
                .run()?;
            let delivery = guest.folder.join("delivery.tar");
            Invocation::of(Program::Cp).arg(delivery).arg(unfinished.join("warm.tar")).run()
        });
        // whatever came of it, it goes on, as if nothing had been
        let removed = monitor(guest, "delvm warm");
        order(guest, "cont")?;
        copied.map(drop).and(removed)?;
        // where another lab was quicker, its snapshot stays
        if std::fs::rename(&unfinished, &self.folder).is_err() {
            remove_tree(&unfinished)?;
        }
        Ok(())
    }
}

/// Whether the machine in `folder` begins with a snapshot.
pub(crate) fn begins(folder: &Path) -> bool {
    folder.join(MARK).exists()
}

/// Makes a machine that begins with a snapshot itself.
#[expect(clippy::disallowed_methods, reason = "the lab's own folder, and this machine's clock")]
pub(crate) fn adopt(guest: &Guest<'_>) -> Result<(), LabError> {
    let begun = Instant::now();
    let delivery = guest.folder.join("delivery.tar");
    let own = std::fs::read(&delivery).map_err(LabError::file("read", &delivery))?;
    let program = ["/usr/bin/tar", "--extract", "--preserve-permissions", "--directory=/", "--file=-"];
    loop {
        match guest.run_in_machine(&program, &own, Duration::from_mins(5)) {
            Ok(output) if output.exit.success() => break,
            Ok(_) | Err(LabError::NotRunning { .. }) if begun.elapsed() < ANSWERS_WITHIN => {
                std::thread::sleep(Duration::from_millis(100));
            }
            Ok(_) | Err(LabError::NotRunning { .. }) => {
                return Err(guest.too_slow("begin from its snapshot", begun.elapsed().as_secs()));
            }
            Err(why) => return Err(why),
        }
    }
    let mut seed = [0_u8; 32];
    getrandom::fill(&mut seed).map_err(super::super::error::no_randomness)?;
    let now = jiff::Timestamp::now();
    let script = Script::new()
        .set("now", now.as_second())
        .set("seed", crate::shell::Arg::lossy(STANDARD.encode(seed)))
        .text(ADOPT);
    let output = guest.run(&script, SETTLED_WITHIN)?;
    if output.exit.success() {
        return Ok(());
    }
    Err(LabError::Program {
        program: format!("what makes {} itself", guest.host.spec.name),
        ended: format!("{:?}", output.exit),
        said: crate::text::excerpt(&String::from_utf8_lossy(&output.stderr), 600),
    })
}

/// Its files are its own by now; this makes what has read them before read them again.
const ADOPT: &str = r#"set -eu
date --set "@$now" >/dev/null
printf '%s' "$seed" >/dev/urandom
cat /etc/hostname >/proc/sys/kernel/hostname
for link in /etc/systemd/network/10-*.link; do
  device=$(sed -n 's/^Name=//p' "$link")
  ip link set dev "$device" down
  ip address flush dev "$device"
  ip link set dev "$device" address "$(sed -n 's/^MACAddress=//p' "$link")"
  ip link set dev "$device" up
done
systemctl restart systemd-journald.service systemd-networkd.service
systemctl restart ssh.service
"#;

/// What qemu says to an order.
#[derive(Deserialize)]
struct Answer {
    /// The order's.
    id: Option<String>,
    /// Where it did it: an empty object, and of the monitor an empty line where all is well.
    #[serde(rename = "return")]
    done: Option<serde_json::Value>,
}

impl Answer {
    fn is_well(&self) -> bool {
        self.done.as_ref().is_some_and(|done| done.as_str().is_none_or(str::is_empty))
    }
}

/// Gives qemu an order, and waits until it is done.
fn order(guest: &Guest<'_>, execute: &str) -> Result<(), LabError> {
    ask(guest, &serde_json::json!({ "execute": execute }))
}

/// The same for what qemu's monitor for people alone knows.
fn monitor(guest: &Guest<'_>, line: &str) -> Result<(), LabError> {
    let arguments = serde_json::json!({ "command-line": line });
    ask(guest, &serde_json::json!({ "execute": "human-monitor-command", "arguments": arguments }))
}

#[expect(clippy::disallowed_methods, reason = "the lab's own folder")]
fn ask(guest: &Guest<'_>, order: &serde_json::Value) -> Result<(), LabError> {
    let number = getrandom::u32().unwrap_or_default().to_string();
    let mut order = order.clone();
    if let Some(map) = order.as_object_mut() {
        map.insert("id".to_owned(), serde_json::json!(number));
    }
    let (orders, events) = (guest.folder.join("orders"), guest.folder.join("events"));
    std::fs::OpenOptions::new()
        .write(true)
        .open(&orders)
        .and_then(|mut orders| orders.write_all(format!("{order}\n").as_bytes()))
        .map_err(LabError::file("write to", &orders))?;
    let begun = Instant::now();
    loop {
        let said = std::fs::read(&events).unwrap_or_default();
        let said = String::from_utf8_lossy(&said);
        let answer = said
            .lines()
            .filter_map(|line| serde_json::from_str::<Answer>(line).ok().map(|answer| (line, answer)))
            .find(|(_, answer)| answer.id.as_ref() == Some(&number));
        match answer {
            Some((_, answer)) if answer.is_well() => return Ok(()),
            Some((line, _)) => {
                return Err(LabError::Program {
                    program: order.to_string(),
                    ended: "qemu refused it".to_owned(),
                    said: crate::text::excerpt(line, 300),
                });
            }
            None if begun.elapsed() > SNAPSHOT_WITHIN => {
                return Err(guest.too_slow("be kept", begun.elapsed().as_secs()));
            }
            None => std::thread::sleep(Duration::from_millis(20)),
        }
    }
}
