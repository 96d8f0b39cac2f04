//! Who may sign what of a release, for which environment, and where the signature lies.

use jiff::Timestamp;

use super::{DIRECTORY, Release};
use crate::domain::{Environment, PublicKey, ReleaseId, UserName};
use crate::inventory::{Fleet, Person};

/// What a signature of a release is for; it counts for nothing else. Whoever planned it signs it for dev.
pub fn namespace(environment: Environment) -> String {
    match environment {
        Environment::Dev => "palisade-release".to_owned(),
        _ => format!("palisade-release-{environment}"),
    }
}

/// The path of the signature of `id` for `environment`, within a project.
pub fn signature_path(id: &ReleaseId, environment: Environment) -> String {
    match environment {
        Environment::Dev => format!("{}.sig", Release::path(id)),
        _ => format!("{DIRECTORY}/{id}.{environment}.sig"),
    }
}

/// Accounts, each with its keys.
pub type Accounts = Vec<(UserName, Vec<PublicKey>)>;

/// Who may sign a release for `environment`: whoever has access to it at `now`, for prod an approver alone; and the machine
/// account of that environment, but for prod.
pub fn signers(fleet: &Fleet, environment: Environment, now: Timestamp) -> Accounts {
    let is_prod = environment == Environment::Prod;
    accounts(fleet, environment, now, |person| person.approver || !is_prod, !is_prod)
}

/// Who may record what was done in `environment`: whoever has access to it at `now`, and its machine account.
pub fn recorders(fleet: &Fleet, environment: Environment, now: Timestamp) -> Accounts {
    accounts(fleet, environment, now, |_| true, true)
}

fn accounts(
    fleet: &Fleet,
    environment: Environment,
    now: Timestamp,
    counts: impl Fn(&Person) -> bool,
    machine: bool,
) -> Accounts {
    let today = now.to_zoned(jiff::tz::TimeZone::UTC).date();
    let people =
        fleet.people.values().filter(|person| person.has_access(environment, today) && counts(person));
    let inventory = fleet.environments.get(&environment).filter(|_| machine);
    let machines = inventory.and_then(|inventory| inventory.automation.as_ref()).into_iter();
    people
        .map(|person| (person.user.clone(), person.keys.clone()))
        .chain(machines.map(|machine| (machine.user.clone(), machine.keys.clone())))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inventory::{example, parse};

    /// The accounts, in order, of the example fleet.
    fn names(accounts: Accounts) -> Vec<String> {
        let mut names: Vec<String> = accounts.into_iter().map(|(user, _)| user.to_string()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_release_for_prod_is_signed_by_an_approver_alone() {
        let fleet = parse(&example()).unwrap();
        let now: Timestamp = "2026-11-28T12:00:00Z".parse().unwrap();
        let today = now.to_zoned(jiff::tz::TimeZone::UTC).date();
        let people = |environment, approvers: bool| {
            let may = fleet
                .people
                .values()
                .filter(|person| person.has_access(environment, today) && (person.approver || !approvers));
            may.map(|person| person.user.to_string()).collect::<Vec<_>>()
        };
        let approvers = people(Environment::Prod, true);
        assert!(
            !approvers.is_empty() && approvers.len() < fleet.people.len(),
            "the example tells them apart"
        );
        assert_eq!(names(signers(&fleet, Environment::Prod, now)), approvers);
        let machine = fleet.environments[&Environment::Prod].automation.as_ref().unwrap().user.to_string();
        assert!(names(recorders(&fleet, Environment::Prod, now)).contains(&machine));
        for environment in [Environment::Dev, Environment::Test] {
            let automation = fleet.environments[&environment].automation.as_ref();
            let mut wanted = people(environment, false);
            wanted.extend(automation.map(|machine| machine.user.to_string()));
            wanted.sort();
            assert_eq!(names(signers(&fleet, environment, now)), wanted, "{environment}");
        }
    }

    #[test]
    fn a_signature_for_one_environment_is_none_for_another() {
        let all: std::collections::BTreeSet<String> = Environment::ALL.into_iter().map(namespace).collect();
        assert_eq!(all.len(), Environment::ALL.len());
        let id: ReleaseId = "2026-12-03".parse().unwrap();
        let paths: std::collections::BTreeSet<String> =
            Environment::ALL.into_iter().map(|environment| signature_path(&id, environment)).collect();
        assert_eq!(paths.len(), Environment::ALL.len());
    }
}
