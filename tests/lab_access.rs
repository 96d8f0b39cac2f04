//! Access on real hosts of both distributions: every way in that a stranger may have left behind works before, is found,
//! and is refused by plain ssh after the steps of the kinds, while a declared account gets in all the time. The steps'
//! files are written directly: what a transaction makes of them is another test's matter.

#![expect(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::panic,
    reason = "tests write keys, run ssh, and fail by panicking"
)]

#[path = "support/lab.rs"]
mod support;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use palisade::domain::{GroupName, Mode, PublicKey, UserName};
use palisade::lab::{Host, HostSpec, Lab, LabEvent, Place, Spec, Suite};
use palisade::playbook::Declaration;
use palisade::resource::authorized_keys::{AuthorizedKeys, KEYS_FILE};
use palisade::resource::file::File;
use palisade::resource::sshd::{Algorithms, FINAL, Principal, Sshd};
use palisade::resource::sudo::{Grant, Sudo};
use palisade::resource::{self, Change, FileContent, FileState, Phase, Resource, Step, Verdict};
use palisade::shell::{self, Arg, Nonce, Script};
use palisade::source::Sources;
use palisade::template::{HostContext, Templates};
use support::{runs_here, say};

fn tell(event: &LabEvent) {
    if !matches!(event, LabEvent::Detail(_)) {
        say(&event.to_string());
    }
}

/// Ways in that strangers left, beside root's key that the host is delivered with.
const PLANT: &str = r#"set -e
key=$(cat /root/.ssh/authorized_keys)
useradd -r -d /srv/app -m -s /bin/bash app
mkdir /srv/app/.ssh
printf 'from="*" %s\n' "$key" > /srv/app/.ssh/authorized_keys2
chown -R app /srv/app
useradd -o -u 0 -g 0 -d /home/toor -m -s /bin/bash toor 2>/dev/null
mkdir -p /home/toor/.ssh /opt/keys
echo "$key" > /opt/keys/shared
ln -s /opt/keys/shared /home/toor/.ssh/authorized_keys
useradd -m -s /bin/bash elsewhere
echo "$key" > /opt/keys/elsewhere
useradd -m -s /bin/bash command
printf '#!/bin/sh\necho "%s"\n' "$key" > /usr/local/bin/keys
chmod 755 /usr/local/bin/keys
useradd -m -s /bin/bash certified
cat > /etc/ssh/sshd_config.d/60-helpdesk.conf <<'END'
TrustedUserCAKeys /etc/ssh/ca.pub
Match User elsewhere
    AuthorizedKeysFile /opt/keys/%u
Match User command
    AuthorizedKeysCommand /usr/local/bin/keys
    AuthorizedKeysCommandUser nobody
Match all
    PasswordAuthentication yes
END
echo 'elsewhere ALL=(ALL) NOPASSWD: ALL' > /etc/sudoers.d/helpdesk
chmod 0440 /etc/sudoers.d/helpdesk
useradd -m -s /bin/bash alice
useradd -m -s /bin/bash ci
sshd -t && systemctl reload ssh.service"#;

/// The accounts that strangers get into with the former colleague's key, by each of those ways.
const STRANGERS: [&str; 6] = ["root", "app", "toor", "elsewhere", "command", "certified"];

struct Access<'l> {
    lab: &'l Lab,
    host: Host<'l>,
    keys: &'l Path,
}

impl Access<'_> {
    /// What came of `command` where plain ssh gets in as `user` with the private key in `key`. sshd answers nobody
    /// while it reads its configuration again: that is no refusal, and is tried again.
    fn gets_in(&self, user: &str, key: &Path, command: &str) -> Option<String> {
        for _ in 0..20 {
            let done = self.ssh(user, key, command);
            let said = String::from_utf8_lossy(&done.stderr);
            if done.status.success() {
                return Some(String::from_utf8_lossy(&done.stdout).trim().to_owned());
            }
            if said.contains("Permission denied") {
                return None;
            }
            say(&format!("{user}: {}", said.trim()));
            std::thread::sleep(std::time::Duration::from_millis(250));
        }
        panic!("sshd neither lets {user} in nor refuses");
    }

    fn ssh(&self, user: &str, key: &Path, command: &str) -> Output {
        Command::new("ssh")
            .args(["-F", "/dev/null", "-o", "BatchMode=yes", "-o", "ConnectTimeout=5"])
            .args(["-o", "IdentityAgent=none", "-o", "IdentitiesOnly=yes"])
            .arg("-o")
            .arg(format!("UserKnownHostsFile={}", self.lab.folder().join("known_hosts").display()))
            .arg("-i")
            .arg(key)
            .arg(format!("{user}@{}", self.host.public_address().expect("a public address")))
            .arg(command)
            .stdin(Stdio::null())
            .output()
            .expect("ssh starts")
    }

    /// The strangers that get in now.
    fn strangers(&self) -> Vec<&'static str> {
        let key = |user: &str| match user {
            "certified" => self.keys.join("certified"),
            _ => self.lab.private_key("former"),
        };
        STRANGERS.into_iter().filter(|user| self.gets_in(user, &key(user), "true").is_some()).collect()
    }

    fn alice(&self) -> Option<String> {
        self.gets_in("alice", &self.keys.join("alice"), "sudo -n id -u")
    }

    /// What each resource amounts to, and its steps.
    fn look(&self, resources: &[Resource]) -> (Vec<Verdict>, Vec<Step>) {
        let all: Vec<&Resource> = resources.iter().collect();
        let nonce = Nonce::new(*b"access on a host");
        let questions = resource::questions(&all);
        let output = self.host.run(&Script::new().framed(&nonce, &questions)).expect("an answer");
        let readings = resource::read(&all, |question| shell::frame(&output, &nonce, question));
        let mut verdicts = Vec::new();
        let mut steps = Vec::new();
        for (resource, reading) in resources.iter().zip(readings) {
            let answer = reading.unwrap_or_else(|unread| panic!("{}: {unread}", resource.name()));
            verdicts.push(resource.judge(&answer, jiff::Timestamp::UNIX_EPOCH));
            steps.extend(
                resource.remedy(&answer).unwrap_or_else(|defeated| panic!("{defeated}: {}", defeated.hint)),
            );
        }
        (verdicts, steps)
    }

    /// Writes the files of the steps of `phase`, and lets sshd read them.
    fn make(&self, steps: &[Step], phase: Phase) {
        let mut script = Script::new().text(
            "set -e\nput() { mkdir -p \"${1%/*}\"; printf %s \"$5\" > \"$1.new\"; chmod \"$2\" \"$1.new\"; chown \"$3:$4\" \"$1.new\"; mv \"$1.new\" \"$1\"; }",
        );
        for step in steps.iter().filter(|step| step.phase == phase) {
            let Change::File { path, after, .. } = &step.change else { panic!("{step:?}") };
            script = match after {
                FileState::Present(file) => script.call(
                    "put",
                    [
                        Arg::from(path),
                        (&file.mode).into(),
                        (&file.owner).into(),
                        (&file.group).into(),
                        Arg::lossy(file.content.clone()),
                    ],
                ),
                _ => script.call("rm", [Arg::from(path)]),
            };
        }
        let script =
            script.text("visudo -c >/dev/null && sshd -t && systemctl reload ssh.service && echo made");
        let output = self.host.run(&script).expect("an answer");
        assert!(output.stdout.ends_with(b"made\n"), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

/// A new key pair in `keys`, and its public half.
fn key(keys: &Path, name: &str) -> PublicKey {
    let path = keys.join(name);
    let made = Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-C", name, "-f"])
        .arg(&path)
        .status()
        .expect("ssh-keygen starts");
    assert!(made.success());
    std::fs::read_to_string(path.with_extension("pub")).expect("a public key").trim().parse().expect("a key")
}

/// A certificate for the account `certified`, made by a certificate authority; gives the authority's public key.
fn certificate(keys: &Path) -> String {
    key(keys, "ca");
    key(keys, "certified");
    let made = Command::new("ssh-keygen")
        .args(["-q", "-I", "stranger", "-n", "certified", "-s"])
        .arg(keys.join("ca"))
        .arg(keys.join("certified.pub"))
        .status()
        .expect("ssh-keygen starts");
    assert!(made.success());
    std::fs::read_to_string(keys.join("ca.pub")).expect("a public key")
}

fn resources(distribution: &str, alice: PublicKey, ci: PublicKey) -> Vec<Resource> {
    let user = |name: &str| -> UserName { name.parse().expect("a name") };
    let (alice, ci) = ((user("alice"), alice), (user("ci"), ci));
    let sources = vec!["198.51.100.10".parse().expect("an address")];
    let playbook = palisade::playbook::parse(&Sources::new()).expect("the built-in playbook");
    let settings = playbook
        .controls
        .iter()
        .flat_map(palisade::playbook::Control::declarations)
        .find_map(|declaration| match declaration {
            Declaration::Sshd { settings } => Some(settings.clone()),
            _ => None,
        })
        .expect("settings of sshd");
    let context = HostContext {
        distribution: distribution.to_owned(),
        accounts: vec!["alice".to_owned(), "ci".to_owned()],
        forward_to: Vec::new(),
        algorithms: Algorithms::of(distribution),
        ..HostContext::sample()
    };
    let templates = Templates::read(&Sources::new()).expect("the built-in templates");
    let body = templates.render(&"sshd.conf.tera".parse().expect("a name"), &context).expect("a drop-in");
    vec![
        Resource::AuthorizedKeys(AuthorizedKeys {
            declared: BTreeMap::from([(alice.0.clone(), vec![alice.1]), (ci.0.clone(), vec![ci.1])]),
        }),
        Resource::Sudo(Sudo {
            rules: BTreeMap::from([(alice.0.clone(), Grant::All), (ci.0.clone(), Grant::All)]),
        }),
        Resource::Sshd(Sshd {
            principals: [&alice.0, &ci.0]
                .map(|user| Principal { user: user.clone(), sources: sources.clone() })
                .to_vec(),
            settings,
            host_address: "198.51.100.21".parse().expect("an address"),
            port: palisade::domain::Port::SSH,
            allow_users: Some(vec![alice.0, ci.0]),
            keys_file: Some(KEYS_FILE.parse().expect("a path")),
        }),
        Resource::File(File {
            path: FINAL.parse().expect("a path"),
            content: Some(FileContent {
                content: body,
                mode: Mode::PRIVATE,
                owner: UserName::root(),
                group: GroupName::root(),
            }),
        }),
    ]
}

#[test]
fn strangers_get_in_before_and_declared_accounts_all_the_time() {
    if !runs_here("strangers_get_in_before_and_declared_accounts_all_the_time") {
        return;
    }
    let host = |name: &str, suite| HostSpec::new(name.parse().expect("a name"), suite);
    let spec = Spec::of([host("old", Suite::Bookworm), host("new", Suite::Trixie)]);
    let lab = Lab::up(&Place::default(), &spec, &tell).expect("the lab comes up");
    let folder = tempfile::tempdir().expect("a folder");
    let keys: PathBuf = folder.path().to_owned();
    let (alice, ci, authority) = (key(&keys, "alice"), key(&keys, "ci"), certificate(&keys));
    for (host, distribution) in lab.hosts().zip(["debian-12", "debian-13"]) {
        let access = Access { lab: &lab, host, keys: &keys };
        let ca = Script::new()
            .set("ca", Arg::lossy(authority.trim()))
            .text("printf '%s\\n' \"$ca\" > /etc/ssh/ca.pub");
        assert!(access.host.run(&ca.text(PLANT)).expect("planted").exit.success());
        assert_eq!(access.strangers(), STRANGERS, "each way in works before");
        assert_eq!(access.alice(), None);

        let resources = resources(distribution, alice.clone(), ci.clone());
        let (verdicts, planned) = access.look(&resources);
        let found = format!("{verdicts:?}");
        for place in [
            "/root/.ssh/authorized_keys",
            "/srv/app/.ssh/authorized_keys2",
            "/home/toor/.ssh/authorized_keys (a link to /opt/keys/shared)",
            "/opt/keys/elsewhere",
            "AuthorizedKeysCommand is `/usr/local/bin/keys`",
            "TrustedUserCAKeys is `/etc/ssh/ca.pub`",
            "/etc/sudoers.d/helpdesk:1",
        ] {
            assert!(found.contains(place), "{place} is not in {found}");
        }

        access.make(&planned, Phase::Widen);
        assert_eq!(access.alice().as_deref(), Some("0"), "a declared person gets in once it is widened");
        assert_eq!(access.strangers(), STRANGERS, "nobody is cut off by widening");
        let (_, left) = access.look(&resources);
        let narrow: Vec<&Step> = planned.iter().filter(|step| step.phase == Phase::Narrow).collect();
        assert_eq!(left.iter().collect::<Vec<_>>(), narrow, "what is left is what was planned");

        access.make(&planned, Phase::Narrow);
        assert_eq!(access.alice().as_deref(), Some("0"), "and still does once it is narrowed");
        assert_eq!(access.strangers(), Vec::<&str>::new(), "every way in of strangers is shut");
        let (verdicts, left) = access.look(&resources);
        assert!(verdicts.iter().all(|verdict| verdict.word() == "compliant"), "{verdicts:?}");
        assert!(left.is_empty(), "{left:?}");
    }
    lab.down(&tell).expect("the lab goes down");
}
