//! A host with files, names and accounts of all kinds: everything that can be enforced is, what cannot is a finding of its
//! own, and nothing is unknown for it.

use palisade::lab::Suite;
use support::{Inventory, Needs, Project, World, host};

support::tests! {
    Needs::LAB => [
        odd_files_and_names_keep_nobody_from_the_rest,
    ],
}

const HOSTS: [(&str, Suite); 2] = [("odd-12", Suite::Bookworm), ("odd-13", Suite::Trixie)];

/// Each account has one file in which sshd would look for keys, of a kind of its own.
const PLANT: &str = r#"set -e
key='ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIg9rd5mngds1/F0CDH1A7vDtgdKprwMEyH9n7NHgf28 odd'
odd() { # name: an account with a folder for keys
  useradd --badname --create-home --shell /bin/bash -- "$1"
  install -d -m 0755 -o "$1" "/home/$1/.ssh"
  cd "/home/$1/.ssh"
}
odd plain; echo "$key" >authorized_keys
odd second; echo "$key" >authorized_keys2
odd latin; printf '%s caf\351\n' "$key" >authorized_keys
odd nul; printf '%s \000x\n' "$key" >authorized_keys
odd large; { echo "$key"; head -c 1200000 /dev/zero | tr '\0' '#'; } >authorized_keys
odd empty; : >authorized_keys
odd pipe; mkfifo authorized_keys
odd folder; mkdir authorized_keys
odd socket; perl -MSocket -e 'socket S, AF_UNIX, SOCK_STREAM, 0; bind S, pack_sockaddr_un "authorized_keys"'
odd dangling; ln -s /nowhere authorized_keys
odd looped; ln -s authorized_keys authorized_keys
odd shadows; ln -s /etc/shadow authorized_keys
odd kmsg; ln -s /proc/kmsg authorized_keys
odd elsewhere; echo "$key" >/home/elsewhere/keys; ln -s /home/elsewhere/keys authorized_keys
odd roots; ln -s /root/.bashrc authorized_keys
odd linked; echo "$key" >authorized_keys; cd ..; mv .ssh real; ln -s real .ssh
odd nobodys; echo "$key" >authorized_keys; chown 54321:54322 authorized_keys
odd closed; echo "$key" >authorized_keys; chmod 0000 authorized_keys
odd barred; echo "$key" >authorized_keys; chown root:root authorized_keys; chmod 0600 authorized_keys
odd writable; echo "$key" >authorized_keys; chmod 0666 authorized_keys
odd john.doe; echo "$key" >authorized_keys; chown john.doe authorized_keys
odd garbage; head -c 3000 /dev/urandom >authorized_keys
odd long; { head -c 20000 /dev/zero | tr '\0' x; echo; echo "$key"; } >authorized_keys
odd options; echo "command=\"/bin/sh\",environment=\"A=B\" $key" >authorized_keys
odd crlf; printf '%s\r\n' "$key" >authorized_keys
echo "domain.users:x:54399:" >>/etc/group
odd grouped; echo "$key" >authorized_keys; chgrp domain.users authorized_keys
mkdir -p '/srv/a home'
useradd --no-create-home --home-dir '/srv/a home' spaced; mkdir '/srv/a home/.ssh'; echo "$key" >'/srv/a home/.ssh/authorized_keys'
useradd --no-create-home --home-dir /nowhere homeless
touch '/etc/ssh/authorized_keys.d/two words' "/etc/ssh/authorized_keys.d/line
break" 2>/dev/null || true
true"#;

/// What a person has to look at: each with its finding.
const STAYS: [&str; 1] = ["/home/large/.ssh/authorized_keys"];

fn odd_files_and_names_keep_nobody_from_the_rest() {
    let world = World::with(HOSTS.map(|(name, suite)| host(name, suite)));
    let inventory =
        Inventory { controls: |_| &["firewall", "key-only", "server-access"], ..Inventory::default() };
    let project = &Project::write(&world, "odd", &inventory);
    project.enrol();
    let world = &world;
    std::thread::scope(|scope| {
        for (name, _) in HOSTS {
            scope.spawn(move || {
                world.sh(name, PLANT);
                let controls = ["--control", "firewall", "--control", "key-only", "--control", "server-access"];
                let audit = || project.palisade(&["audit", "prod", "--limit", name, "--format", "json"]).args(controls).run();
                let first = audit();
                assert_eq!(first.code, Some(3), "{}", first.said());
                let ran = project.apply(name);
                let second = audit();
                let verdict = |id: &str| {
                    let document = second.json();
                    let controls = document["hosts"][0]["controls"].as_array().unwrap().clone();
                    controls.into_iter().find(|control| control["id"] == id).unwrap()
                };
                for id in ["firewall", "key-only"] {
                    assert_eq!(verdict(id)["verdict"], "compliant", "{}\n{}", ran.said(), second.said());
                }
                let access = verdict("server-access");
                assert_eq!(access["verdict"], "drift", "{}\n{}", ran.said(), second.said());
                let said = access.to_string();
                for path in STAYS {
                    assert!(said.contains(path) && said.contains("rm -r --"), "{path}: {said}");
                }
                let left = world.sh(name, "find /home /srv -type f -path '*/.ssh/*' -exec grep -l AAAAC3NzaC1lZDI1NTE5AAAAIIg9rd5mngds1 {} +; true");
                let left: Vec<&str> = left.lines().filter(|path| !STAYS.contains(path)).collect();
                // sshd reads these as their account, which may not
                let unread = ["/home/barred/.ssh/authorized_keys", "/home/closed/.ssh/authorized_keys"];
                assert!(left.iter().all(|path| unread.contains(path)), "{left:?}\n{}\n{}", ran.said(), second.said());
                one_obstacle_keeps_nothing_else(project, name);
            });
        }
    });
}

/// What cannot be judged keeps what depends on it from being changed, and nothing else.
fn one_obstacle_keeps_nothing_else(project: &Project<'_>, name: &str) {
    let world = project.world;
    let controls = ["--control", "baseline", "--control", "key-only", "--control", "server-access"];
    let apply =
        || project.palisade(&["apply", "prod", "--limit", name, "--format", "json"]).args(controls).run();
    world.sh(name, "printf '# caf\\351\\n' >/etc/sudoers.d/10-odd; chmod 0440 /etc/sudoers.d/10-odd; rm -f /home/large/.ssh/authorized_keys");
    let ran = apply();
    let host = &ran.json()["hosts"][0];
    assert_eq!((ran.code, &host["state"]), (Some(3), &serde_json::json!("changed")), "{}", ran.said());
    assert_eq!(host["plan"]["blocked"], serde_json::json!(["server-access"]), "{}", ran.said());
    let controls = host["controls"].as_array().unwrap();
    let verdict = |id: &str| controls.iter().find(|control| control["id"] == id).unwrap()["verdict"].clone();
    assert_eq!(
        (verdict("baseline"), verdict("server-access")),
        ("compliant".into(), "drift".into()),
        "{}",
        ran.said()
    );
    world.sh(name, "rm /etc/sudoers.d/10-odd");
    let again = apply();
    assert_eq!(again.code, Some(0), "{}", again.said());
}
