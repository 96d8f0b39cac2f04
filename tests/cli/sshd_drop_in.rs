//! The template of sshd's drop-in, rendered for both distributions, and tried by a real sshd: what it sets holds for
//! everybody, whatever other files say after it.

use std::collections::BTreeMap;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

use palisade::kinds::Declaration;
use palisade::kinds::sshd::Algorithms;
use palisade::playbook::Playbook;
use palisade::program::{Program, SYSTEM_PATH};
use palisade::source::Sources;
use palisade::template::{HostContext, Templates};
use support::{Needs, generated, make_key};

support::tests! {
    Needs::NOTHING => [
        the_drop_in_for_both_distributions,
    ],
    Needs::programs(&[Program::Sshd, Program::SshKeygen]) => [
        what_it_sets_is_what_the_playbook_checks_and_nobody_undoes_it,
    ],
}

/// sshd, which wants to be called by its path.
fn sshd() -> Command {
    let mut sshd = Program::Sshd.command();
    sshd.env("PATH", SYSTEM_PATH).arg0(Program::Sshd.path().unwrap());
    sshd
}

fn rendered(distribution: &str, forward_to: &[&str]) -> String {
    let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let context = HostContext {
        distribution: distribution.to_owned(),
        accounts: owned(&["alice", "ci"]),
        forward_to: owned(forward_to),
        algorithms: Algorithms::of(distribution),
        ..HostContext::sample()
    };
    let templates = Templates::read(&Sources::new()).unwrap();
    templates.render(&"sshd.conf.tera".parse().unwrap(), &Templates::context(&context)).unwrap()
}

fn the_drop_in_for_both_distributions() {
    generated("tests/snapshots/sshd-drop-in-debian-12.txt", &rendered("debian-12", &[]));
    let jump = rendered("debian-13", &["10.20.0.5:22", "[fd00::5]:22"]);
    generated("tests/snapshots/sshd-drop-in-debian-13-jump.txt", &jump);
}

/// What others may leave behind: globals before and after, blocks for an account, an address, everybody.
const OTHERS: &str = "PasswordAuthentication yes\nAllowUsers eve\nTrustedUserCAKeys /etc/ssh/ca.pub\nX11Forwarding yes\n\
    Match User eve\n    PasswordAuthentication yes\n    PermitRootLogin yes\n    AuthorizedKeysFile /opt/keys\n\
    Match Address 192.0.2.0/24\n    KbdInteractiveAuthentication yes\n    AuthenticationMethods password\n\
    Match all\n    AuthorizedKeysCommand /usr/local/bin/keys\n    AuthorizedKeysCommandUser nobody\n";

/// What `sshd -T` says for `user` from `source`; several lines of a keyword are joined.
fn effective(folder: &Path, user: &str, source: &str) -> BTreeMap<String, String> {
    let connection = format!("user={user},host={source},addr={source},laddr=127.0.0.1,lport=22");
    let done = sshd()
        .arg("-T")
        .arg("-f")
        .arg(folder.join("sshd_config"))
        .args(["-C", &connection])
        .output()
        .unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let mut settings: BTreeMap<String, String> = BTreeMap::new();
    for line in String::from_utf8(done.stdout).unwrap().lines() {
        let (keyword, value) = line.split_once(' ').unwrap_or((line, ""));
        settings
            .entry(keyword.to_owned())
            .and_modify(|found| *found = format!("{found} {value}"))
            .or_insert_with(|| value.to_owned());
    }
    settings
}

fn what_it_sets_is_what_the_playbook_checks_and_nobody_undoes_it() {
    let said = sshd().arg("-V").output().unwrap();
    let new = String::from_utf8_lossy(&said.stderr).starts_with("OpenSSH_1");
    let distribution = if new { "debian-13" } else { "debian-12" };
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let _ = std::fs::create_dir_all("/run/sshd");
    std::fs::create_dir(at("d")).unwrap();
    let key = at("host_key");
    make_key(folder.path(), "host_key", "ed25519", "");
    let main = format!("Include {}/d/*.conf\nHostKey {}\n{OTHERS}", folder.path().display(), key.display());
    std::fs::write(at("sshd_config"), main).unwrap();
    std::fs::write(at("d/50-others.conf"), OTHERS).unwrap();
    std::fs::write(at("d/00-palisade.conf"), rendered(distribution, &[])).unwrap();

    let playbook: Playbook = palisade::playbook::parse(&Sources::new()).unwrap();
    let control = playbook.control(&"key-only".parse().unwrap()).unwrap();
    let settings = control
        .declarations()
        .find_map(|declaration| match declaration {
            Declaration::Sshd(settings) => Some(settings),
            _ => None,
        })
        .unwrap();
    let known = Algorithms::of(distribution).key_exchange;
    for (user, source) in [("alice", "198.51.100.10"), ("eve", "203.0.113.9"), ("root", "192.0.2.7")] {
        let found = effective(folder.path(), user, source);
        for (keyword, wanted) in settings {
            let wanted = if keyword == "kexalgorithms" {
                wanted.split(',').filter(|name| known.contains(name)).collect::<Vec<_>>().join(",")
            } else {
                wanted.clone()
            };
            assert_eq!(found.get(keyword), Some(&wanted), "{keyword} for {user} from {source}");
        }
        assert_eq!(found.get("allowusers").map(String::as_str), Some("alice ci"), "for {user}");
        assert_eq!(found["authorizedkeysfile"], "/etc/ssh/authorized_keys.d/%u", "for {user}");
    }
}
