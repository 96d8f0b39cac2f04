//! The firewall's text and a real nft, in a network namespace of its own: it takes every text that is made, lists every
//! rule as it was written, and the kernel does with connections what the rules say. What widening and narrowing do to a
//! live table is seen in its listings. What single packets do is asked in `firewall_packets.rs`.

use std::io::Write as _;
use std::process::{Command, Stdio};

use jiff::Timestamp;
use palisade::domain::{Cidr, GroupName, Mode, Port, Protocol, UserName};
use palisade::kinds::firewall::nftables::{Answer, Nftables, Others, Tables};
use palisade::kinds::firewall::ruleset::{Opening, Reach, Ruleset, Ssh};
use palisade::program::{Program, SYSTEM_PATH};
use palisade::resource::{Change, FileContent, FileState, Kind as _, Phase, Step, Verdict};
use proptest::prelude::*;
use support::Needs;

support::tests! {
    Needs::root(&[Program::Unshare, Program::Sh, Program::Nft]) => [
        nft_takes_the_text_and_lists_every_rule,
        what_a_container_publishes_is_listed_by_the_port_of_the_host,
        rules_that_widen_are_listed_as_they_were_written,
        nft_takes_every_text,
        widening_lets_the_management_in_in_front_of_the_live_rules_and_narrow_expects_it,
        nothing_widens_where_the_management_is_let_in_already,
        a_drop_in_front_of_the_management_is_widened_over,
    ],
    Needs::root(&[
        Program::Unshare,
        Program::Sh,
        Program::Nft,
        Program::Ip,
        Program::Python3,
        Program::Cmp,
    ]) => [
        the_kernel_lets_five_connections_a_minute_begin,
    ],
}

/// The text of a firewall with two listeners, as it was reviewed.
const EXAMPLE: &str = include_str!("../../src/kinds/firewall/ruleset/example.nft");

fn cidrs(list: &[&str]) -> Vec<Cidr> {
    list.iter().map(|text| text.parse().unwrap()).collect()
}

fn opening(port: u32, protocol: Protocol, from: Reach) -> Opening {
    Opening {
        role: "web".parse().unwrap(),
        listener: "https".parse().unwrap(),
        protocol,
        port: port.try_into().unwrap(),
        from,
        container: false,
    }
}

fn ssh(from: Reach) -> Ssh {
    Ssh { port: Port::SSH, from, attempts: 5 }
}

/// A shell in a network namespace of its own, with `$1` and so on.
fn alone(script: &str) -> Command {
    let mut command = Program::Unshare.command();
    command.args(["-n", "/bin/sh", "-c", script, "sh"]).env("PATH", SYSTEM_PATH);
    command
}

/// nft's own opinion of `text`: loaded into an empty network namespace and listed.
fn listed(text: &str) -> String {
    let mut child = alone("nft -f - && nft -s -t list table inet palisade")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let done = child.wait_with_output().unwrap();
    assert!(done.status.success(), "{text}\n{}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).unwrap()
}

fn nft_takes_the_text_and_lists_every_rule() {
    let listing = listed(EXAMPLE);
    // Every rule has a comment.
    assert_eq!(listing.matches("comment").count(), EXAMPLE.matches("comment").count(), "{listing}");
    assert_eq!(Ruleset::head(&listing), 3 + 4 + 2, "{listing}");
    // A comment of the longest names fits.
    let longest = Opening {
        role: "r".repeat(63).parse().unwrap(),
        listener: "l".repeat(63).parse().unwrap(),
        ..opening(443, Protocol::Tcp, Reach::Everywhere)
    };
    listed(&Ruleset::new(&[], &ssh(Reach::Everywhere), &[longest]).render());
}

fn what_a_container_publishes_is_listed_by_the_port_of_the_host() {
    let published = |port, from| Opening { container: true, ..opening(port, Protocol::Tcp, from) };
    let rules = Ruleset::new(
        &cidrs(&["198.51.100.10"]),
        &ssh(Reach::Networks(Vec::new())),
        &[
            published(443, Reach::Everywhere),
            published(8443, Reach::Networks(cidrs(&["198.51.100.10", "2001:db8::10"]))),
            opening(80, Protocol::Tcp, Reach::Everywhere),
        ],
    );
    let listing = listed(&rules.render());
    assert_eq!(listing.matches("ct original proto-dst").count(), 3, "{listing}");
}

/// What the kernel itself makes of connections: five of a source begin, the sixth is dropped, the management's are not;
/// what it counts is left out of terse listings, and does not keep the table from being loaded as it was listed.
fn the_kernel_lets_five_connections_a_minute_begin() {
    let lo = cidrs(&["127.0.0.9", "fd00:9::1"]);
    let rules = Ruleset::new(&lo, &ssh(Reach::Everywhere), &[]).render();
    // Packets come in over loopback here, which passes before all else on a host.
    let rules = rules.replace("\t\tiif \"lo\" accept comment \"loopback\"\n", "");
    let script = r#"set -e
printf '%s' "$1" >rules; ip link set lo up; ip -6 addr add fd00:9::1/128 dev lo nodad
for last in 1 2; do ip -6 addr add "fd00:1::$last/64" dev lo nodad; done
nft -f rules; nft -s -t list table inet palisade >before
try() { # from, times: how many of these are refused by the kernel's TCP, and so were let through
  python3 - "$@" <<'END'
import socket, sys
passed = 0
for _ in range(int(sys.argv[2])):
    try:
        socket.create_connection((sys.argv[3], 22), 0.3, (sys.argv[1], 0))
    except ConnectionRefusedError:
        passed += 1
    except OSError:
        pass
print(passed)
END
}
try 127.0.0.5 7 127.0.0.1; try 127.0.0.6 2 127.0.0.1; try 127.0.0.9 7 127.0.0.1
try fd00:1::1 4 fd00:9::1; try fd00:1::2 4 fd00:9::1
nft -s -t list table inet palisade | cmp - before
{ printf 'delete table inet palisade
'; nft list table inet palisade; } >again; nft -f again"#;
    let folder = tempfile::tempdir().unwrap();
    let done = alone(script).arg(&rules).current_dir(folder.path()).output().unwrap();
    let said = String::from_utf8_lossy(&done.stdout);
    let trouble = String::from_utf8_lossy(&done.stderr);
    assert_eq!(said.split_whitespace().collect::<Vec<_>>(), ["5", "2", "7", "4", "1"], "{trouble}");
    assert!(done.status.success(), "{trouble}");
}

fn network() -> impl Strategy<Value = Cidr> {
    let v4 = (any::<u32>(), 9_u8..=32).prop_map(|(bits, length)| {
        let mask = u32::MAX << (32 - u32::from(length));
        format!("{}/{length}", std::net::Ipv4Addr::from_bits(bits & mask))
    });
    let v6 = (any::<u128>(), 33_u8..=128).prop_map(|(bits, length)| {
        let mask = u128::MAX << (128 - u32::from(length));
        format!("{}/{length}", std::net::Ipv6Addr::from_bits(bits & mask))
    });
    prop_oneof![v4, v6].prop_filter_map("an IPv4-mapped network", |text| text.parse().ok())
}

fn reach() -> impl Strategy<Value = Reach> {
    prop_oneof![Just(Reach::Everywhere), prop::collection::vec(network(), 0..6).prop_map(Reach::Networks)]
}

fn openings() -> impl Strategy<Value = Vec<Opening>> {
    let protocol = prop_oneof![Just(Protocol::Tcp), Just(Protocol::Udp)];
    let one = (protocol, 1_u32..=65535, reach(), any::<bool>())
        .prop_map(|(protocol, port, from, container)| Opening { container, ..opening(port, protocol, from) });
    prop::collection::vec(one, 0..8)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    /// nft takes every text that we make, and lists the same for its own listing.
    fn nft_takes_every_text(
        management in prop::collection::vec(network(), 1..5),
        from in reach(),
        attempts in 1_u32..=20,
        openings in openings(),
    ) {
        let rules = Ruleset::new(&management, &Ssh { port: Port::SSH, from, attempts }, &openings);
        let listing = listed(&rules.render());
        prop_assert_eq!(listed(&listing), listing);
    }
}

fn firewall(management: &[&str]) -> Nftables {
    let management = cidrs(management);
    let ruleset = Ruleset::new(&management, &ssh(Reach::Networks(Vec::new())), &[]);
    Nftables { ruleset, management, ssh_port: Port::SSH }
}

/// The file that loads a firewall at boot.
fn file(firewall: &Nftables) -> FileState {
    FileState::Present(FileContent {
        content: firewall.ruleset.render(),
        mode: Mode::PRIVATE,
        owner: UserName::root(),
        group: GroupName::root(),
    })
}

fn answer(desired: &str, live: &str, file: FileState) -> Answer {
    let tables = Tables {
        desired: desired.to_owned(),
        live: Some(live.to_owned()),
        dropping: Vec::new(),
        others: Vec::new(),
        beside: Others::default(),
    };
    Answer { tables: Some(tables), file, forwards: false, unlisted: Vec::new() }
}

/// What steps load, and into which table.
fn loads(steps: &[Step]) -> Vec<(Phase, Option<&str>, &str)> {
    let ruleset = |step| match step {
        &Step { phase, change: Change::Ruleset { ref before, ref load }, .. } => {
            Some((phase, before.as_deref(), load.as_str()))
        }
        _ => None,
    };
    steps.iter().filter_map(ruleset).collect()
}

fn rules_that_widen_are_listed_as_they_were_written() {
    let wanted = firewall(&["198.51.100.10", "192.0.2.0/24", "2001:db8::1", "2001:db8:1::/48"]);
    let (live, desired) = (listed(EXAMPLE), listed(&wanted.ruleset.render()));
    let steps = wanted.remedy(&answer(&desired, &live, FileState::Absent)).unwrap();
    let [(Phase::Widen, _, insert), (Phase::Narrow, ..)] = loads(&steps)[..] else { panic!("{steps:?}") };
    let rules: Vec<&str> =
        insert.lines().map(|line| line.strip_prefix("insert rule inet palisade input ").unwrap()).collect();
    assert_eq!(rules.len(), 4, "{insert}");
    let listing = listed(&format!("{EXAMPLE}{insert}"));
    for rule in rules {
        assert!(listing.lines().any(|line| line.trim() == rule), "{rule}\n{listing}");
    }
}

fn widening_lets_the_management_in_in_front_of_the_live_rules_and_narrow_expects_it() {
    let (old, new) = (firewall(&["192.0.2.1"]), firewall(&["192.0.2.1", "192.0.2.2", "2001:db8::/48"]));
    let (live, desired) = (listed(&old.ruleset.render()), listed(&new.ruleset.render()));
    let (live, desired) = (live.trim_end(), desired.trim_end());
    let steps = new.remedy(&answer(desired, live, file(&old))).unwrap();
    let phases: Vec<Phase> = steps.iter().map(|step| step.phase).collect();
    assert_eq!(phases, [Phase::Widen, Phase::Widen, Phase::Narrow, Phase::Narrow]);
    let [(_, Some(before), insert), (_, Some(expected), whole)] = loads(&steps)[..] else {
        panic!("{steps:?}");
    };
    assert_eq!((before, whole), (live, new.ruleset.render().as_str()));
    // What narrow expects is what nft lists once widen is done, from the kernel and from the file alike.
    let widened = listed(&format!("{}{insert}", old.ruleset.render()));
    assert_eq!(widened.trim_end(), expected);
    let Change::File { after: FileState::Present(file), .. } = &steps[0].change else { panic!("{steps:?}") };
    assert_eq!(listed(&file.content), widened);
    // Asked again after widen, only narrow is left.
    let again = new.remedy(&answer(desired, expected, FileState::Present(file.clone()))).unwrap();
    assert!(again.iter().all(|step| step.phase == Phase::Narrow), "{again:?}");
    assert_eq!(loads(&again).len(), 1);
}

fn nothing_widens_where_the_management_is_let_in_already() {
    let wanted = firewall(&["192.0.2.1", "192.0.2.2"]);
    let desired = listed(&wanted.ruleset.render());
    let live = desired.replace("\t\tcounter", "\t\ttcp dport 8000 accept\n\t\tcounter");
    let state = answer(&desired, &live, file(&wanted));
    let steps = wanted.remedy(&state).unwrap();
    assert_eq!(steps.iter().map(|step| step.phase).collect::<Vec<_>>(), [Phase::Narrow]);
    assert_eq!(
        wanted.judge(&state, Timestamp::UNIX_EPOCH),
        Verdict::Drift { findings: vec!["loaded, and not declared: tcp dport 8000 accept".to_owned()] }
    );
}

fn a_drop_in_front_of_the_management_is_widened_over() {
    let wanted = firewall(&["192.0.2.1"]);
    let desired = listed(&wanted.ruleset.render());
    let live = desired.replace("\t\tct state est", "\t\ttcp dport 22 drop\n\t\tct state est");
    let steps = wanted.remedy(&answer(&desired, &live, FileState::Absent)).unwrap();
    let [(Phase::Widen, _, load), (Phase::Narrow, ..)] = loads(&steps)[..] else { panic!("{steps:?}") };
    assert_eq!(
        load,
        "insert rule inet palisade input ip saddr 192.0.2.1 tcp dport 22 accept comment \"palisade widen\"\n"
    );
}
