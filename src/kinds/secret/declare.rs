//! How a playbook declares the kind `secret`.

use serde::Serialize;

use super::{Held, Secret};
use crate::domain::pattern::{ACCOUNT, SECRET};
use crate::domain::{RemotePath, SecretName, UserName};
use crate::kinds::file::declare::unmanaged;
use crate::resource::{Declare, Unresolved};
use crate::scope::Scope;
use crate::source::Map;
use crate::source::shape::{Field, Shape, Text, optional, required};

/// A secret's file, as a playbook declares it. It names the secret, and cannot say where it is taken from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct SecretSpec {
    /// The file's path.
    pub path: RemotePath,
    /// The secret's name.
    pub name: SecretName,
    /// The account that may read it.
    pub owner: UserName,
}

/// What decides who gets in, or what runs as root: a plan shows all of such a file, and of a secret it shows nothing.
const SHOWN: [&str; 12] = [
    "/etc/ssh",
    "/etc/sudoers.d",
    "/etc/pam.d",
    "/etc/palisade",
    "/etc/systemd",
    "/etc/apt",
    "/etc/cron.d",
    "/etc/cron.daily",
    "/etc/cron.hourly",
    "/etc/cron.weekly",
    "/etc/cron.monthly",
    "/var/lib/palisade",
];

fn must_be_shown(path: &RemotePath) -> bool {
    let text = path.as_str();
    let files = ["/etc/sudoers", "/etc/sudo.conf", "/etc/crontab", "/etc/profile"];
    files.contains(&text) || text.contains("/.ssh/") || SHOWN.iter().any(|tree| path.is_below(tree))
}

const PLACE: Text = Text {
    about: "an absolute path, outside of /proc, /sys, /dev and /boot, and of what decides who gets in",
    pattern: r"^(?!/(proc|sys|dev|boot)(/|$))(?!/(etc/(ssh|sudoers\.d|pam\.d|palisade|systemd|apt|cron\.(d|hourly|daily|weekly|monthly))|var/lib/palisade)/)(?!/etc/(sudoers|sudo\.conf|crontab|profile|passwd|shadow|group|gshadow|subuid|subgid)$)(?!.*/\.ssh/)(/(?!\.{1,2}(/|$))[^/\u0000-\u001f\u007f-\u009f]+)+$",
    accepts: |text| {
        text.parse::<RemotePath>().is_ok_and(|path| unmanaged(&path).is_none() && !must_be_shown(&path))
    },
    exact: false,
};

impl Declare for Secret {
    type Spec = SecretSpec;

    const ABOUT: &'static str = "A file holds a secret, which only root or one account can read (mode 0600).";

    const FIELDS: &'static [Field] = &[
        required("path", Shape::Text(&PLACE), "Path of the file."),
        required("name", Shape::Text(&SECRET), "Name of the secret."),
        optional("owner", Shape::Text(&ACCOUNT), "Account that may read it; root where it is left out."),
    ];

    fn parse(map: &Map<'_>) -> Option<SecretSpec> {
        let path = map.required("path").and_then(|value| {
            let path: RemotePath = value.parse()?;
            if let Some((why, fix)) = unmanaged(&path) {
                value.refuse(&why, fix);
            } else if must_be_shown(&path) {
                value.refuse(
                    "a secret in the place of what decides who gets in, or what runs",
                    "declare it by its own kind or as a `file`, so that a plan shows what it holds",
                );
            }
            Some(path)
        });
        let name = map.required("name").and_then(|value| value.parse::<SecretName>());
        let owner =
            map.field("owner").map_or_else(|| Some(UserName::root()), |value| value.parse::<UserName>());
        Some(SecretSpec { path: path?, name: name?, owner: owner? })
    }

    fn resolve(spec: &SecretSpec, _scope: Option<&Scope<'_>>) -> Result<Vec<Self>, Unresolved> {
        let SecretSpec { path, name, owner } = spec.clone();
        Ok(vec![Self { path, name, owner, held: Held::default() }])
    }
}
