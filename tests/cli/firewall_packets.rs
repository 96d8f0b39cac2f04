//! The firewall's simulator against packets: what [`Ruleset::simulate`] says of a connection is what becomes of it in a
//! network namespace into which the same rules are loaded. Two namespaces and a wire between them; the far one has many
//! addresses, and knocks from each. Half of the packets are passed on to another address, as those for a container are.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::process::Stdio;

use palisade::domain::{Address, Cidr, Port, Protocol};
use palisade::kinds::firewall::ruleset::{Opening, Packet, PacketVerdict, Reach, Ruleset, Ssh};
use palisade::program::Program;
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use support::Needs;

support::tests! {
    Needs::root(PROGRAMS) => [
        what_the_simulator_says_is_what_packets_do,
    ],
}

const PROGRAMS: &[Program] = &[
    Program::Unshare,
    Program::Nsenter,
    Program::Sh,
    Program::Bash,
    Program::Nft,
    Program::Ip,
    Program::Sysctl,
    Program::Base64,
    Program::Grep,
    Program::Readlink,
    Program::Sleep,
    Program::Timeout,
];

/// How many sets of rules, and how many packets for each.
const RULESETS: usize = 20;
const PACKETS: usize = 20;

/// Where packets come from: the far side has all of them. Pairs of neighbours stand on both sides of many prefixes.
const V4: [&str; 8] = [
    "198.18.0.1",
    "198.18.0.127",
    "198.18.0.128",
    "198.18.0.255",
    "198.18.1.0",
    "198.18.1.1",
    "198.18.127.255",
    "198.18.128.0",
];
const V6: [&str; 6] = [
    "2001:db8::1",
    "2001:db8::ffff",
    "2001:db8:0:1::1",
    "2001:db8:1::1",
    "2001:db8:ffff::1",
    "2001:db8:8000::1",
];

/// What the far side has too, and the host knows to be elsewhere: whoever comes from there has forged it.
const ELSEWHERE: [&str; 2] = ["10.55.0.1", "fd55::1"];
/// The networks that they lie in.
const PRIVATE: [&str; 2] = ["10.55.0.0/16", "fd55::/64"];

const PORTS: [u32; 6] = [22, 80, 443, 546, 5432, 65535];

fn networks() -> impl Strategy<Value = Vec<Cidr>> {
    let v4 = (prop::sample::select(V4.to_vec()), prop::sample::select(vec![16_u8, 17, 23, 24, 25, 31, 32]))
        .prop_map(|(address, length)| cidr(address, length));
    let v6 = (prop::sample::select(V6.to_vec()), prop::sample::select(vec![33_u8, 48, 64, 112, 127, 128]))
        .prop_map(|(address, length)| cidr(address, length));
    prop::collection::vec(prop_oneof![v4, v6], 0..4)
}

/// The network of this length that `address` lies in.
fn cidr(address: &str, length: u8) -> Cidr {
    let network = match address.parse().unwrap() {
        std::net::IpAddr::V4(v4) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(length)).unwrap_or(0);
            std::net::Ipv4Addr::from_bits(v4.to_bits() & mask).to_string()
        }
        std::net::IpAddr::V6(v6) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(length)).unwrap_or(0);
            std::net::Ipv6Addr::from_bits(v6.to_bits() & mask).to_string()
        }
    };
    format!("{network}/{length}").parse().unwrap()
}

fn port() -> impl Strategy<Value = Port> {
    prop::sample::select(PORTS.to_vec()).prop_map(|port| port.try_into().unwrap())
}

fn protocol() -> impl Strategy<Value = Protocol> {
    prop_oneof![Just(Protocol::Tcp), Just(Protocol::Udp)]
}

fn reach() -> impl Strategy<Value = Reach> {
    prop_oneof![1 => Just(Reach::Everywhere), 3 => networks().prop_map(Reach::Networks)]
}

fn rules() -> impl Strategy<Value = Ruleset> {
    let opening =
        (protocol(), port(), reach(), any::<bool>()).prop_map(|(protocol, port, from, container)| Opening {
            role: "web".parse().unwrap(),
            listener: "one".parse().unwrap(),
            protocol,
            port,
            from,
            container,
        });
    let all = (networks(), reach(), prop::collection::vec(opening, 0..5), networks(), any::<bool>());
    all.prop_map(|(management, from, openings, mut private, elsewhere)| {
        // More than a packet of each source: what a limit does is not what is asked here.
        let ssh = Ssh { port: Port::SSH, from, attempts: 100 };
        private.extend(PRIVATE.iter().filter(|_| elsewhere).map(|network| network.parse::<Cidr>().unwrap()));
        Ruleset::new(&management, &ssh, &openings).behind(&private)
    })
}

fn packet() -> impl Strategy<Value = (Address, Protocol, Port)> {
    let all: Vec<&str> = V4.into_iter().chain(V6).chain(ELSEWHERE).collect();
    (prop::sample::select(all).prop_map(|text| text.parse().unwrap()), protocol(), port())
}

/// Two namespaces: the shell's own is the host's, the other is held by a sleep of its own and named by its id. The rules
/// and packets come on standard input; each packet's word goes to standard output.
///
/// A packet counts as passed where a counter behind our table's chain sees it: a chain of a later priority, in a table of
/// its own, counts each packet by its number, which is its mark at the far side's port.
const STAGE: &str = r#"set -e
ip link set lo up
unshare -n sleep 300 </dev/null >/dev/null 2>&1 & far=$!
trap 'kill $far' EXIT
while [ "$(readlink /proc/$far/ns/net)" = "$(readlink /proc/self/ns/net)" ]; do sleep 0.05; done
ip link add near type veth peer name far netns $far
in_far() { nsenter -t $far -n "$@"; }
for name in all default near; do sysctl -qw net.ipv6.conf.$name.accept_dad=0 net.ipv6.conf.$name.dad_transmits=0; done
in_far sysctl -qw net.ipv6.conf.all.accept_dad=0 net.ipv6.conf.default.accept_dad=0
ip addr add 198.19.0.1/32 dev near
ip addr add 2001:db8:f::1/128 dev near nodad
for name in all default near; do sysctl -qw net.ipv4.conf.$name.rp_filter=0; done
ip link set near up
in_far ip link set lo up
in_far ip link set far up
for address in $1; do
  case $address in *:*) in_far ip addr add $address/128 dev far nodad ;; *) in_far ip addr add $address/32 dev far ;; esac
done
in_far ip route add 198.19.0.1 dev far
in_far ip route add 2001:db8:f::1 dev far
ip route add 198.18.0.0/15 dev near
ip route add 2001:db8::/32 dev near
ip link add inner type veth peer name nowhere
ip link set nowhere up
ip link set inner up
ip route add 10.55.0.0/16 dev inner
ip -6 route add fd55::/64 dev inner
ip addr add 10.99.0.1/24 dev inner
ip addr add fd99::1/64 dev inner nodad
sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
sleep 0.3
/bin/bash -c "$2" bash "$far"
"#;

/// Bash knocks: /dev/tcp has no source address, so the far side's route is set to the source of each packet.
const KNOCK: &str = r#"far=$1
while read -r word a b c; do
  case $word in
  rules)
    nft flush ruleset
    base64 -d <<<"$a" | nft -f - || exit 1
    nft -f - <<END || exit 1
table inet witness {
  counter passed { }
  chain input { type filter hook input priority 100; meta iifname near meta l4proto { tcp, udp } counter name passed; }
  chain forward { type filter hook forward priority 100; meta iifname near meta l4proto { tcp, udp } counter name passed; }
}
END
    ;;
  publish)
    nft -f - <<END || exit 1
table inet theirs {
  chain prerouting {
    type nat hook prerouting priority dstnat;
    meta iifname near meta nfproto ipv4 meta l4proto { tcp, udp } dnat ip to 10.99.0.2:8080
    meta iifname near meta nfproto ipv6 meta l4proto { tcp, udp } dnat ip6 to [fd99::2]:8080
  }
}
END
    ;;
  packet)
    case $a in *:*) target=2001:db8:f::1 route="ip -6 route" ;; *) target=198.19.0.1 route="ip route" ;; esac
    nft reset counter inet witness passed >/dev/null
    nsenter -t $far -n $route replace $target dev far src $a
    if [ $b = tcp ]; then
      nsenter -t $far -n timeout 0.1 /bin/bash -c "exec 3<>/dev/tcp/$target/$c" 2>/dev/null
    else
      nsenter -t $far -n /bin/bash -c "echo x >/dev/udp/$target/$c" 2>/dev/null
    fi
    count=$(nft list counter inet witness passed | grep -o 'packets [0-9]*')
    case $count in 'packets 0') echo drop ;; packets*) echo accept ;; *) exit 1 ;; esac
    ;;
  esac
done
"#;

fn what_the_simulator_says_is_what_packets_do() {
    let seed: [u8; 32] = std::array::from_fn(|at| std::process::id().to_le_bytes()[at % 4]);
    let config = Config { failure_persistence: None, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &seed));
    let mut input = String::new();
    let mut asked: Vec<(usize, Address, Protocol, Port, PacketVerdict, bool)> = Vec::new();
    let mut texts = Vec::new();
    for place in 0..RULESETS {
        let rules = rules().new_tree(&mut runner).unwrap().current();
        let _ = writeln!(input, "rules {}", base64(rules.render().as_bytes()));
        texts.push(rules.render());
        // The same packet twice would be of a connection that is known.
        let mut once = BTreeSet::new();
        while once.len() < PACKETS {
            let (source, mut protocol, mut port) = packet().new_tree(&mut runner).unwrap().current();
            // Each second one to a port that is open, where one is: else few of them would pass.
            let published = once.len() >= PACKETS / 2;
            let opened = if published { rules.passes_on().next() } else { rules.opens().last() };
            if let Some(opened) = opened.filter(|_| once.len().is_multiple_of(2)) {
                (protocol, port) = opened;
            }
            if once.insert((source, protocol.as_str(), port)) {
                let _ = writeln!(input, "packet {source} {} {port}", protocol.as_str());
                let routed_back = !PRIVATE.iter().any(|one| one.parse::<Cidr>().unwrap().contains(source));
                let packet = Packet { routed_back, ..Packet::first(source, protocol, port) };
                let treatment =
                    if published { rules.simulate_passed_on(&packet) } else { rules.simulate(&packet) };
                asked.push((place, source, protocol, port, treatment, published));
                if once.len() == PACKETS / 2 {
                    input.push_str("publish\n");
                }
            }
        }
    }
    let addresses: Vec<&str> = V4.into_iter().chain(V6).chain(ELSEWHERE).collect();
    let mut child = Program::Unshare
        .command()
        .args(["-n", "/bin/sh", "-c", STAGE, "sh", &addresses.join(" "), KNOCK])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let feed = std::thread::spawn(move || std::io::Write::write_all(&mut stdin, input.as_bytes()));
    let done = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{said}");
    feed.join().unwrap().unwrap();
    let answers = String::from_utf8(done.stdout).unwrap();
    let answers: Vec<&str> = answers.lines().collect();
    assert_eq!(answers.len(), asked.len(), "{said}");
    let mut wrong = String::new();
    let mut ends = BTreeSet::new();
    for ((place, source, protocol, port, treatment, published), answer) in asked.into_iter().zip(answers) {
        let expected = if treatment == PacketVerdict::Accept { "accept" } else { "drop" };
        ends.insert((source.family(), expected, published));
        if expected != answer {
            let rules = &texts[place];
            let _ = writeln!(
                wrong,
                "{} to port {port} from {source}{}: simulated {expected}, in truth {answer}, by\n{rules}",
                protocol.as_str(),
                if published { ", passed on" } else { "" }
            );
        }
    }
    assert!(wrong.is_empty(), "seed {seed:?}\n{wrong}");
    assert_eq!(ends.len(), 8, "both families, passed and dropped, to the host and beyond: {ends:?}");
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}
