//! Whether a declared account would be let in by its key, as sshd is set now; and the drop-in that lets it in beside
//! everybody who is let in today. What no drop-in can mend is somebody else's decision, and refuses the plan.

use std::collections::{BTreeMap, BTreeSet};

use super::answer::{Answer, Effective, Settings};
use super::wanted::{FINAL, Sshd, WIDEN};
use crate::domain::{Address, Cidr, UserName};
use crate::resource::Defeated;
use crate::text::excerpt;

/// The text of the drop-in that widens; none where every principal would be let in without one.
pub(super) fn widening(sshd: &Sshd, answer: &Answer) -> Option<String> {
    let mut barred: BTreeMap<&UserName, Vec<&Settings>> = BTreeMap::new();
    for one in &answer.effective {
        if is_barred(sshd, one, answer.settings(one)) {
            barred.entry(&one.user).or_default();
        }
    }
    for one in &answer.effective {
        if let Some(all) = barred.get_mut(&one.user) {
            all.push(answer.settings(one));
        }
    }
    if barred.is_empty() {
        return None;
    }
    let mut text = "# Written by palisade for the time of a change, and removed at its end: lets declared accounts in by\n\
                    # the keys that palisade keeps, beside whatever lets them in today. Nobody else is touched.\n"
        .to_owned();
    if barred.values().flatten().any(|settings| value(settings, "usepam") == "no") {
        // Without PAM sshd refuses accounts whose password is locked, even with a key.
        text.push_str("UsePAM yes\n");
    }
    for (user, all) in barred {
        text.push_str(&block(sshd, user, &all));
    }
    Some(text)
}

/// A block for one account, which stands before all others and so counts first.
fn block(sshd: &Sshd, user: &UserName, all: &[&Settings]) -> String {
    let mut files: Vec<String> = sshd.keys_file.iter().map(ToString::to_string).collect();
    let mut methods: Vec<String> = Vec::new();
    for settings in all {
        for file in value(settings, "authorizedkeysfile").split_whitespace() {
            if file != "none" && !files.iter().any(|one| one == file) {
                files.push(file.to_owned());
            }
        }
        for method in value(settings, "authenticationmethods").split_whitespace() {
            if !methods.iter().any(|one| one == method) {
                methods.push(method.to_owned());
            }
        }
    }
    let mut text = format!("Match User {user}\n    AuthorizedKeysFile {}\n", files.join(" "));
    text.push_str("    PubkeyAuthentication yes\n");
    if !methods.is_empty() && !methods.iter().any(|method| method == "any") {
        methods.retain(|method| method != "publickey");
        methods.insert(0, "publickey".to_owned());
        text = text + "    AuthenticationMethods " + &methods.join(" ") + "\n";
    }
    text + "    AllowUsers " + user.as_str() + "\n"
}

/// Whether something that a drop-in can mend keeps `one` from logging in with a key of ours.
fn is_barred(sshd: &Sshd, one: &Effective, settings: &Settings) -> bool {
    let keys = value(settings, "authorizedkeysfile");
    let methods = value(settings, "authenticationmethods");
    let allowed = settings.get("allowusers");
    sshd.keys_file.as_ref().is_some_and(|ours| !keys.split_whitespace().any(|file| file == ours.as_str()))
        || value(settings, "pubkeyauthentication") != "yes"
        || value(settings, "usepam") != "yes"
        || !(methods.is_empty()
            || methods.split_whitespace().any(|method| matches!(method, "any" | "publickey")))
        || allowed.is_some_and(|list| !list.iter().any(|pattern| names(pattern, &one.user, one.source)))
}

/// What keeps a declared account out and stands in a list that drop-ins can only add to; and what sshd would come to
/// before our drop-ins.
pub(super) fn defeat(sshd: &Sshd, answer: &Answer) -> Option<Defeated> {
    if answer.config.drop_ins_at.is_none() {
        return Some(Defeated {
            what: "/etc/ssh/sshd_config does not include /etc/ssh/sshd_config.d/*.conf".to_owned(),
            hint: "put `Include /etc/ssh/sshd_config.d/*.conf` on its first line, as Debian delivers it"
                .to_owned(),
        });
    }
    answer.effective.iter().find_map(|one| shut_out(answer, one)).or_else(|| first_come(sshd, answer))
}

/// What keeps declared accounts out that no drop-in can mend, for people.
pub(super) fn exclusions(answer: &Answer) -> BTreeSet<String> {
    answer.effective.iter().filter_map(|one| shut_out(answer, one)).map(|defeat| defeat.what).collect()
}

fn shut_out(answer: &Answer, one: &Effective) -> Option<Defeated> {
    let settings = answer.settings(one);
    // An account that does not exist yet gets a group of its own name, and no other.
    let own = vec![one.user.to_string()];
    let groups = answer.groups.get(&one.user).filter(|groups| !groups.is_empty()).unwrap_or(&own);
    let in_group = |pattern: &&String| groups.iter().any(|group| glob(pattern, group));
    let list = |keyword: &str| settings.get(keyword).map(Vec::as_slice).unwrap_or_default().iter();
    let refused = list("denyusers")
        .find(|pattern| names(pattern, &one.user, one.source))
        .map(|pattern| ("denyusers", format!("DenyUsers {pattern}")))
        .or_else(|| {
            list("denygroups").find(in_group).map(|pattern| ("denygroups", format!("DenyGroups {pattern}")))
        })
        .or_else(|| {
            let shut =
                list("allowgroups").len() > 0 && !list("allowgroups").any(|pattern| in_group(&pattern));
            let all: Vec<&str> = list("allowgroups").map(String::as_str).collect();
            shut.then(|| ("allowgroups", format!("AllowGroups {}", all.join(" "))))
        });
    let (keyword, what) = refused?;
    let place = answer
        .config
        .directives
        .iter()
        .find(|directive| directive.keyword == keyword)
        .map_or_else(String::new, |directive| format!(" ({})", directive.place()));
    Some(Defeated {
        what: format!("`{}` keeps {} out{place}", excerpt(&what, 120), one.user),
        hint: "take it out of that file: a drop-in can add to such a list, and never take from it".to_owned(),
    })
}

/// A directive that counts before ours whatever ours says.
fn first_come(sshd: &Sshd, answer: &Answer) -> Option<Defeated> {
    let wanted = sshd.wanted();
    let early = answer.config.before(FINAL, WIDEN).find(|one| {
        let Some(value) = wanted.get(one.keyword.as_str()) else { return false };
        // Ours stand under `Match all` too where that is possible, which overrules everything outside of blocks.
        let counts = one.within.is_some() == is_for_match(&one.keyword);
        // Numbers may be written in several ways (`30s`); the staged files are asked about those.
        counts && value.parse::<u64>().is_err() && !one.value().eq_ignore_ascii_case(value)
    });
    let grown = answer.config.directives.iter().find(|one| {
        one.keyword == "allowusers"
            && one.within.is_some()
            && one.file != FINAL
            && one.file != WIDEN
            && sshd.allow_users.as_ref().is_some_and(|allowed| {
                one.arguments.iter().any(|name| !allowed.iter().any(|user| user.as_str() == name))
            })
    });
    let one = early.or(grown)?;
    let within = one
        .within
        .as_ref()
        .map_or_else(String::new, |block| format!(" under `Match {}`", excerpt(block, 80)));
    Some(Defeated {
        what: format!(
            "{} sets {} to `{}`{within}, which counts before palisade's",
            one.place(),
            one.keyword,
            excerpt(&one.value(), 120)
        ),
        hint: "take that line out, or move it behind the drop-ins; palisade does not rewrite files of others"
            .to_owned(),
    })
}

/// Keywords of ours that may stand in a `Match` block, and do (`sshd_config(5)` lists them under Match).
const FOR_MATCH: [&str; 25] = [
    "allowagentforwarding",
    "allowstreamlocalforwarding",
    "allowtcpforwarding",
    "allowusers",
    "authenticationmethods",
    "authorizedkeyscommand",
    "authorizedkeysfile",
    "authorizedprincipalscommand",
    "authorizedprincipalsfile",
    "gatewayports",
    "gssapiauthentication",
    "hostbasedauthentication",
    "ignorerhosts",
    "kbdinteractiveauthentication",
    "kerberosauthentication",
    "maxauthtries",
    "passwordauthentication",
    "permitemptypasswords",
    "permitrootlogin",
    "permittunnel",
    "permituserrc",
    "pubkeyacceptedalgorithms",
    "pubkeyauthentication",
    "trustedusercakeys",
    "x11forwarding",
];

fn is_for_match(keyword: &str) -> bool {
    FOR_MATCH.contains(&keyword)
}

/// All arguments of all lines of `keyword`.
fn value(settings: &Settings, keyword: &str) -> String {
    settings.get(keyword).map(|lines| lines.join(" ")).unwrap_or_default()
}

/// Whether `pattern` of an `AllowUsers` or `DenyUsers` list names `user` from `source`: `USER` or `USER@HOST`, with `*` and
/// `?`, and a network for HOST.
fn names(pattern: &str, user: &UserName, source: Address) -> bool {
    match pattern.rsplit_once('@') {
        None => glob(pattern, user.as_str()),
        Some((name, host)) => {
            let from = host.parse::<Cidr>().is_ok_and(|network| network.contains(source))
                || glob(host, &source.to_string());
            glob(name, user.as_str()) && from
        }
    }
}

/// `ssh_config(5)`'s patterns: `*` for anything, `?` for one character.
fn glob(pattern: &str, text: &str) -> bool {
    let text: Vec<char> = text.chars().collect();
    // The lengths of text that the pattern so far may have taken.
    let mut reached: BTreeSet<usize> = BTreeSet::from([0]);
    for character in pattern.chars() {
        reached = match character {
            '*' => reached.first().map(|from| (*from..=text.len()).collect()).unwrap_or_default(),
            _ => reached
                .into_iter()
                .filter(|at| text.get(*at).is_some_and(|one| character == '?' || *one == character))
                .map(|at| at + 1)
                .collect(),
        };
    }
    reached.contains(&text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_template_holds_them_for_everybody() {
        let template = include_str!("../../../templates/sshd.conf.tera").to_lowercase();
        let block = &template[template.find("match all").unwrap()..];
        let everywhere = &template[template.find("set everywhere").unwrap()..template.find(']').unwrap()];
        for keyword in FOR_MATCH {
            let stands = |part: &str| part.contains(&format!("{keyword} "));
            assert!(stands(block) || stands(everywhere), "{keyword}");
        }
    }

    #[test]
    fn patterns_as_sshd_reads_them() {
        let alice: UserName = "alice".parse().unwrap();
        let from: Address = "198.51.100.10".parse().unwrap();
        for pattern in
            ["alice", "*", "a*e", "al?ce", "alice@198.51.100.0/24", "*@198.51.100.*", "alice@198.51.100.10"]
        {
            assert!(names(pattern, &alice, from), "{pattern}");
        }
        for pattern in ["alic", "alice?", "bob", "", "alice@203.0.113.0/24", "bob@*", "a*d"] {
            assert!(!names(pattern, &alice, from), "{pattern}");
        }
    }
}
