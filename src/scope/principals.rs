//! Who may enter a host, from where: people with access today, the machine account, service
//! accounts. What they may do there is the kinds' business.

use jiff::civil::Date;
use serde::Serialize;

use super::management::{ScopeError, jump_addresses};
use crate::domain::{Address, Cidr, Comment, PublicKey, RemotePath, UserName};
use crate::inventory::{EnvironmentInventory, Fleet, Host};

/// One account that is declared on a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// Its name.
    pub user: UserName,
    /// What it is.
    pub class: Class,
    /// Its comment field.
    pub comment: Comment,
    /// Its shell.
    pub shell: RemotePath,
    /// The keys that open it; empty where nobody logs in.
    pub keys: Vec<PublicKey>,
    /// From where it may come: first addresses of its sources, and the jump host.
    pub sources: Vec<Address>,
    /// The commands that it may run as root; none for everything.
    pub sudo: Option<Vec<String>>,
}

/// What an account is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Class {
    /// A person's.
    Person,
    /// CI's.
    Automation,
    /// A service's.
    Service,
}

/// Every declared account of `host` on `day`, people first.
pub fn principals(
    fleet: &Fleet,
    inventory: &EnvironmentInventory,
    host: &Host,
    day: Date,
) -> Result<Vec<Principal>, ScopeError> {
    let jump = jump_addresses(inventory, host)?;
    let shell = RemotePath::bash();
    let sources = |from: &[Cidr]| -> Vec<Address> {
        from.iter()
            .map(Cidr::first)
            .filter(|address| reaches(host, *address))
            .chain(jump.iter().copied())
            .collect()
    };
    let people =
        fleet.people.values().filter(|person| person.has_access(inventory.environment, day)).map(|person| {
            let comment = format!("{} ({})", person.name, person.title);
            Principal {
                user: person.user.clone(),
                class: Class::Person,
                comment: comment.parse().unwrap_or_else(|_| person.name.clone()),
                shell: shell.clone(),
                keys: person.keys.clone(),
                sources: sources(&inventory.admin),
                sudo: None,
            }
        });
    let automation = inventory.automation.iter().filter_map(|automation| {
        Some(Principal {
            user: automation.user.clone(),
            class: Class::Automation,
            comment: format!("automation of {}", inventory.environment).parse().ok()?,
            shell: shell.clone(),
            keys: automation.keys.clone(),
            sources: sources(&automation.from),
            sudo: None,
        })
    });
    let accounts = inventory
        .accounts
        .values()
        .filter(|account| account.roles.is_empty() || !account.roles.is_disjoint(&host.roles))
        .map(|account| Principal {
            user: account.user.clone(),
            class: Class::Service,
            comment: account.purpose.clone(),
            shell: account.shell.clone(),
            keys: account.keys.clone(),
            sources: sources(&inventory.admin),
            sudo: Some(account.sudo.clone()),
        });
    Ok(people.chain(automation).chain(accounts).collect())
}

/// Whether `host` has an address of the family of `source`.
fn reaches(host: &Host, source: Address) -> bool {
    host.addresses().any(|address| address.family() == source.family())
}
