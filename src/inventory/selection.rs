//! Which hosts a run is about: `--limit web-1,db-*,role:web`. Every part must find something: a selection that quietly
//! leaves out what it was meant for is the most dangerous habit of this trade.

use super::{EnvironmentInventory, Host};
use crate::text::{excerpt, glob, nearest};

/// Why a selection was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{part}` selects no host of {environment}; {fix}")]
pub struct NothingSelected {
    /// The part of the pattern.
    pub part: String,
    /// The environment.
    pub environment: crate::domain::Environment,
    /// What may have been meant.
    pub fix: String,
}

/// The hosts of `inventory` that `pattern` selects, in order of their names; all of them where there is no pattern.
/// Parts are separated by commas: a host's name, a glob over names (`*`, `?`), or `role:NAME`.
pub fn select<'e>(
    inventory: &'e EnvironmentInventory,
    pattern: Option<&str>,
) -> Result<Vec<&'e Host>, NothingSelected> {
    let Some(pattern) = pattern else { return Ok(inventory.hosts.values().collect()) };
    let mut selected: Vec<&Host> = Vec::new();
    for part in pattern.split(',').map(str::trim) {
        let found: Vec<&Host> = inventory.hosts.values().filter(|host| part_selects(part, host)).collect();
        if found.is_empty() {
            return Err(nothing(part, inventory));
        }
        selected.extend(found);
    }
    selected.sort_by(|a, b| a.name.cmp(&b.name));
    selected.dedup_by(|a, b| a.name == b.name);
    Ok(selected)
}

fn part_selects(part: &str, host: &Host) -> bool {
    match part.strip_prefix("role:") {
        Some(role) => host.roles.iter().any(|own| glob(role, own.as_str())),
        None => glob(part, host.name.as_str()),
    }
}

fn nothing(part: &str, inventory: &EnvironmentInventory) -> NothingSelected {
    let names = || inventory.hosts.keys().map(crate::domain::HostName::as_str);
    let roles: Vec<String> = inventory.roles.keys().map(|role| format!("role:{role}")).collect();
    let fix = match nearest(part, names().chain(roles.iter().map(String::as_str))) {
        Some(near) => format!("did you mean `{near}`?"),
        None if part == "all" => "leave --limit out for all of them".to_owned(),
        None => format!("there is: {}", names().collect::<Vec<_>>().join(", ")),
    };
    NothingSelected { part: excerpt(part, 60), environment: inventory.environment, fix }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Environment;

    fn names(pattern: Option<&str>) -> Result<Vec<String>, String> {
        let fleet = crate::inventory::parse(&crate::inventory::example()).unwrap();
        let inventory = &fleet.environments[&Environment::Prod];
        let found = select(inventory, pattern).map_err(|error| error.to_string())?;
        Ok(found.into_iter().map(|host| host.name.to_string()).collect())
    }

    #[test]
    fn parts_add_up_and_each_host_comes_once() {
        assert_eq!(names(None).unwrap(), ["db-1", "db-2", "web-1"]);
        assert_eq!(names(Some("web-1, db-?")).unwrap(), ["db-1", "db-2", "web-1"]);
        assert_eq!(names(Some("role:database,*-1")).unwrap(), ["db-1", "web-1"]);
    }

    #[test]
    fn what_finds_nothing_is_refused_even_beside_what_does() {
        assert_eq!(
            names(Some("web-1,dv-1")).unwrap_err(),
            "`dv-1` selects no host of prod; did you mean `db-1`?"
        );
        assert_eq!(
            names(Some("role:wbe")).unwrap_err(),
            "`role:wbe` selects no host of prod; did you mean `role:web`?"
        );
        for nothing in ["", ",", "all", "x*", "role:", "web-1,,db-1"] {
            assert!(names(Some(nothing)).is_err(), "{nothing}");
        }
    }
}
