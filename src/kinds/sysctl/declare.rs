//! How a playbook declares the kind `sysctl`.

use std::collections::BTreeMap;

use super::{Accepted, FILE, Sysctl, check_reversible};
use crate::domain::pattern::{KERNEL_KEY, PATH};
use crate::domain::{KernelKey, Malformed, RemotePath};
use crate::resource::{Declare, Unresolved};
use crate::scope::Scope;
use crate::source::Map;
use crate::source::shape::{Field, Shape, Text, optional, required};

impl Declare for Sysctl {
    type Spec = Sysctl;

    const ABOUT: &'static str = "Kernel settings, now and after a boot.";

    const FIELDS: &'static [Field] = &[
        optional("file", Shape::Text(&PATH), "The file in /etc/sysctl.d that sets them at boot."),
        required(
            "settings",
            Shape::Names { names: &KERNEL_KEY, of: &Shape::Text(&ACCEPTED), least: 1, most: None },
            "What each may be.",
        ),
    ];

    fn parse(map: &Map<'_>) -> Option<Sysctl> {
        let file = match map.field("file") {
            None => FILE.parse().ok(),
            Some(value) => value.parse::<RemotePath>().and_then(|path| {
                let read =
                    path.parent() == "/etc/sysctl.d" && path.file_name().strip_suffix(".conf").is_some();
                value.checked(read.then_some(path).ok_or_else(|| {
                    Malformed::new(
                        "not a file that is read at boot for kernel settings",
                        format!("write one directly in /etc/sysctl.d that ends in .conf, such as {FILE}"),
                    )
                }))
            }),
        };
        let mut settings = BTreeMap::new();
        let mut sound = true;
        for (key, value) in map.required("settings")?.entries()? {
            let key = match key.parse::<KernelKey>() {
                Ok(key) => Some(key),
                Err(error) => {
                    value.refuse_key(&error.why, &error.fix);
                    None
                }
            };
            let accepted = value.parse::<Accepted>();
            match key.zip(accepted) {
                Some((key, accepted)) => {
                    sound &= value.checked(check_reversible(&key, &accepted)).is_some();
                    settings.insert(key, accepted);
                }
                None => sound = false,
            }
        }
        if settings.is_empty() && sound {
            map.value().refuse("no kernel setting", "add one below `settings:`");
            sound = false;
        }
        let file = file?;
        sound.then_some(Self { file, settings })
    }

    fn resolve(spec: &Sysctl, _scope: Option<&Scope<'_>>) -> Result<Vec<Self>, Unresolved> {
        Ok(vec![spec.clone()])
    }
}

const ACCEPTED: Text = Text {
    about: "what is set, and behind it what is accepted too: \"1\", \"2|1\", \"1|absent\"",
    pattern: r"^(?!\s*absent\s*(\||$))\s*[!-{}~]([ -{}~]*[!-{}~])?\s*(\|\s*[!-{}~]([ -{}~]*[!-{}~])?\s*)*$",
    accepts: |text| text.parse::<Accepted>().is_ok(),
    exact: true,
};
