//! Exceptions: who accepts that a control does not hold on which hosts, why, and until when. YAML text → waivers, with
//! every refusal at once. It judges nothing: [`crate::plan`] does, and whether a waiver has run out is a verdict there.

use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use crate::domain::pattern::{COMMENT, LABEL};
use crate::domain::{Comment, ControlId, Environment, HostName, RoleName};
use crate::inventory::{Fleet, Host};
use crate::playbook::Playbook;
use crate::source::shape::{DATA, Field, Shape, Text, required};
use crate::source::{Document, Refusals, Report, Sources, Value};
use crate::text::{excerpt, nearest};

/// Where a project's waivers stand.
pub const WAIVERS_FILE: &str = "inventories/waivers.yaml";

/// `inventories/waivers.yaml`.
pub const WAIVERS: Shape = Shape::List { of: &Shape::Fields(WAIVER), least: 0 };

const WAIVER: &[Field] = &[
    required("control", Shape::Text(&LABEL), "From which control."),
    required(
        "hosts",
        Shape::OneOrMore { of: &Shape::Text(&SCOPE) },
        "Where it holds: hosts, role:NAME, environments, or all.",
    ),
    required("owner", Shape::Text(&COMMENT), "Who answers for it."),
    required("reason", Shape::Text(&REASON), "Why it is accepted, in one line."),
    required("expires", Shape::Day, "The last day on which it holds."),
];

const SCOPE: Text = Text {
    about: "all, an environment, role:NAME, or a host",
    pattern: "^(role:)?[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$",
    accepts: |text| text.strip_prefix("role:").unwrap_or(text).parse::<RoleName>().is_ok(),
    exact: true,
};

const REASON: Text = Text {
    about: "one line of at most 500 characters",
    pattern: r"^(?![\s\S]*(\{\{|\{%|\{#|\$\(|\$\{|`))\s*\S[^\n]{0,499}\s*$",
    accepts: |text| (DATA.accepts)(text) && is_reason(text),
    exact: false,
};

/// Most characters of a reason.
const LONGEST_REASON: usize = 500;

/// All waivers of a project.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[serde(transparent)]
pub struct Waivers(Vec<Waiver>);

/// One exception.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Waiver {
    /// From which control.
    pub control: ControlId,
    /// Where. A host is covered where any of them holds it.
    pub hosts: Vec<Scope>,
    /// Who answers for it.
    pub owner: Comment,
    /// Why it is accepted.
    pub reason: String,
    /// The last day on which it holds.
    pub expires: Date,
}

/// Where a waiver holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[serde(into = "String")]
pub enum Scope {
    /// On every host.
    All,
    /// On the hosts of an environment.
    Environment(Environment),
    /// On the hosts of a role.
    Role(RoleName),
    /// On one host.
    Host(HostName),
}

impl Scope {
    fn holds(&self, host: &Host) -> bool {
        match self {
            Self::All => true,
            Self::Environment(environment) => host.environment == *environment,
            Self::Role(role) => host.roles.contains(role),
            Self::Host(name) => host.name == *name,
        }
    }
}

impl From<Scope> for String {
    fn from(scope: Scope) -> Self {
        match scope {
            Scope::All => "all".to_owned(),
            Scope::Environment(environment) => environment.to_string(),
            Scope::Role(role) => format!("role:{role}"),
            Scope::Host(name) => name.to_string(),
        }
    }
}

/// A waiver, as it bears on one host on one day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema, Deserialize)]
pub struct Exception {
    /// Id of the control.
    pub control: ControlId,
    /// Person who answers for it.
    pub owner: Comment,
    /// Reason for which drift is accepted.
    pub reason: String,
    /// The last day on which it holds.
    pub expires: Date,
    /// True where that day is over: then it excepts from nothing, and fails by itself until it is renewed or removed.
    pub expired: bool,
}

impl Waivers {
    /// The waivers of `sources`, none where there is no file; or all that is wrong with them. Controls and hosts are
    /// looked up in `playbook` and `fleet`.
    pub fn parse(sources: &Sources, fleet: &Fleet, playbook: &Playbook) -> Result<Self, Refusals> {
        let Some(bytes) = sources.get(WAIVERS_FILE) else { return Ok(Self::default()) };
        let report = Report::new();
        let document = Document::read(WAIVERS_FILE, bytes, &report);
        let waivers = document.as_ref().and_then(|document| {
            let items = document.shaped(&WAIVERS, &report)?.list()?;
            let mut known: Vec<(Waiver, String)> = Vec::new();
            for item in items {
                item.refuse_syntax();
                let Some(waiver) = waiver(&item, fleet, playbook) else { continue };
                if let Some((host, place)) = overlap(&waiver, &known, fleet) {
                    item.refuse(
                        &format!("a second waiver of `{}` for {host}", waiver.control),
                        &format!("one stands in {place}: keep one of them"),
                    );
                }
                known.push((waiver, item.place()));
            }
            Some(Self(known.into_iter().map(|(waiver, _)| waiver).collect()))
        });
        report.finish(waivers)
    }

    /// Each, in the order of the file.
    pub fn iter(&self) -> impl Iterator<Item = &Waiver> {
        self.0.iter()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Those that bear on `host`, as they stand on `day`.
    pub fn on(&self, host: &Host, day: Date) -> Vec<Exception> {
        let here = self.0.iter().filter(|waiver| waiver.hosts.iter().any(|scope| scope.holds(host)));
        here.map(|waiver| Exception {
            control: waiver.control.clone(),
            owner: waiver.owner.clone(),
            reason: waiver.reason.clone(),
            expires: waiver.expires,
            expired: waiver.expires < day,
        })
        .collect()
    }
}

/// A host for which a known waiver of the same control stands already, and where that is.
fn overlap<'a>(
    waiver: &Waiver,
    known: &'a [(Waiver, String)],
    fleet: &'a Fleet,
) -> Option<(&'a HostName, &'a str)> {
    let holds = |waiver: &Waiver, host: &Host| waiver.hosts.iter().any(|scope| scope.holds(host));
    let mut hosts = fleet.environments.values().flat_map(|inventory| inventory.hosts.values());
    let others = || known.iter().filter(|(other, _)| other.control == waiver.control);
    hosts.find_map(|host| {
        let (_, place) = others().find(|(other, _)| holds(other, host) && holds(waiver, host))?;
        Some((&host.name, place.as_str()))
    })
}

fn waiver(value: &Value<'_>, fleet: &Fleet, playbook: &Playbook) -> Option<Waiver> {
    let map = value.map()?;
    let control = map.required("control").and_then(|value| control(&value, playbook));
    let hosts = map.required("hosts").and_then(|value| hosts(&value, fleet));
    let owner = map.required("owner").and_then(|value| value.parse::<Comment>());
    let reason = map.required("reason").and_then(|value| reason(&value));
    let expires = map.required("expires").and_then(|value| value.date());
    Some(Waiver { control: control?, hosts: hosts?, owner: owner?, reason: reason?, expires: expires? })
}

fn control(value: &Value<'_>, playbook: &Playbook) -> Option<ControlId> {
    let id = value.parse::<ControlId>()?;
    if playbook.control(&id).is_some() {
        return Some(id);
    }
    let known = || playbook.controls.iter().map(|control| control.id.as_str());
    value.refuse("there is no such control", &meant(id.as_str(), known()));
    None
}

/// `all`, or a list of environments, `role:NAME`s and hosts.
fn hosts(value: &Value<'_>, fleet: &Fleet) -> Option<Vec<Scope>> {
    if !value.is_list() {
        return scope(value, fleet).map(|scope| vec![scope]);
    }
    let items = value.list()?;
    if items.is_empty() {
        value.refuse("a waiver for no host", "name hosts, or remove the waiver");
    }
    let scopes: Vec<Option<Scope>> = items.iter().map(|item| scope(item, fleet)).collect();
    scopes.into_iter().collect()
}

fn scope(value: &Value<'_>, fleet: &Fleet) -> Option<Scope> {
    let text = value.text()?;
    if text == "all" {
        return Some(Scope::All);
    }
    let inventories = || fleet.environments.values();
    if let Some(inventory) = inventories().find(|inventory| inventory.environment.as_str() == text) {
        return Some(Scope::Environment(inventory.environment));
    }
    let roles = || inventories().flat_map(|inventory| inventory.roles.keys());
    if let Some(role) = text.strip_prefix("role:").and_then(|name| roles().find(|role| role.as_str() == name))
    {
        return Some(Scope::Role(role.clone()));
    }
    let names = || inventories().flat_map(|inventory| inventory.hosts.keys());
    if let Some(name) = names().find(|name| name.as_str() == text) {
        return Some(Scope::Host(name.clone()));
    }
    let known: Vec<String> = inventories()
        .map(|inventory| inventory.environment.to_string())
        .chain(roles().map(|role| format!("role:{role}")))
        .chain(names().map(ToString::to_string))
        .collect();
    value.refuse("no such host, role or environment", &meant(text, known.iter().map(String::as_str)));
    None
}

fn meant<'a>(text: &str, known: impl Iterator<Item = &'a str> + Clone) -> String {
    match nearest(text, known.clone()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("there is: {}", excerpt(&known.collect::<Vec<_>>().join(", "), 200)),
    }
}

/// Whether `text` is one line, and not too long.
fn is_reason(text: &str) -> bool {
    !text.trim().contains('\n') && text.trim().chars().count() <= LONGEST_REASON
}

/// One line of prose.
fn reason(value: &Value<'_>) -> Option<String> {
    let text = value.text()?.trim();
    if !is_reason(text) {
        let fix = format!("say it in one line of at most {LONGEST_REASON} characters");
        value.refuse("a reason that is no sentence", &fix);
        return None;
    }
    Some(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inventory::{self, example};
    use crate::playbook;

    fn parsed(text: &str) -> Result<(Waivers, Fleet), String> {
        let fleet = inventory::parse(&example()).unwrap();
        let playbook = playbook::parse(&Sources::new()).unwrap();
        let sources = Sources::new().with(WAIVERS_FILE, text);
        let waivers = Waivers::parse(&sources, &fleet, &playbook).map_err(|refusals| refusals.to_string())?;
        Ok((waivers, fleet))
    }

    fn covered(hosts: &str) -> Vec<String> {
        let text = format!(
            "- {{control: firewall, hosts: {hosts}, owner: Alice Martin, reason: a test, expires: 2026-12-31}}\n"
        );
        let (waivers, fleet) = parsed(&text).unwrap();
        let day = "2026-11-28".parse().unwrap();
        let hosts = fleet.environments.values().flat_map(|inventory| inventory.hosts.values());
        hosts.filter(|host| !waivers.on(host, day).is_empty()).map(|host| host.name.to_string()).collect()
    }

    #[test]
    fn a_waiver_covers_what_it_names_and_nothing_else() {
        assert_eq!(covered("[db-2]"), ["db-2"]);
        assert_eq!(covered("test"), ["test-db-1", "test-web-1"]);
        assert_eq!(covered("[\"role:web\", db-1]"), ["dev-web-1", "test-web-1", "db-1", "web-1"]);
        assert_eq!(covered("all").len(), 7);
    }

    #[test]
    fn a_waiver_holds_to_the_end_of_its_last_day() {
        let (waivers, fleet) = parsed(
            "- {control: firewall, hosts: [db-2], owner: Alice Martin, reason: a test, expires: 2026-12-31}\n",
        )
        .unwrap();
        let host = &fleet.environments[&Environment::Prod].hosts[&"db-2".parse().unwrap()];
        let expired = |day: &str| waivers.on(host, day.parse().unwrap())[0].expired;
        assert!(!expired("2026-12-31"));
        assert!(expired("2027-01-01"));
    }

    #[test]
    fn without_a_file_there_is_none() {
        let fleet = inventory::parse(&example()).unwrap();
        let playbook = playbook::parse(&Sources::new()).unwrap();
        assert!(Waivers::parse(&Sources::new(), &fleet, &playbook).unwrap().is_empty());
    }
}
