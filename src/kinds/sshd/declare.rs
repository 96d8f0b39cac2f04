//! How a playbook declares the kind `sshd`.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use super::{Principal, Sshd};
use crate::domain::{Address, Malformed, Port};
use crate::kinds::authorized_keys::KEYS_FILE;
use crate::resource::declare::says;
use crate::resource::{Declare, Unresolved};
use crate::scope::Scope;
use crate::source::shape::{DATA, Field, Shape, Text, required};
use crate::source::{Map, Value};

impl Declare for Sshd {
    type Spec = BTreeMap<String, String>;

    const ABOUT: &'static str = "sshd's effective settings, for every declared account from every source.";

    const FIELDS: &'static [Field] = &[
        required("for_each", Shape::Word(&["principals"]), "For whom."),
        required(
            "settings",
            Shape::Names { names: &KEYWORD, of: &Shape::Text(&DATA), least: 0, most: None },
            "By keyword, in lower case, as `sshd -T` shows them.",
        ),
    ];

    fn decides_access(_settings: &BTreeMap<String, String>) -> bool {
        true
    }

    fn parse(map: &Map<'_>) -> Option<BTreeMap<String, String>> {
        let for_each = says(map, "for_each", "principals");
        let settings = settings(&map.required("settings")?)?;
        for_each.then_some(settings)
    }

    fn resolve(
        settings: &BTreeMap<String, String>,
        scope: Option<&Scope<'_>>,
    ) -> Result<Vec<Self>, Unresolved> {
        let Some(scope) = scope else {
            return Ok(vec![Self {
                principals: Vec::new(),
                settings: settings.clone(),
                host_address: Address::new(Ipv4Addr::LOCALHOST.into()),
                port: Port::SSH,
                allow_users: None,
                keys_file: None,
            }]);
        };
        let (inventory, host) = (scope.inputs.inventory, scope.inputs.host);
        let way =
            inventory.route(host).ok_or_else(|| Malformed::new("the host has no address", "declare one"))?;
        Ok(vec![Self {
            principals: scope
                .logins()
                .map(|principal| Principal {
                    user: principal.user.clone(),
                    sources: principal.sources.clone(),
                })
                .collect(),
            settings: settings.clone(),
            host_address: way.address,
            port: host.ssh_port,
            allow_users: Some(scope.logins().map(|principal| principal.user.clone()).collect()),
            keys_file: Some(KEYS_FILE.parse()?),
        }])
    }
}

const KEYWORD: Text = Text {
    about: "a keyword in lower case",
    pattern: "^[a-z0-9]*$",
    accepts: |text| text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()),
    exact: true,
};

fn settings(value: &Value<'_>) -> Option<BTreeMap<String, String>> {
    let mut settings = BTreeMap::new();
    let mut sound = true;
    for (keyword, value) in value.entries()? {
        if !keyword.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()) {
            value.refuse_key("not a keyword of sshd_config in lower case", "write it as `sshd -T` shows it");
            sound = false;
        }
        match value.text() {
            Some(text) if text.contains('\n') => {
                value.refuse("a setting of several lines", "write one line");
                sound = false;
            }
            Some(text) => {
                settings.insert(keyword, text.to_owned());
            }
            None => sound = false,
        }
    }
    sound.then_some(settings)
}
