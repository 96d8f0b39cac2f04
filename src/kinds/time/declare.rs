//! How a playbook declares the kind `time`.

use super::Time;
use crate::domain::Malformed;
use crate::resource::declare::says;
use crate::resource::{Declare, Unresolved};
use crate::scope::Scope;
use crate::source::shape::{Field, Shape, Text, optional, required};
use crate::source::{Map, Value};

impl Declare for Time {
    type Spec = Time;

    const ABOUT: &'static str = "The clock is synchronised.";

    const FIELDS: &'static [Field] = &[
        required("clock", Shape::Word(&["synchronised"]), "What it is."),
        optional(
            "servers",
            Shape::List { of: &Shape::Text(&SERVER), least: 1 },
            "The servers that may be asked; any, where it is left out.",
        ),
    ];

    fn waived_in_lab(machine: bool) -> Option<&'static str> {
        machine.then_some("no time server can be reached from a lab")
    }

    fn parse(map: &Map<'_>) -> Option<Time> {
        let clock = says(map, "clock", "synchronised");
        let servers = match map.field("servers") {
            Some(value) => servers(&value)?,
            None => Vec::new(),
        };
        clock.then_some(Self { servers })
    }

    fn resolve(spec: &Time, _scope: Option<&Scope<'_>>) -> Result<Vec<Self>, Unresolved> {
        Ok(vec![spec.clone()])
    }
}

const SERVER: Text = Text {
    about: "a name or address as the daemon has it: ntp.example.com",
    pattern: "^[A-Za-z0-9.:][A-Za-z0-9.:-]*$",
    accepts: is_server,
    exact: true,
};

/// Names and addresses, none of them empty.
fn servers(value: &Value<'_>) -> Option<Vec<String>> {
    let items = value.list()?;
    if items.is_empty() {
        value.refuse("no server", "name one, or leave `servers` out where any may be asked");
    }
    let server = |item: &Value<'_>| {
        let text = item.text()?;
        item.checked(is_server(text).then(|| text.to_owned()).ok_or_else(|| {
            Malformed::new(
                "not the name or address of a server",
                "write it as the daemon has it: ntp.example.com",
            )
        }))
    };
    let servers: Vec<Option<String>> = items.iter().map(server).collect();
    servers.into_iter().collect()
}

/// Whether `text` can be a time server's name or address.
fn is_server(text: &str) -> bool {
    !text.is_empty()
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b':'))
        && !text.starts_with('-')
}
