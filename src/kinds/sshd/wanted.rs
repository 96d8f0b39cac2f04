//! How sshd shall be set, as a value.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::domain::{Address, Port, RemotePath, UserName};

/// The drop-in with the final settings.
pub const FINAL: &str = "/etc/ssh/sshd_config.d/00-palisade.conf";

/// The drop-in that stands for the time of a change. It sorts before [`FINAL`].
pub const WIDEN: &str = "/etc/ssh/sshd_config.d/00-palisade-widen.conf";

/// How sshd shall be set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sshd {
    /// Accounts that must be able to log in, with their sources. Effective settings are asked for each of them.
    pub principals: Vec<Principal>,
    /// Keywords in lower case, with their values as `sshd -T` writes them. In a list of algorithms, names that the
    /// host's sshd is too old for are left out.
    pub settings: BTreeMap<String, String>,
    /// The host's own address, which `Match LocalAddress` is about.
    pub host_address: Address,
    /// The port that sshd listens on, which `Match LocalPort` is about.
    pub port: Port,
    /// Exactly the accounts that may log in; none where no inventory says who.
    #[serde(default)]
    pub allow_users: Option<Vec<UserName>>,
    /// Exactly where sshd looks for keys; `%u` stands for the account. None where no inventory says whose.
    #[serde(default)]
    pub keys_file: Option<RemotePath>,
}

/// An account and the addresses that it comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Principal {
    /// The account.
    pub user: UserName,
    /// Sources of the account: one address of each of its networks.
    pub sources: Vec<Address>,
}
