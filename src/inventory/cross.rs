//! What only several parts of an inventory show together: a host twice, a port twice, a jump in a circle, three people
//! at one time. Everything here is wrong whatever the day is; what depends on the day is a verdict, later.

use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::Date;

use super::environment::Draft;
use super::hosts::DraftHost;
use super::people::Shared;
use super::roles::{DraftListener, PUBLISH_OTHERWISE};
use super::{From, Host, LabMarker};
use crate::domain::{Address, Cidr, Environment, HostName, Protocol, RoleName};
use crate::source::{Report, Value};
use crate::text::nearest;

/// Shortest rollback timeout outside a lab, in seconds.
const SHORTEST_ROLLBACK: u64 = 60;

/// Compares everything with everything.
pub(super) fn check(shared: &Shared<'_>, drafts: &[Draft<'_>], lab: Option<&LabMarker>, report: &Report) {
    if drafts.is_empty() {
        report.whole("inventories", "no environment", "add dev.yaml, test.yaml or prod.yaml");
    }
    check_people(shared, drafts);
    check_keys(shared, drafts);
    check_accounts(shared, drafts);
    check_hosts(drafts);
    for draft in drafts {
        check_roles(draft);
        check_ports(draft);
        check_gateways(draft);
        check_sources(draft);
        check_ways(draft);
        check_management(draft);
        check_replicas(draft);
    }
    check_rollback(shared, drafts, lab);
}

fn check_people(shared: &Shared<'_>, drafts: &[Draft<'_>]) {
    let Some(at) = &shared.people_at else { return };
    for draft in drafts {
        let environment = draft.inventory.environment;
        if !shared.people.iter().any(|person| person.it.access.contains(&environment)) {
            at.refuse_key(
                &format!("nobody has access to {environment}"),
                &format!("add {environment} to someone's `access`"),
            );
        }
        if environment == Environment::Prod && !shared.people.iter().any(|person| person.it.approver) {
            at.refuse_key(
                "nobody approves what goes to production",
                "add `approver: true` to the person who reviews it",
            );
        }
    }
    let with_access: Vec<_> = shared.people.iter().filter(|person| !person.it.access.is_empty()).collect();
    let most = usize::try_from(shared.fleet.limits.people).unwrap_or(usize::MAX);
    // The most people at one time is reached on some first day.
    for newcomer in &with_access {
        let day = newcomer.it.since.unwrap_or(Date::MIN);
        let there: Vec<&str> = with_access
            .iter()
            .filter(|person| person.it.since.is_none_or(|since| since <= day))
            .filter(|person| person.it.until.is_none_or(|until| day <= until))
            .map(|person| person.it.user.as_str())
            .collect();
        if there.len() > most {
            let when = newcomer.it.since.map_or_else(String::new, |since| format!(" on {since}"));
            let why =
                format!("{} people with server access at one time{when}: {}", there.len(), there.join(", "));
            let fix = format!(
                "at most {most} are promised: end someone's access with `until: DAY`, or begin another's later with `since: DAY`"
            );
            newcomer.at.refuse_key(&why, &fix);
            return;
        }
    }
}

fn check_keys(shared: &Shared<'_>, drafts: &[Draft<'_>]) {
    let people = shared.keys.iter().map(|(user, key)| (user, None, key));
    let others = drafts.iter().flat_map(|draft| {
        draft.keys.iter().map(|(user, key)| (user, Some(draft.inventory.environment), key))
    });
    let all: Vec<_> = people.chain(others).collect();
    for (index, (user, environment, key)) in all.iter().enumerate() {
        let earlier = all.iter().take(index).find(|(other, elsewhere, first)| {
            first.it == key.it && (other != user || elsewhere != environment)
        });
        if let Some((other, elsewhere, first)) = earlier {
            let whose = match elsewhere {
                Some(elsewhere) => format!("{other} in {elsewhere}"),
                None => other.to_string(),
            };
            let why = format!("the key of {whose} too ({})", first.at.place());
            key.at
                .refuse(&why, "give each account, and each environment's machine account, a key of its own");
        }
    }
}

fn check_accounts(shared: &Shared<'_>, drafts: &[Draft<'_>]) {
    for draft in drafts {
        for account in draft.automation.iter().chain(&draft.accounts) {
            if let Some(person) = shared.people.iter().find(|person| person.it.user == account.it) {
                account.at.refuse_key(
                    &format!("called like a person ({})", person.at.place()),
                    "give it another name",
                );
            }
        }
        for account in &draft.accounts {
            if draft.automation.as_ref().is_some_and(|automation| automation.it == account.it) {
                account.at.refuse_key("called like the automation account", "give it another name");
            }
        }
        for (user, account) in &draft.inventory.accounts {
            for role in
                account.roles.iter().filter(|role| !draft.role_names.iter().any(|name| name == role.as_str()))
            {
                if let Some(found) = draft.accounts.iter().find(|found| found.it == *user) {
                    found.at.refuse_key(
                        &format!("no role is called `{role}`"),
                        &suggestion(role.as_str(), &draft.role_names, "role"),
                    );
                }
            }
        }
    }
}

fn check_hosts(drafts: &[Draft<'_>]) {
    let mut names: BTreeMap<&HostName, &DraftHost<'_>> = BTreeMap::new();
    let mut owners: BTreeMap<Address, &DraftHost<'_>> = BTreeMap::new();
    for draft in drafts.iter().flat_map(|draft| &draft.hosts) {
        if let Some(first) = names.insert(&draft.host.name, draft) {
            let why = format!(
                "a host of this name is in {} already ({})",
                first.host.environment,
                first.at.place()
            );
            draft.at.refuse_key(&why, "environments share no host: give it another name");
        }
        for address in &draft.addresses {
            let Some(other) = owners.insert(address.it, draft) else { continue };
            if std::ptr::eq(other, draft) {
                address.at.refuse("the same address twice", "keep one");
            } else {
                let Host { name, environment, .. } = &other.host;
                let why = format!("the address of {name} in {environment} ({})", other.at.place());
                let fix = "one address is one host's, in one environment: correct one of the two";
                address.at.refuse(&why, fix);
            }
        }
    }
}

fn check_roles(draft: &Draft<'_>) {
    for host in &draft.hosts {
        for role in &host.roles {
            if !draft.role_names.iter().any(|name| name == role.it.as_str()) {
                role.at.refuse("no such role", &suggestion(role.it.as_str(), &draft.role_names, "role"));
            }
        }
        let known = |role: &&RoleName| draft.inventory.roles.get(*role);
        let never = host.host.roles.iter().find(|role| known(role).is_some_and(|role| role.internet_never));
        let open = host.host.roles.iter().find(|role| {
            known(role)
                .is_some_and(|role| role.listeners.iter().any(|listener| listener.from == From::Internet))
        });
        if let (Some(never), Some(open)) = (never, open)
            && never != open
        {
            let why =
                format!("`{never}` must never be reached from the internet, and `{open}` is open to it");
            host.at.refuse_key(&why, "put the two roles on two hosts");
        }
        let published = draft.listeners.iter().filter(|drafted| {
            drafted.listener.container
                && host.host.roles.contains(&drafted.role)
                && never.is_some_and(|never| *never != drafted.role)
        });
        for drafted in published {
            drafted.at.refuse(
                &format!(
                    "a container's port on {}, whose role `{}` the internet must never reach",
                    host.host.name,
                    never.map_or("", RoleName::as_str)
                ),
                PUBLISH_OTHERWISE,
            );
        }
        if let (Some(never), Some(at)) =
            (never, draft.ssh_at.as_ref().filter(|_| draft.inventory.ssh_from == From::Internet))
        {
            at.refuse(
                &format!("opens SSH of `{}` ({never}) to the internet", host.host.name),
                "write `from: admin`",
            );
        }
        for address in &host.addresses {
            let private = host.host.private.contains(&address.it);
            if private
                && draft.networks_known
                && !draft.inventory.private.iter().any(|network| network.contains(address.it))
            {
                address.at.refuse(
                    "in none of the private networks",
                    "add its network to `networks.private`, or move it to `public`",
                );
            }
        }
    }
}

/// A host of ours passes nothing on: its forward chain drops.
fn check_gateways(draft: &Draft<'_>) {
    for gateway in &draft.gateways {
        let host = draft.hosts.iter().find(|host| host.host.addresses().any(|address| address == gateway.it));
        if let Some(host) = host {
            gateway.at.refuse(
                &format!("is an address of {}, whose firewall passes nothing on", host.host.name),
                "name a router that is no host of this fleet, or leave it out",
            );
        }
    }
}

fn check_ports(draft: &Draft<'_>) {
    for host in &draft.hosts {
        let mut seen: Vec<&DraftListener<'_>> = Vec::new();
        for drafted in draft.listeners.iter().filter(|drafted| host.host.roles.contains(&drafted.role)) {
            let (port, protocol) = (drafted.listener.port, drafted.listener.protocol);
            if port == host.host.ssh_port && protocol == Protocol::Tcp {
                let why = format!("{}'s sshd listens there", host.host.name);
                let fix = "leave it out: SSH is a listener of every host, see `ssh: {from: …}`";
                drafted.port_at.refuse(&why, fix);
            }
            let same = |other: &&&DraftListener<'_>| {
                other.listener.port == port && other.listener.protocol == protocol
            };
            if let Some(first) = seen.iter().find(same) {
                let (name, role) = (&first.listener.name, &first.role);
                let why = format!(
                    "`{name}` of role {role} has port {port} on {} too ({})",
                    host.host.name,
                    first.at.place()
                );
                drafted.port_at.refuse(&why, "two listeners cannot share a port: correct one");
            }
            seen.push(drafted);
        }
    }
}

fn check_sources(draft: &Draft<'_>) {
    let sources =
        draft.listeners.iter().map(|drafted| (Some(&drafted.role), &drafted.listener.from, &drafted.from_at));
    let ssh = draft.ssh_at.iter().map(|at| (None, &draft.inventory.ssh_from, at));
    for (role, from, at) in sources.chain(ssh) {
        match from {
            From::Role(source) => check_source(draft, role, source, at),
            From::Private if draft.inventory.private.is_empty() && draft.networks_known => {
                at.refuse(
                    "there is no private network",
                    "declare `networks.private`, or choose another source",
                );
            }
            _ => {}
        }
    }
}

/// A listener of `role`, or SSH of all hosts, from the role `source`.
fn check_source(draft: &Draft<'_>, role: Option<&RoleName>, source: &RoleName, at: &Value<'_>) {
    if !draft.role_names.iter().any(|name| name == source.as_str()) {
        at.refuse("no such role", &suggestion(source.as_str(), &draft.role_names, "role"));
        return;
    }
    let clients: Vec<_> = draft.hosts.iter().filter(|host| host.host.roles.contains(source)).collect();
    if clients.is_empty() && draft.hosts.len() == draft.host_names.len() {
        at.refuse("no host has this role", "give a host the role, or take the listener out");
    }
    let servers = draft.hosts.iter().filter(|host| role.is_none_or(|role| host.host.roles.contains(role)));
    let apart = servers
        .flat_map(|server| clients.iter().map(move |client| (server, *client)))
        .find(|(server, client)| server.host.name != client.host.name && are_apart(server, client, draft));
    if let Some((server, client)) = apart {
        let why = format!("{} and {} share no private network", server.host.name, client.host.name);
        at.refuse(&why, "give both an address in one of `networks.private`");
    }
}

/// Whether the two hosts share no private network. Not, while something about their addresses was refused.
fn are_apart(one: &DraftHost<'_>, other: &DraftHost<'_>, draft: &Draft<'_>) -> bool {
    let inside = |host: &DraftHost<'_>, network: &Cidr| {
        host.host.private.iter().any(|address| network.contains(*address))
    };
    draft.networks_known
        && one.addresses_known
        && other.addresses_known
        && !draft.inventory.private.iter().any(|network| inside(one, network) && inside(other, network))
}

/// A host that is reached directly needs an address of a family that somebody who manages it has too: else its firewall
/// would let nobody in.
fn check_management(draft: &Draft<'_>) {
    let inventory = &draft.inventory;
    let sources: Vec<&Cidr> = inventory
        .admin
        .iter()
        .chain(inventory.automation.iter().flat_map(|automation| &automation.from))
        .collect();
    if sources.is_empty() {
        return; // refused already
    }
    for host in draft.hosts.iter().filter(|host| host.host.jump.is_none() && host.addresses_known) {
        let met = |address: Address| sources.iter().any(|source| source.family() == address.family());
        if !host.host.addresses().any(met) {
            host.at.refuse_key(
                "no admin address is of the family of its addresses: its firewall would not let SSH in",
                "add an admin address of that family, give the host another address, or a `jump`",
            );
        }
    }
}

fn check_ways(draft: &Draft<'_>) {
    let find = |name: &HostName| draft.hosts.iter().find(|host| host.host.name == *name);
    for host in &draft.hosts {
        let (Some(jump), Some(at)) = (&host.host.jump, &host.jump_at) else { continue };
        let Some(way) = find(jump) else {
            if !draft.host_names.iter().any(|name| name == jump.as_str()) {
                at.refuse(
                    "no such host in this environment",
                    &suggestion(jump.as_str(), &draft.host_names, "host"),
                );
            }
            continue;
        };
        let mut seen = BTreeSet::from([&host.host.name]);
        let mut next = Some(jump);
        while let Some(name) = next {
            if !seen.insert(name) {
                at.refuse(
                    "the way to this host goes in a circle",
                    "let one host of the circle be reached directly",
                );
                break;
            }
            next = find(name).and_then(|host| host.host.jump.as_ref());
        }
        if way.host.name != host.host.name && are_apart(host, way, draft) {
            at.refuse(
                &format!("{} and {jump} share no private network", host.host.name),
                "give both an address in one of `networks.private`",
            );
        }
    }
}

fn check_replicas(draft: &Draft<'_>) {
    for host in &draft.hosts {
        let (Some(primary), Some(at)) = (&host.host.replica_of, &host.replica_at) else { continue };
        if *primary == host.host.name {
            at.refuse("a host that replicates itself", "name the primary");
            continue;
        }
        let Some(other) = draft.hosts.iter().find(|other| other.host.name == *primary) else {
            if !draft.host_names.iter().any(|name| name == primary.as_str()) {
                at.refuse(
                    "no such host in this environment",
                    &suggestion(primary.as_str(), &draft.host_names, "host"),
                );
            }
            continue;
        };
        if other.host.replica_of.is_some() {
            at.refuse(&format!("{primary} is a replica itself"), "name the primary");
        }
        let same = other.host.provider == host.host.provider && other.host.datacenter == host.host.datacenter;
        if same && !host.host.datacenter.is_empty() {
            let why = format!("in the primary's own data centre ({})", host.host.datacenter);
            at.refuse(&why, "a replica stands in another data centre: correct `datacenter`, or move it");
        }
    }
}

fn check_rollback(shared: &Shared<'_>, drafts: &[Draft<'_>], lab: Option<&LabMarker>) {
    let Some(at) = &shared.rollback_timeout_at else { return };
    if shared.fleet.limits.rollback_timeout.as_secs() >= SHORTEST_ROLLBACK {
        return;
    }
    let stranger = drafts
        .iter()
        .flat_map(|draft| &draft.hosts)
        .find(|host| !lab.is_some_and(|lab| host.addresses.iter().all(|address| lab.holds(address.it))));
    match (lab, stranger) {
        (Some(_), None) => {}
        (Some(_), Some(host)) => {
            let why =
                format!("under {SHORTEST_ROLLBACK} s, and {} is not in the lab's subnets", host.host.name);
            at.refuse(&why, "write 60s to 30min");
        }
        (None, _) => at
            .refuse("a rollback timeout outside its bounds", "write 60s to 30min; only a lab may be quicker"),
    }
}

fn suggestion(written: &str, known: &[String], what: &str) -> String {
    match nearest(written, known.iter().map(String::as_str)) {
        Some(near) => format!("did you mean `{near}`?"),
        None if known.is_empty() => format!("declare the {what} first"),
        None => format!("declare the {what} first, or use one of: {}", known.join(", ")),
    }
}
