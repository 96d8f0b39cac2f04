//! Rebooting a host, so that it counts only when it is seen: another boot id, the newest kernel that is installed there,
//! and a fresh login with sudo. It waits in bounded time, and refuses a host that nobody could open again: one whose root
//! is encrypted, and whose way of unlocking is not declared.

use std::time::Duration;

use super::{Job, Run, instant, nonce};
use crate::event::Event;
use crate::probe::{self, Facts};
use crate::shell::{self, Question, Script};
use crate::text::excerpt;
use crate::transport::{Bounds, Entry, Target};

/// How a reboot ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rebooted {
    /// It is back.
    Back {
        /// The kernel that runs now, as `uname -r` says it.
        kernel: String,
        /// From the order to the fresh login.
        after: Duration,
    },
    /// It was not told to reboot.
    Refused {
        /// Why.
        reason: String,
    },
    /// It is back, in another boot, and not as it has to be.
    Astray {
        /// What is wrong.
        reason: String,
    },
    /// It was told to reboot and was not seen again in time. What it does is not known.
    Lost {
        /// What was tried, and what came of it last.
        reason: String,
    },
}

/// What a host says of its kernels and its root.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Standing {
    /// `uname -r`.
    running: String,
    /// The newest that is installed with its image in /boot; none in a container.
    newest: Option<String>,
    root: Root,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Root {
    Plain,
    Encrypted,
}

const STANDING: &str = r#"printf 'running %s\n' "$(uname -r)"
for palisade_image in /boot/vmlinuz-*; do
  [ -e "$palisade_image" ] && printf '%s\n' "${palisade_image#/boot/vmlinuz-}"
done | sort -V | tail -n 1 | sed 's/^/newest /'
palisade_root=$(findmnt --noheadings --nofsroot --output SOURCE --mountpoint /) || exit
case $palisade_root in
  /dev/*)
    palisade_types=$(lsblk --noheadings --inverse --raw --output TYPE "$palisade_root") || exit
    case "
$palisade_types
" in
      *'
crypt
'*) printf 'root encrypted\n' ;;
      *) printf 'root plain\n' ;;
    esac ;;
  ?*) if [ "$(findmnt --noheadings --output FSTYPE --mountpoint /)" = zfs ]; then printf 'root zfs\n'; else printf 'root plain\n'; fi ;;
esac
printf 'whole\n'"#;

/// The order comes a moment later, so that its answer still arrives.
const ORDER: &str = "systemd-run --quiet --collect --unit=palisade-reboot --on-active=1s --timer-property=AccuracySec=100ms \
systemctl reboot && printf 'ordered\\n'";

/// Between two attempts to log in.
const PAUSE: Duration = Duration::from_secs(2);

/// For one attempt: a host that boots answers nothing at all for a while.
const ATTEMPT: Duration = Duration::from_secs(10);

fn standing_question() -> Question {
    Question { label: "standing", body: Script::new().text(STANDING), seconds: 30, cap: 64 << 10 }
}

fn order_question() -> Question {
    Question { label: "order", body: Script::new().text(ORDER), seconds: 30, cap: 4 << 10 }
}

impl Run {
    /// Reboots the host of `job` and watches it for at most `within`. `unlock` says how its encrypted root is opened at
    /// boot, where that is declared. What the host's controls say afterwards is for another look.
    pub async fn reboot(&self, job: &Job, unlock: Option<&str>, within: Duration) -> Rebooted {
        let host = &job.desired.host;
        let (before, standing) = match self.standing(job, &job.target).await {
            Ok(both) => both,
            Err(reason) => return Rebooted::Refused { reason },
        };
        if let Some(reason) = refusal(&before, standing.root, unlock) {
            return Rebooted::Refused { reason };
        }
        if let Err(reason) = self.order(job).await {
            return Rebooted::Refused { reason };
        }
        let begun = instant();
        let attempt = Target { connect_timeout: ATTEMPT, ..job.target.clone() };
        let mut last = "it still runs".to_owned();
        loop {
            let left = within.saturating_sub(begun.elapsed());
            if left.is_zero() {
                let seconds = within.as_secs();
                let reason = format!("{host} was told to reboot and is not back after {seconds} s: {last}");
                return Rebooted::Lost { reason };
            }
            self.emit(Event::Waiting { host: host.clone(), seconds_left: left.as_secs() });
            let asked = tokio::time::timeout(left.max(ATTEMPT), self.standing(job, &attempt)).await;
            match asked {
                Ok(Ok((facts, now))) if facts.boot_id != before.boot_id => {
                    return judge(&standing, &now, begun.elapsed());
                }
                Ok(Ok(_)) => "it is still in the boot that it was in".clone_into(&mut last),
                Ok(Err(why)) => last = why,
                Err(_) => "it does not answer".clone_into(&mut last),
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Over a connection of its own, as root: what the host says of itself, of its kernels and its root.
    async fn standing(&self, job: &Job, target: &Target) -> Result<(Facts, Standing), String> {
        let session = self.connector.connect(target).await.map_err(|error| error.to_string())?;
        let nonce = nonce();
        let question = standing_question();
        let script = Script::new().framed(&nonce, &[probe::facts_question(), question.clone()]);
        let answer = session.run(&script, Entry::Root, Bounds::default()).await;
        session.close().await;
        let output = answer.map_err(|error| error.to_string())?;
        let facts = probe::read_facts(&nonce, &output).map_err(|unread| unread.to_string())?;
        if let Some(reason) = super::look::identity(job, &facts) {
            return Err(reason);
        }
        let frame = shell::frame(&output, &nonce, &question).map_err(|error| error.to_string())?;
        read(&String::from_utf8_lossy(&frame.stdout)).map(|standing| (facts, standing))
    }

    async fn order(&self, job: &Job) -> Result<(), String> {
        let session = self.connector.connect(&job.target).await.map_err(|error| error.to_string())?;
        let nonce = nonce();
        let question = order_question();
        let script = Script::new().framed(&nonce, std::slice::from_ref(&question));
        let answer = session.run(&script, Entry::Root, Bounds::default()).await;
        session.close().await;
        // a host that is quick takes the answer with it: then it is watched all the same
        let Ok(output) = answer else { return Ok(()) };
        match shell::frame(&output, &nonce, &question) {
            Ok(frame) if frame.stdout == b"ordered\n" => Ok(()),
            Ok(frame) => {
                let said = excerpt(String::from_utf8_lossy(&frame.stderr).trim(), 200);
                Err(format!("the reboot could not be ordered (exit {}): {said}", frame.status))
            }
            Err(_) => Ok(()),
        }
    }
}

/// Why a host must not be rebooted now.
fn refusal(facts: &Facts, root: Root, unlock: Option<&str>) -> Option<String> {
    if facts.uid != 0 {
        return Some("root is needed, and sudo does not give it".to_owned());
    }
    if let Some(tx) = &facts.pending {
        return Some(format!("a change is pending there ({tx}): a reboot would take it back"));
    }
    if root == Root::Encrypted && unlock.is_none() {
        return Some(
            "its root is encrypted, and how it is unlocked at boot is not declared: it might not come back"
                .to_owned(),
        );
    }
    None
}

fn judge(before: &Standing, now: &Standing, after: Duration) -> Rebooted {
    match &before.newest {
        Some(wanted) if now.running != *wanted => {
            Rebooted::Astray { reason: format!("it is back with the kernel {}, not {wanted}", now.running) }
        }
        _ => Rebooted::Back { kernel: now.running.clone(), after },
    }
}

fn read(text: &str) -> Result<Standing, String> {
    let word = |name: &str| {
        text.lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))
            .map(|word| excerpt(word, 100))
    };
    if !text.lines().any(|line| line == "whole") {
        return Err("the host does not say whether its root is encrypted".to_owned());
    }
    let root = match word("root").as_deref() {
        Some("plain") => Root::Plain,
        // What ZFS encrypts is not told apart here: a way of unlocking has to be declared.
        Some("encrypted" | "zfs") => Root::Encrypted,
        _ => return Err("the host does not say whether its root is encrypted".to_owned()),
    };
    let running = word("running").ok_or("the host does not say which kernel it runs")?;
    Ok(Standing { running, newest: word("newest"), root })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn standing(text: &str) -> Standing {
        read(text).unwrap()
    }

    #[test]
    fn a_kernel_that_was_installed_has_to_run_afterwards() {
        let before = standing("running 6.1.0-1\nnewest 6.1.0-2\nroot plain\nwhole\n");
        let same = standing("running 6.1.0-1\nnewest 6.1.0-2\nroot plain\nwhole\n");
        let newer = standing("running 6.1.0-2\nnewest 6.1.0-2\nroot plain\nwhole\n");
        let after = Duration::from_secs(1);
        assert!(matches!(judge(&before, &same, after), Rebooted::Astray { .. }));
        assert!(matches!(judge(&before, &newer, after), Rebooted::Back { .. }));
    }

    #[test]
    fn what_does_not_say_how_its_root_is_is_not_rebooted() {
        assert!(read("running 6.1.0-1\nwhole\n").is_err());
        assert!(read("running 6.1.0-1\nroot plain\n").is_err());
        assert!(read("root plain\nwhole\n").is_err());
        assert_eq!(standing("running 6.1.0-1\nroot zfs\nwhole\n").root, Root::Encrypted);
    }
}
