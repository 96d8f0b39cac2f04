//! A user who attacks changes at the moments at which root works in that user's home, and without pause.

use std::fmt::Write as _;
use std::time::Duration;

use palisade::lab::Suite;
use support::{Inventory, Needs, Project, Ran, World, host, note, wait_for};

use super::attack::{ATTACKS, Attack, Moment, SWAPS};

support::tests! {
    Needs::NOTHING => [
        the_page_names_every_attack,
    ],
    Needs::LAB => [
        a_user_gets_nothing_by_what_is_done_as_root,
    ],
}

const HOSTS: [(&str, Suite); 2] = [("hit-12", Suite::Bookworm), ("hit-13", Suite::Trixie)];
const CONTROLS: &[&str] = &["key-only", "server-access"];

/// mallory's account, files of root's that nothing may touch, and a program in front of perl that lets mallory act at a
/// moment: the words of the writer stand behind `-e` and its text.
const PREPARE: &str = r#"set -e
useradd --create-home --shell /bin/bash mallory
mkdir /etc/canary && echo 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJtYgSQuN0axUYAgZ84dlRdPEpyl+AVIrtjnDlVUEGyQ canary' >/etc/canary/authorized_keys
chmod 0600 /etc/canary/authorized_keys
usermod --password '$6$planted$secretsecretsecretsecretsecret' mallory
for folder in /etc/perl /usr/local/lib/site_perl; do
  mkdir -p $folder
  for module in strict Fcntl POSIX; do printf 'package %s; open my $f, ">", "/run/lab-planted"; 1;\n' $module >$folder/$module.pm; done
done
cat >/usr/local/sbin/perl <<'END'
#!/bin/sh
PATH=/usr/sbin:/usr/bin:/sbin:/bin
if [ -n "${3-}" ] && [ -e "/run/lab-at-$3" ]; then
  rm -f "/run/lab-at-$3"
  setpriv --reuid mallory --regid mallory --clear-groups /bin/sh -c 'cd /home/mallory && . /run/lab-does' </dev/null >/run/lab-did 2>&1
fi
exec perl "$@"
END
chmod 0755 /usr/local/sbin/perl
setsid setpriv --reuid mallory --regid mallory --clear-groups sh -c "trap '' TERM; while :; do sleep 77777; done" </dev/null >/dev/null 2>&1 &
systemd-run --quiet --unit=lab-of-mallory --uid=mallory sleep 88888"#;

/// mallory's files as they are before each attack.
const PLANT: &str = r"set -e
cd /home/mallory
rm -rf .ssh was
setpriv --reuid mallory --regid mallory --clear-groups /bin/sh -c '
  mkdir -m 0700 .ssh
  echo ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIg9rd5mngds1/F0CDH1A7vDtgdKprwMEyH9n7NHgf28 mallory@laptop >key
  cp key .ssh/authorized_keys'
rm -f /run/lab-at-* /run/lab-did";

/// What nobody may change: whose files they are, what they hold, and who may become root.
const CANARIES: &str = r"stat -c '%n %a %U:%G %h %F' /etc/canary /etc/canary/authorized_keys /root /root/.ssh /etc/passwd /etc/shadow \
  /etc/group /etc/sudoers /etc/sudoers.d/* /etc/ssh /etc/ssh/sshd_config
cat /etc/canary/authorized_keys /etc/passwd /etc/shadow /etc/sudoers /etc/sudoers.d/*
ls -la /etc/canary | tail -n +2
[ ! -e /run/lab-planted ] || echo 'a planted module was loaded'";

const PAGE: &str = "docs/threats.md";
const BEGIN: &str = "<!-- what tests/faults/hostile/users.rs does -->\n";
const END: &str = "<!-- end of what it does -->\n";

fn the_page_names_every_attack() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(PAGE);
    let page = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = page.split_once(BEGIN).unwrap();
    let (_, after) = rest.split_once(END).unwrap();
    let mut table = String::from("| what mallory does | and then |\n|---|---|\n");
    for attack in ATTACKS {
        let _ = writeln!(table, "| {} | {} |", attack.name, attack.then);
    }
    let made = format!("{before}{BEGIN}{table}{END}{after}");
    if std::env::var_os("PALISADE_BLESS").is_some() {
        std::fs::write(&path, made).unwrap();
    } else {
        assert_eq!(page, made, "{PAGE} is not what the test does: PALISADE_BLESS=1 writes it");
    }
}

fn a_user_gets_nothing_by_what_is_done_as_root() {
    let world = World::with(HOSTS.map(|(name, suite)| host(name, suite)));
    let inventory =
        |timeout| Inventory { rollback_timeout: timeout, controls: |_| CONTROLS, ..Inventory::default() };
    let project = &Project::write(&world, "users", &inventory(180));
    project.enrol();
    let quick = &project.variant("quick", &inventory(15));
    for (name, _) in HOSTS {
        world.sh(name, PREPARE);
    }
    std::thread::scope(|scope| {
        for (name, _) in HOSTS {
            scope.spawn(move || {
                closed_is_gone(project, name);
                let known = world_of(project).sh(name, CANARIES);
                for attack in ATTACKS {
                    strike(project, quick, name, attack, &known);
                }
                swaps(project, name, &known);
            });
        }
    });
    for project in [project, quick] {
        nothing_secret_is_kept(project);
    }
}

fn world_of<'w>(project: &Project<'w>) -> &'w World {
    project.world
}

/// Who may no longer enter has no process left; what root runs as that account goes on, and is named.
fn closed_is_gone(project: &Project<'_>, name: &str) {
    let world = project.world;
    let vendor = world.private_key("vendor");
    let address = world.host(name).unwrap().public_address().unwrap();
    let mut session = world.ssh(address, &vendor, "debian").args(["exec", "sleep", "66666"]).spawn().unwrap();
    wait_for("the session is there", || {
        world.host(name).unwrap().status("pgrep -fx 'sleep 66666'").unwrap() == Some(0)
    });
    let ran = project.apply(name).exits(0);
    let ended = ran.json()["hosts"][0]["ended"].clone();
    let of = |user: &str| {
        ended.as_array().unwrap().iter().find(|one| one["user"] == user).cloned().unwrap_or_default()
    };
    assert!(of("mallory")["processes"].as_u64() >= Some(2), "{ended}");
    assert_eq!(of("mallory")["services"], serde_json::json!(["lab-of-mallory.service"]), "{ended}");
    assert!(of("debian")["processes"].as_u64() >= Some(1), "{ended}");
    let left = world.host(name).unwrap().status("pgrep -fx 'sleep (66666|77777)'").unwrap();
    assert_eq!(left, Some(1), "{name}: {}", ran.said());
    world.sh(name, "pgrep -f 'sleep 88888' && systemctl stop lab-of-mallory");
    assert!(!session.wait().unwrap().success());
}

/// mallory's file stands there again, mallory strikes, and the change is made or refused; then another is made.
fn strike(project: &Project<'_>, quick: &Project<'_>, name: &str, attack: &Attack, known: &str) {
    let world = project.world;
    world.sh(name, PLANT);
    world.sh_with(name, &[("does", attack.does), ("word", attack.at.word())], ARM);
    if attack.at == Moment::Before {
        world.sh(name, "setpriv --reuid mallory --regid mallory --clear-groups /bin/sh -c 'cd /home/mallory && . /run/lab-does'; rm -f /run/lab-at-before");
    }
    let ran = if attack.at == Moment::Back { goes_back(quick, name) } else { project.apply(name) };
    let title = format!("{name}, {}", attack.name);
    note(&format!("{title}: exit {:?}", ran.code));
    // Whatever mallory does, the change is made.
    let wanted = if attack.at == Moment::Back { None } else { Some(0) };
    assert_eq!(ran.code, wanted, "{title}: {}", ran.said());
    assert!(
        !world.has(name, &format!("/run/lab-at-{}", attack.at.word())),
        "{title}: it never came to that moment"
    );
    let now = world.sh(name, CANARIES);
    assert_eq!(now, known, "{title}");
    let holds = world.host(name).unwrap().status(attack.holds).unwrap();
    assert_eq!(holds, Some(0), "{title}: {}\n{}", attack.holds, ran.said());
    assert!(!world.has(name, "/var/lib/palisade/pending"), "{title}: a change is left there");
    // Nothing of it keeps the next change from being made.
    world.sh(name, PLANT);
    let after = project.apply(name);
    assert_eq!(after.code, Some(0), "{title}, and then: {}", after.said());
    assert_eq!(world.sh(name, CANARIES), known, "{title}, and then");
}

const ARM: &str = r#"printf '%s\n' "$does" >/run/lab-does; chmod 0644 /run/lab-does; : >"/run/lab-at-$word""#;

/// palisade is killed once the file is gone, and the host goes back by itself.
fn goes_back(quick: &Project<'_>, name: &str) -> Ran {
    let mut run = quick.apply_held(name, &["narrow.verifying"]);
    run.reaches("narrow.verifying");
    run.signal("KILL");
    let ran = run.end();
    let world = quick.world;
    wait_for("the host goes back", || !world.has(name, "/var/lib/palisade/pending"));
    ran
}

/// So many swaps there are at least, through the changes in a row.
const ENOUGH_SWAPS: usize = 1000;

/// mallory swaps files, links and pipes without pause, through changes in a row.
fn swaps(project: &Project<'_>, name: &str, known: &str) {
    let world = project.world;
    world.sh(name, PLANT);
    world.sh_with(
        name,
        &[("text", SWAPS)],
        r#"printf '%s' "$text" >/run/lab-swap; : >/run/lab-swaps; rm -f /home/mallory/swaps
        setsid setpriv --reuid mallory --regid mallory --clear-groups /bin/sh /run/lab-swap </dev/null >/dev/null 2>&1 &"#,
    );
    let count = || world.sh(name, "wc -l </home/mallory/swaps").trim().parse::<usize>().unwrap() * 16;
    let mut codes = Vec::new();
    // On a machine with much to do mallory gets little of it: five changes, and more until there were enough swaps.
    while codes.len() < 5 || count() < ENOUGH_SWAPS {
        assert!(codes.len() < 20, "{name}: only {} swaps through {codes:?}", count());
        let ran = project.apply(name);
        codes.push(ran.code.unwrap_or(-1));
        // A key may stand there again by the time that it is looked at.
        assert!(matches!(ran.code, Some(0 | 3)), "{name}: {}", ran.said());
    }
    world.sh(name, "rm -f /run/lab-swaps");
    std::thread::sleep(Duration::from_millis(500));
    note(&format!("{name}: {} swaps meanwhile, exits {codes:?}", count()));
    assert_eq!(world.sh(name, CANARIES), known);
    world.sh(name, PLANT);
    let after = project.apply(name);
    assert_eq!(after.code, Some(0), "{}", after.said());
}

/// No record, plan or journal of a project holds what mallory planted.
fn nothing_secret_is_kept(project: &Project<'_>) {
    let mut seen = 0;
    for run in std::fs::read_dir(project.root.join("runs")).unwrap() {
        for file in std::fs::read_dir(run.unwrap().path()).unwrap() {
            let path = file.unwrap().path();
            let text = String::from_utf8_lossy(&std::fs::read(&path).unwrap()).into_owned();
            assert!(!text.contains("secretsecret"), "{} holds a password's hash", path.display());
            assert!(
                !text.contains("root:*") && !text.contains("root:!"),
                "{} quotes /etc/shadow",
                path.display()
            );
            seen += 1;
        }
    }
    assert!(seen > 0, "no records");
}
