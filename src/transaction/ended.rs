//! What ended on a host with the access to it, as the host says and as people are told.

use serde::{Deserialize, Serialize};

use crate::domain::FoundName;
use crate::text::visible;

/// What ended on a host with the access to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema, Deserialize)]
#[serde(tag = "what", rename_all = "kebab-case")]
pub enum Ended {
    /// Of an account that was closed.
    Account {
        /// The account.
        user: FoundName,
        /// Number of its processes that ended, those of its sessions included.
        processes: u32,
        /// Number of its processes that are still there, though they were killed.
        left: u32,
        /// Services of the system that run as the account, and go on.
        services: Vec<String>,
    },
    /// Of a listener that is no longer let in.
    Connections {
        /// Its TCP port.
        port: u16,
        /// Number of connections that were ended.
        ended: u32,
        /// Number of connections that stand: the kernel ends none.
        left: u32,
    },
}

impl Ended {
    /// The words of the host's answer; none where nothing of the account ran.
    pub(super) fn read(user: &FoundName, words: &[String]) -> Option<Self> {
        let [processes, left, services] = words else { return None };
        let (processes, left) = (processes.parse().ok()?, left.parse().ok()?);
        let services: Vec<String> = services.split(',').filter(|one| *one != "-").map(visible).collect();
        let any = processes > 0 || left > 0 || !services.is_empty();
        any.then(|| Self::Account { user: user.clone(), processes, left, services })
    }

    /// For people, each in a few words.
    pub fn told(&self) -> Vec<String> {
        let count = |number: u32, one: &str, more: &str| {
            if number == 1 { format!("1 {one}") } else { format!("{number} {more}") }
        };
        let mut told = Vec::new();
        match self {
            Self::Account { user, processes, left, services } => {
                let count = |number| count(number, "process", "processes");
                if *processes > 0 {
                    told.push(format!("{} of {user}", count(*processes)));
                }
                if *left > 0 {
                    told.push(format!("not {} of {user}, which could not be ended", count(*left)));
                }
                if !services.is_empty() {
                    let services = services.join(", ");
                    told.push(format!(
                        "not {services}, which runs as {user}: stop it by hand if it must not"
                    ));
                }
            }
            Self::Connections { port, ended, left } => {
                let count = |number| count(number, "connection", "connections");
                if *ended > 0 {
                    told.push(format!("{} to tcp port {port}", count(*ended)));
                }
                if *left > 0 {
                    let left = count(*left);
                    told.push(format!("not {left} to tcp port {port}: stop what listens there, or reboot"));
                }
            }
        }
        told
    }
}
