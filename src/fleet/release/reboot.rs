//! Rebooting a host, so that it counts only when it is seen: another boot id, and a fresh login with sudo. It waits in bounded
//! time; what may be rebooted is for [`crate::rollout::reboot`] to say.

use std::time::Duration;

use crate::event::Event;
use crate::fleet::{Job, Run, instant, nonce};
use crate::probe::{self, Facts};
use crate::rollout::reboot::{self, BootState, Rebooted};
use crate::shell::{self, Script};
use crate::text::excerpt;
use crate::transport::{Bounds, Entry, Target};

/// Between two attempts to log in.
const PAUSE: Duration = Duration::from_secs(2);

/// For one attempt: a host that boots answers nothing at all for a while.
const ATTEMPT: Duration = Duration::from_secs(10);

impl Run {
    /// Reboots the host of `job` and watches it for at most `within`, and one attempt to log in (10 s). Where somebody has
    /// to unlock its root meanwhile, `within` is their time too. What the host's controls say afterwards is for another
    /// look.
    pub async fn reboot(&self, job: &Job, within: Duration) -> Rebooted {
        let host = &job.desired.host;
        let (before, standing) = match self.standing(job, &job.target).await {
            Ok(both) => both,
            Err(reason) => return Rebooted::Refused { reason },
        };
        if let Some(reason) = reboot::refusal(&before, &standing, job.unlock) {
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
                let waits = reboot::waits_for(&standing, job.unlock)
                    .map(|what| format!(" (it waits until {what})"))
                    .unwrap_or_default();
                let reason =
                    format!("{host} was told to reboot and is not back after {seconds} s{waits}: {last}");
                return Rebooted::Lost { reason };
            }
            self.emit(Event::Waiting { host: host.clone(), seconds_left: left.as_secs() });
            let asked = tokio::time::timeout(left.max(ATTEMPT), self.standing(job, &attempt)).await;
            match asked {
                Ok(Ok((facts, now))) if facts.boot_id != before.boot_id => {
                    return reboot::judge(&standing, &now, begun.elapsed());
                }
                Ok(Ok(_)) => "it is still in the boot that it was in".clone_into(&mut last),
                Ok(Err(why)) => last = why,
                Err(_) => "it does not answer".clone_into(&mut last),
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Over a connection of its own, as root: what the host says of itself, of its kernels and its root.
    async fn standing(&self, job: &Job, target: &Target) -> Result<(Facts, BootState), String> {
        let session = self.connector.connect(target).await.map_err(|error| error.to_string())?;
        let nonce = nonce();
        let question = reboot::question();
        let script = Script::new().framed(&nonce, &[probe::facts_question(), question.clone()]);
        let answer = session.run(&script, Entry::Root, Bounds::default()).await;
        session.close().await;
        let output = answer.map_err(|error| error.to_string())?;
        let facts = probe::read_facts(&nonce, &output).map_err(|unread| unread.to_string())?;
        if let Some(reason) = job.identity_mismatch(&facts) {
            return Err(reason);
        }
        let frame = shell::frame(&output, &nonce, &question).map_err(|error| error.to_string())?;
        reboot::read(&String::from_utf8_lossy(&frame.stdout)).map(|standing| (facts, standing))
    }

    async fn order(&self, job: &Job) -> Result<(), String> {
        let session = self.connector.connect(&job.target).await.map_err(|error| error.to_string())?;
        let nonce = nonce();
        let question = reboot::order_question();
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
