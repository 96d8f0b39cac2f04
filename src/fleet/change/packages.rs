//! Installing what the controls need: by a unit of its own on the host, which goes on when the connection is lost.

use std::time::Duration;

use crate::domain::{PackageName, TxId};
use crate::fleet::{Run, nonce};
use crate::resource::{Change, Step};
use crate::shell::{Arg, Script};
use crate::text::excerpt;
use crate::transport::{Bounds, Entry, Session};

const INSTALL: &str = include_str!("packages.sh");

impl Run {
    /// Installs the packages of `steps`. Forward only. `Err` says what failed.
    pub(in crate::fleet) async fn install(
        &self,
        session: &dyn Session,
        id: &TxId,
        steps: &[Step],
    ) -> Result<(), String> {
        let names: Vec<&PackageName> = steps
            .iter()
            .filter_map(|step| match &step.change {
                Change::Package { name } => Some(name),
                _ => None,
            })
            .collect();
        let nonce = nonce();
        let script = Script::new()
            .set("palisade_nonce", nonce.as_arg())
            .set("palisade_id", Arg::from(id))
            .text(INSTALL)
            .call("palisade_install", names.into_iter().map(Arg::from));
        let bounds = Bounds { deadline: Duration::from_mins(11), bytes: 1 << 20 };
        let output = session.run(&script, Entry::Root, bounds).await.map_err(|error| error.to_string())?;
        let text = String::from_utf8_lossy(&output.stdout);
        let word = |name: &str| {
            text.lines()
                .filter_map(|line| line.strip_prefix(nonce.as_str())?.strip_prefix(' ')?.strip_prefix(name))
                .map(|rest| excerpt(rest, 200))
                .next()
        };
        match word("apt ").as_deref() {
            Some("0") => {}
            Some(other) => {
                let said = word("said ").map_or_else(String::new, |said| format!(": {said}"));
                return Err(match other {
                    "slow" => {
                        "apt did not finish within 10 minutes; it goes on by itself on the host".to_owned()
                    }
                    "died" => format!("apt's unit ended without a result{said}"),
                    "start-failed" => "apt's unit could not be started".to_owned(),
                    status => format!("apt-get failed (exit {status}){said}"),
                });
            }
            None => return Err("the host did not say how apt ended".to_owned()),
        }
        match word("audit ").as_deref() {
            Some("") => Ok(()),
            Some(complaint) => Err(format!("after the installation dpkg --audit says: {complaint}")),
            None => Err("the host did not say whether dpkg is in order".to_owned()),
        }
    }
}
