//! The lockout on real hosts of both distributions, where SSH is open to everybody: of a burst, and of a patient
//! stranger's attempts, sshd judges five and no more, whatever they are, over IPv4 and from two addresses of one IPv6
//! /64; what is blocked stays blocked; the management is never counted; and an audit finds each part that somebody
//! broke by hand. The figures that `docs/lockout.md` quotes are written to standard error.

use std::fmt::Write as _;
use std::io::Read as _;
use std::net::{SocketAddr, TcpStream};
use std::process::Stdio;
use std::time::{Duration, Instant};

use palisade::domain::{Address, Environment, Family};
use palisade::inventory::From;
use palisade::lab::{Host, Spec, Suites, practice_fleet};
use palisade::program::Program;
use palisade::shell::{Arg, Exit, Output, Script};
use support::{Needs, PATIENCE, PATIENT, World, note, wait_telling};

support::tests! {
    Needs::LAB => [
        whoever_fails_five_times_is_shut_out,
    ],
}

const ATTEMPTS: usize = 5;
const BURST: usize = 50;

/// How many connections of one source the limit on bursts lets through within `elapsed`, where no ban comes before: five,
/// and one more each twelve seconds (`docs/lockout.md`). A slow machine takes longer to begin its attempts.
fn let_through(elapsed: Duration) -> usize {
    ATTEMPTS + usize::try_from(elapsed.as_secs() / 12).expect("a short time")
}

/// Tries a wrong key `count` times at once, from each of the addresses in turn; says how many of them sshd refused, and
/// how many never got through, and what was said beside that. It gives up before the kernel lets another one begin.
const ATTACK: &str = r#"cd "$(mktemp -d)"
ssh-keygen -q -t ed25519 -N '' -f wrong
n=0
while [ "$n" -lt "$count" ]; do
  n=$((n + 1))
  from=$first
  if [ $((n % 2)) = 0 ]; then from=$second; fi
  ssh -F /dev/null -o BatchMode=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o ConnectTimeout=6 \
    -o IdentityAgent=none -o IdentitiesOnly=yes -i wrong -b "$from" "alice@$target" true >"said.$n" 2>&1 &
done
wait
echo "$(cat said.* | grep -c 'Permission denied') $(cat said.* | grep -c 'timed out')"
cat said.* | grep -v -e 'Permission denied' -e 'timed out' -e 'Permanently added' | sort | uniq -c"#;

/// Tries one after the other, in turns with a wrong key and as a user who does not exist, until one gets no connection;
/// says how many were refused, and what was said of the last one.
const ONE_BY_ONE: &str = r#"cd "$(mktemp -d)"
ssh-keygen -q -t ed25519 -N '' -f wrong
n=0
while [ "$n" -lt 12 ]; do
  from=$first user=alice
  if [ $((n % 2)) = 1 ]; then from=$second user=ghost$n; fi
  ssh -F /dev/null -o BatchMode=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o ConnectTimeout=3 \
    -o IdentityAgent=none -o IdentitiesOnly=yes -i wrong -b "$from" "$user@$target" true >said 2>&1
  grep -q 'Permission denied' said || break
  n=$((n + 1))
done
echo "$n"
cat said"#;

/// The same with wrong passwords, one to a connection.
const PASSWORDS: &str = r#"cd "$(mktemp -d)"
printf '#!/bin/sh\necho wrong\n' >ask
chmod 755 ask
n=0
while [ "$n" -lt 12 ]; do
  SSH_ASKPASS=$PWD/ask SSH_ASKPASS_REQUIRE=force setsid -w ssh -F /dev/null -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null \
    -o ConnectTimeout=3 -o PubkeyAuthentication=no -o NumberOfPasswordPrompts=1 -b "$first" "alice@$target" true >said 2>&1
  grep -q 'Permission denied' said || break
  n=$((n + 1))
done
echo "$n"
cat said"#;

/// Lines as sshd writes them, and whom fail2ban's filter shall count for them, in order.
const LINES: &str = include_str!("sshd.log");
const COUNTED: [&str; 12] = [
    "10.0.0.9 alice",
    "10.0.0.7 alice",
    "10.0.0.7 alice",
    "10.0.0.6 alice",
    "10.0.0.5 bob",
    "2001:db8:1:2 bob",
    "2001:db8 bob",
    "2600::1:2:3:4:5 bob",
    "fd34:8732:e2f5:1 bob",
    "10.0.0.3",
    "2001:db8:1:2",
    "10.0.0.2 x 9.9.9.9 port 22 [preauth]",
];

/// What a host answers a script, run as root.
fn answer(host: &Host<'_>, script: &Script) -> Output {
    host.run_within(script, PATIENCE)
        .unwrap_or_else(|error| panic!("{}: {error}\n--- the script\n{}", host.name(), script.body()))
}

/// What `script` says, run as root; it must succeed.
fn run(host: &Host<'_>, script: &Script) -> String {
    let output = answer(host, script);
    assert!(output.exit.success(), "{}", seen(host, script, &output));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// All that is known of a script that ran.
fn seen(host: &Host<'_>, script: &Script, output: &Output) -> String {
    let how = match output.exit {
        Exit::Status(status @ (124 | 137)) => {
            format!("status {status}; after {} s it is killed", PATIENCE.as_secs())
        }
        how => format!("{how:?}"),
    };
    format!(
        "{}: {how}\n--- standard output\n{}\n--- standard error\n{}\n--- the script\n{}",
        host.name(),
        String::from_utf8_lossy(&output.stdout).trim_end(),
        String::from_utf8_lossy(&output.stderr).trim_end(),
        script.body()
    )
}

/// What a host knows of who was counted and banned. Each question may fail: its failure says something too.
const EVIDENCE: &str = r#"exec 2>&1
ask() { echo "--- $*"; timeout 60 "$@"; echo "--- status $?"; }
ask fail2ban-client status sshd
ask nft list table inet palisade-bans
ask nft list table inet palisade
ask systemctl --no-pager status ssh.service fail2ban.service
ask journalctl -q --no-pager -n 60 -o short-precise -t sshd -t sshd-session
ask journalctl -q --no-pager -n 30 -o short-precise -u fail2ban.service
ask tail -n 40 /var/log/fail2ban.log"#;

fn evidence(host: &Host<'_>) -> String {
    let script = Script::new().text(EVIDENCE);
    let output = answer(host, &script);
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn sh(host: &Host<'_>, text: &'static str) -> String {
    run(host, &Script::new().text(text))
}

fn of_family(host: &Host<'_>, family: Family) -> Address {
    host.addresses().find(|address| address.family() == family).expect("an address of the family")
}

/// Whether sshd greets this machine; a busy one is waited for.
fn greets(address: Address) -> bool {
    let within = Duration::from_mins(2);
    let Ok(mut stream) = TcpStream::connect_timeout(&SocketAddr::new(address.ip(), 22), within) else {
        return false;
    };
    let mut greeting = [0; 4];
    stream.set_read_timeout(Some(within)).expect("a time limit");
    stream.read_exact(&mut greeting).is_ok() && &greeting == b"SSH-"
}

/// Two managed hosts, enrolled, and one that nobody manages, with two addresses of one /64.
fn two_managed_and_an_outsider() -> World {
    let mut fleet = practice_fleet(3).expect("a fleet");
    let mut spec = Spec::copy_of(&fleet, Suites::InTurn).expect("a lab").stocked();
    if let Some(outside) = spec.hosts.iter_mut().find(|host| host.name.as_str() == "host-3") {
        outside.public.v6 = 2;
    }
    let inventory = fleet.environments.get_mut(&Environment::Test).expect("an environment");
    inventory.ssh_from = From::Internet;
    inventory.hosts.remove(&"host-3".parse().expect("a name"));
    World::enrolled(&fleet, &spec, PATIENT)
}

fn managed(world: &World) -> [Host<'_>; 2] {
    ["host-1", "host-2"].map(|name| world.host(name).expect("a host"))
}

/// Acts on both managed hosts side by side.
fn on_each(world: &World, act: impl Fn(&Host<'_>) + Sync) {
    std::thread::scope(|scope| {
        for host in managed(world) {
            let act = &act;
            scope.spawn(move || act(&host));
        }
    });
}

/// What an audit says of the lockout of each host.
fn lockout(world: &World) -> Vec<(String, String)> {
    let document = world.palisade(["audit", "test", "--control", "lockout"]).run().json();
    let hosts = document["hosts"].as_array().expect("hosts");
    hosts
        .iter()
        .map(|host| {
            let controls = host["controls"].as_array().expect("controls");
            let control = controls.iter().find(|control| control["id"] == "lockout").expect("it");
            (control["verdict"].as_str().unwrap_or_default().to_owned(), control.to_string())
        })
        .collect()
}

fn it_is_applied(world: &World) {
    // what it stands on, and no more: where everything is enforced, tests/lab/controls.rs looks at it too
    let controls = ["firewall", "key-only", "server-access", "lockout"].map(|control| ["--control", control]);
    let apply = ["apply", "test", "--yes", "--batch", "100%"];
    let _ = world.palisade(apply.iter().chain(controls.as_flattened()).copied()).run().exits(0);
    for (verdict, all) in lockout(world) {
        assert_eq!(verdict, "compliant", "{all}");
    }
}

/// What came of attempts at once.
struct Burst {
    /// So many were refused by sshd.
    refused: usize,
    /// So many got no connection.
    dropped: usize,
    /// What ssh said of others.
    said: String,
}

/// What came of attempts one after the other.
struct Tries {
    /// So many were refused by sshd before one got no connection.
    refused: usize,
    rounds: usize,
    /// What ssh said last, in each round.
    said: String,
}

/// Somebody who has no business on a host, and one host that he tries to enter.
struct Attack<'a> {
    attacker: &'a Host<'a>,
    target: Address,
    from: [Address; 2],
}

impl Attack<'_> {
    fn script(&self, text: &'static str) -> String {
        let [first, second] = self.from;
        let script = Script::new()
            .set("count", BURST as u64)
            .set("target", Arg::lossy(self.target.to_string()))
            .set("first", Arg::lossy(first.to_string()))
            .set("second", Arg::lossy(second.to_string()))
            .text(text);
        run(self.attacker, &script)
    }

    /// What came of [`BURST`] attempts at once.
    fn burst(&self) -> Burst {
        let all = self.script(ATTACK);
        let (counts, said) = all.split_once('\n').unwrap_or((&all, ""));
        let numbers: Vec<usize> = counts.split(' ').map_while(|word| word.parse().ok()).collect();
        let [refused, dropped] = numbers[..] else { panic!("no two numbers: {all}") };
        Burst { refused, dropped, said: said.to_owned() }
    }

    /// Attempts, one after the other, until sshd refused `wanted` or one of the attacker's addresses is banned. On a busy
    /// machine a connection may be given up before it is answered, and its packets come twice and count twice: that ends
    /// a round of tries, not the attack.
    fn one_by_one(&self, host: &Host<'_>, text: &'static str, wanted: usize) -> Tries {
        let mut tries = Tries { refused: 0, rounds: 0, said: String::new() };
        while tries.refused < wanted && tries.rounds < 10 && !is_banned(host, first_of(&self.sources())) {
            if tries.rounds > 0 {
                sh(
                    host,
                    "nft 'flush set inet palisade ssh4; flush set inet palisade ssh6'
systemctl reset-failed ssh.service; systemctl restart ssh.service",
                );
            }
            let all = self.script(text);
            let (refused, said) = all.split_once('\n').unwrap_or((&all, ""));
            tries.refused += refused.parse::<usize>().unwrap_or_else(|error| panic!("{error}: {all}"));
            tries.rounds += 1;
            let _ = writeln!(tries.said, "round {}: {refused}, then: {said}", tries.rounds);
        }
        tries
    }

    /// Whether nothing of the host answers.
    fn is_shut_out(&self) -> bool {
        self.script("if nc -z -w 2 -s \"$first\" \"$target\" 22; then echo open; else echo shut; fi")
            == "shut"
    }

    /// The addresses, and what fail2ban calls them.
    fn sources(&self) -> Vec<Address> {
        let mut sources = self.from.to_vec();
        sources.dedup();
        sources
    }
}

/// How many connections from `sources` sshd asked for a proof of who it is, by its own journal since `since`. Asked by name
/// and user: journald does not learn the unit or command of a process that is gone before it looks.
fn judged(host: &Host<'_>, sources: &[Address], since: &str) -> usize {
    let count = |source: &Address| -> usize {
        let script = Script::new()
            .set("address", Arg::lossy(source.to_string()))
            .set("since", Arg::lossy(since.to_owned()))
            .text(
                "journalctl -t sshd -t sshd-session _UID=0 --since \"$since\" --no-pager -o cat | grep -E '^(Failed|Invalid user|Connection (closed|reset) by|Disconnect)' | grep -F \" $address port \" | grep -o 'port [0-9]*' | sort -u | wc -l",
            );
        run(host, &script).parse().expect("a number")
    };
    sources.iter().map(count).sum()
}

/// Waits until the kernel drops what comes from `source`.
fn wait_for_ban(host: &Host<'_>, source: Address) {
    wait_telling(
        &format!("{}: {source} is banned", host.name()),
        || is_banned(host, source),
        || evidence(host),
    );
}

fn is_banned(host: &Host<'_>, source: Address) -> bool {
    let script = Script::new().set("address", Arg::lossy(source.to_string())).text(
        "case $address in *:*) set=ban6 ;; *) set=ban4 ;; esac
if nft get element inet palisade-bans \"$set\" \"{ $address }\" >/dev/null 2>&1; then echo banned; else echo not yet; fi",
    );
    run(host, &script) == "banned"
}

/// Begins anew: nobody is banned, and the kernel has counted nobody.
fn forgive(host: &Host<'_>) {
    // sshd keeps its own penalties in memory (Debian 13); what is left of them would end the next tries early.
    sh(host, "systemctl reset-failed ssh.service; systemctl restart ssh.service");
    let unban = Script::new().text(
        "fail2ban-client unban --all && nft 'flush set inet palisade ssh4; flush set inet palisade ssh6'",
    );
    wait_telling(
        &format!("{}: nobody is banned", host.name()),
        || {
            let unbanned = answer(host, &unban);
            let left = sh(host, "nft list table inet palisade-bans | grep 'timeout.*expires' || true");
            if !unbanned.exit.success() {
                note(&seen(host, &unban, &unbanned));
            } else if !left.is_empty() {
                note(&format!("{left}: {}", sh(host, "tail -n 12 /var/log/fail2ban.log")));
            }
            unbanned.exit.success() && left.is_empty()
        },
        || evidence(host),
    );
}

/// A moment after all that the journal says so far: its times are asked for by whole seconds.
fn now(host: &Host<'_>) -> String {
    sh(host, "sleep 1; date '+%Y-%m-%d %H:%M:%S'")
}

fn whoever_fails_five_times_is_shut_out() {
    let world = two_managed_and_an_outsider();
    it_is_applied(&world);
    on_each(&world, |host| {
        filter_counts_what_it_shall(host);
        attacks(&world, host);
        what_is_blocked_stays_blocked(&world, host);
    });
    for (verdict, all) in lockout(&world) {
        assert_eq!(verdict, "compliant", "{all}");
    }
    on_each(&world, |host| wrong_passwords_count_each(&world, host));
    what_is_broken_by_hand_is_found_and_mended(&world);
    world.down();
}

fn filter_counts_what_it_shall(host: &Host<'_>) {
    let script = Script::new().set("lines", Arg::lossy(LINES.to_owned())).text(
        "printf %s \"$lines\" >/run/lines.log
fail2ban-regex -o '<fid> <F-USER>' /run/lines.log palisade-sshd",
    );
    let counted = run(host, &script);
    let counted: Vec<String> =
        counted.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    assert_eq!(counted, COUNTED, "{}", host.name());
}

fn attacks(world: &World, host: &Host<'_>) {
    let attacker = world.host("host-3").expect("the attacker");
    let v4 = of_family(&attacker, Family::V4);
    let v6: Vec<Address> =
        attacker.record().public.iter().copied().filter(|address| address.family() == Family::V6).collect();
    let [first, second] = <[Address; 2]>::try_from(v6).expect("two IPv6 addresses");
    for (family, from) in [(Family::V4, [v4, v4]), (Family::V6, [first, second])] {
        let attack = Attack { attacker: &attacker, target: of_family(host, family), from };
        let sources = attack.sources();

        let since = now(host);
        let begun = Instant::now();
        let Burst { refused, dropped, said } = attack.burst();
        let most = let_through(begun.elapsed());
        // sshd writes a connection down once it is closed, which may be after its client is gone.
        let written = || judged(host, &sources, &since) >= refused;
        wait_telling(&format!("{refused} in sshd's journal"), written, || evidence(host));
        let counted = judged(host, &sources, &since);
        note(&format!(
            "{} {family:?}: of {BURST} at once {counted} were judged, {refused} refused, {dropped} dropped",
            host.name()
        ));
        assert!(
            (1..=most).contains(&refused),
            "{refused} were refused by sshd, of {most} that the limit lets through\n{}",
            evidence(host)
        );
        // On a slow machine one of the five may give up before sshd has refused it, and is written down too.
        assert!(
            (refused..=most).contains(&counted),
            "sshd's journal has {counted}, of which {refused} were refused\n{}",
            evidence(host)
        );
        assert_eq!(refused + dropped, BURST, "the others never got through; {refused} were refused:\n{said}");
        // Where one of the five gave up, the ban is still to come.
        let left = if refused >= ATTEMPTS {
            wait_for_ban(host, first_of(&sources));
            ATTEMPTS
        } else {
            ATTEMPTS - refused
        };
        forgive(host);

        let since = now(host);
        let begun = Instant::now();
        let Tries { refused, rounds, said } = attack.one_by_one(host, ONE_BY_ONE, left);
        wait_for_ban(host, first_of(&sources));
        note(&format!(
            "{} {family:?}: one after the other {refused} were refused; fail2ban's delay {}; {} ms in all",
            host.name(),
            sh(host, "awk '/ Found /{f=$2} / Ban /{print f \" to \" $2}' /var/log/fail2ban.log | tail -n 1"),
            begun.elapsed().as_millis()
        ));
        // The limit on bursts lets a sixth through after twelve seconds; it may come before the ban.
        let most = left + let_through(begun.elapsed()) - ATTEMPTS;
        assert!((left..=most).contains(&refused), "{refused} were refused\n{said}{}", evidence(host));
        // What was given up may have been written down too.
        let counted = judged(host, &sources, &since);
        assert!(
            (refused..refused + rounds).contains(&counted),
            "{counted} were judged in {rounds} rounds, {refused} refused\n{said}{}",
            evidence(host)
        );
        // Without the limit on bursts too: it is the ban that stands.
        sh(host, "nft 'flush set inet palisade ssh4; flush set inet palisade ssh6'");
        assert!(attack.is_shut_out(), "{}", evidence(host));
        // The attacker is shut out, and its neighbour, the management, is not, even in the same /64.
        let management_enters = (0..=2 * ATTEMPTS).all(|_| greets(attack.target));
        assert!(management_enters, "the management gets in\n{}", evidence(host));
        // The last one stays, for what follows.
        if family == Family::V4 {
            forgive(host);
        }
    }
}

fn first_of(sources: &[Address]) -> Address {
    sources.first().copied().expect("an address")
}

/// Whatever is started anew, and whoever flushes the tables, the ban of the attacker's /64 comes back. It was the last.
fn what_is_blocked_stays_blocked(world: &World, host: &Host<'_>) {
    let attacker = world.host("host-3").expect("the attacker");
    let v6 = of_family(&attacker, Family::V6);
    let calm = |host: &Host<'_>| {
        wait_for_ban(host, v6);
        let attack = Attack { attacker: &attacker, target: of_family(host, Family::V6), from: [v6, v6] };
        assert!(attack.is_shut_out(), "{}\n{}", host.name(), evidence(host));
    };
    for change in [
        "systemctl restart fail2ban.service",
        "systemctl kill -s KILL fail2ban.service; systemctl start fail2ban.service",
        "systemctl reload palisade-firewall.service && systemctl restart palisade-firewall.service",
        "systemctl start nftables.service",
        "systemctl reload nftables.service",
        "systemctl stop nftables.service",
    ] {
        sh(host, change);
        // What the flush set off must be over, or its restart meets the next one.
        sh(host, "while [ -n \"$(systemctl list-jobs --no-legend)\" ]; do sleep 0.1; done");
        calm(host);
        note(&format!("{}: still shut out after {change}", host.name()));
    }
    host.reboot().expect("it comes back");
    host.wait_until_ready().expect("it is ready");
    calm(host);
    note(&format!("{}: still shut out after a reboot", host.name()));
    assert!(greets(of_family(host, Family::V6)), "the management gets in\n{}", evidence(host));
    // The management may fail as often as it does, in either family.
    let wrong = world.private_key("vendor");
    for family in [Family::V4, Family::V6] {
        for _ in 0..=ATTEMPTS {
            let target = format!("ghost@{}", of_family(host, family));
            let status = Program::Ssh
                .command()
                .args(["-F", "/dev/null", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=no"])
                .args(["-o", "UserKnownHostsFile=/dev/null", "-o", "IdentitiesOnly=yes", "-i"])
                .arg(&wrong)
                .args([&target, "true"])
                .stdin(Stdio::null())
                .stderr(Stdio::null())
                .status()
                .expect("ssh starts");
            assert!(!status.success());
        }
    }
    let has_read = || {
        let count = sh(host, "grep -c 'Ignore .* by' /var/log/fail2ban.log || true");
        count.parse::<usize>().is_ok_and(|count| count >= 2 * ATTEMPTS)
    };
    wait_telling("fail2ban has read of it", has_read, || evidence(host));
    let both_enter = [Family::V4, Family::V6].iter().all(|family| greets(of_family(host, *family)));
    assert!(both_enter, "the management gets in\n{}", evidence(host));
}

/// Where somebody switched passwords on, each wrong one is an attempt.
fn wrong_passwords_count_each(world: &World, host: &Host<'_>) {
    let attacker = world.host("host-3").expect("the attacker");
    let v4 = of_family(&attacker, Family::V4);
    forgive(host);
    sh(
        host,
        "cp /etc/ssh/sshd_config.d/00-palisade.conf /run/
sed -i 's/PasswordAuthentication no/PasswordAuthentication yes/; /AuthenticationMethods/d' /etc/ssh/sshd_config.d/00-palisade.conf
systemctl reload ssh",
    );
    let since = now(host);
    let begun = Instant::now();
    let attack = Attack { attacker: &attacker, target: of_family(host, Family::V4), from: [v4, v4] };
    let Tries { refused, rounds, said } = attack.one_by_one(host, PASSWORDS, ATTEMPTS);
    wait_for_ban(host, v4);
    let most = let_through(begun.elapsed());
    note(&format!("{}: {refused} wrong passwords were refused", host.name()));
    let counted = judged(host, &[v4], &since);
    assert!(
        (refused..refused + rounds).contains(&counted),
        "{counted} were judged in {rounds} rounds, {refused} refused\n{said}{}",
        evidence(host)
    );
    // sshd answers a wrong password after two seconds: the limit on bursts lets a sixth connection through by then, and
    // it is judged where it comes before the ban (docs/lockout.md).
    assert!((ATTEMPTS..=most).contains(&refused), "{refused} wrong passwords\n{said}{}", evidence(host));
    sh(host, "mv /run/00-palisade.conf /etc/ssh/sshd_config.d/; systemctl reload ssh");
}

fn what_is_broken_by_hand_is_found_and_mended(world: &World) {
    let mut before = lockout(world);
    for (part, breaks) in [
        ("an address of the table", "nft flush set inet palisade-bans ban4"),
        ("the table's rule", "nft insert rule inet palisade-bans input ip saddr 203.0.113.66 accept"),
        ("the jail", "fail2ban-client set sshd maxretry 100"),
        ("the exemption", "fail2ban-client set sshd addignoreip 203.0.113.66"),
        ("the filter", "sed -i '/Failed publickey/d' /etc/fail2ban/filter.d/palisade-sshd.conf"),
        ("the action", "sed -i 's/^actionban.*/actionban = true/' /etc/fail2ban/action.d/palisade.conf"),
        ("fail2ban", "systemctl disable --now fail2ban.service"),
        (
            "what sshd writes",
            "sed -i s/VERBOSE/INFO/ /etc/ssh/sshd_config.d/00-palisade-lockout.conf; systemctl reload ssh",
        ),
        ("the drop-in", "rm /etc/systemd/system/nftables.service.d/palisade-bans.conf"),
        ("the table", "nft delete table inet palisade-bans"),
    ] {
        for host in managed(world) {
            sh(&host, breaks);
        }
        let after = lockout(world);
        for ((verdict, all), (_, earlier)) in after.iter().zip(&before) {
            assert_eq!(verdict, "drift", "{part}: {all}");
            assert_ne!(all, earlier, "{part} makes a difference of its own");
        }
        before = after;
        note(&format!("found by an audit: {part} broken by hand"));
    }
    it_is_applied(world);
}
