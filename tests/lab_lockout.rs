//! Bursts on real hosts of both distributions, where SSH is open to everybody: of 50 connections at once no more than
//! five reach sshd, over IPv4 and from two addresses of one IPv6 /64, while the management's own are never counted.

#![expect(
    clippy::disallowed_methods,
    clippy::expect_used,
    reason = "tests connect to hosts, and fail by panicking"
)]

#[path = "support/lab.rs"]
mod support;

use std::io::Read as _;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use palisade::domain::{Address, Cidr, Family, Port};
use palisade::lab::{Host, HostSpec, Lab, LabEvent, Place, Spec, Suite};
use palisade::resource::ruleset::{Reach, Ruleset, Ssh};
use palisade::shell::{Arg, Script};
use support::{runs_here, say};

const ATTEMPTS: usize = 5;
const BURST: usize = 50;

/// Tries a wrong key `count` times at once, from each of the addresses in turn; says how many of them sshd refused, and
/// how many never got through. It gives up before the kernel lets another one begin.
const ATTACK: &str = r#"cd "$(mktemp -d)"
ssh-keygen -q -t ed25519 -N '' -f wrong
n=0
while [ "$n" -lt "$count" ]; do
  n=$((n + 1))
  from=$first
  if [ $((n % 2)) = 0 ]; then from=$second; fi
  ssh -F /dev/null -o BatchMode=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o ConnectTimeout=6 \
    -o IdentityAgent=none -o IdentitiesOnly=yes -i wrong -b "$from" "debian@$target" true >"said.$n" 2>&1 &
done
wait
echo "$(cat said.* | grep -c 'Permission denied') $(cat said.* | grep -c 'timed out')""#;

fn tell(event: &LabEvent) {
    if !matches!(event, LabEvent::Detail(_)) {
        say(&event.to_string());
    }
}

/// What `script` says, run as root.
fn run(host: &Host<'_>, script: &Script) -> String {
    let output = host.run(script).expect("an answer");
    assert!(output.exit.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

fn of_family(host: &Host<'_>, family: Family) -> Address {
    host.addresses().find(|address| address.family() == family).expect("an address of the family")
}

/// How many of [`BURST`] attempts sshd refused, and how many got no connection.
fn burst(attacker: &Host<'_>, target: Address, from: [Address; 2]) -> (usize, usize) {
    let [first, second] = from;
    let script = Script::new()
        .set("count", BURST as u64)
        .set("target", Arg::lossy(target.to_string()))
        .set("first", Arg::lossy(first.to_string()))
        .set("second", Arg::lossy(second.to_string()))
        .text(ATTACK);
    let said = run(attacker, &script);
    let (refused, dropped) = said.split_once(' ').expect("two numbers");
    (refused.parse().expect("a number"), dropped.parse().expect("a number"))
}

/// How many connections from `address` sshd asked for a key, by its own journal. Asked by name and user: journald does not
/// learn the unit or command of a process that is gone before it looks.
fn judged(host: &Host<'_>, address: Address) -> usize {
    let script = Script::new().set("address", Arg::lossy(address.to_string())).text(
        "journalctl -t sshd -t sshd-session _UID=0 --no-pager -o cat | grep -F \"user debian $address port \" | grep -o 'port [0-9]*' | sort -u | wc -l",
    );
    run(host, &script).parse().expect("a number")
}

/// Whether sshd greets this machine.
fn greets(address: Address) -> bool {
    let within = Duration::from_secs(5);
    let Ok(mut stream) = TcpStream::connect_timeout(&SocketAddr::new(address.ip(), 22), within) else {
        return false;
    };
    let mut greeting = [0; 4];
    stream.set_read_timeout(Some(within)).expect("a time limit");
    stream.read_exact(&mut greeting).is_ok() && &greeting == b"SSH-"
}

#[test]
fn of_a_burst_five_connections_reach_sshd_and_the_management_is_not_counted() {
    if !runs_here("of_a_burst_five_connections_reach_sshd_and_the_management_is_not_counted") {
        return;
    }
    let host = |name: &str, suite| HostSpec::new(name.parse().expect("a name"), suite);
    let mut outside = host("outside", Suite::Bookworm);
    outside.public.v6 = 2;
    let spec = Spec::of([host("old", Suite::Bookworm), host("new", Suite::Trixie), outside]);
    let lab = Lab::up(&Place::default(), &spec, &tell).expect("the lab comes up");
    let attacker = lab.host("outside").expect("the attacker");
    let v4 = of_family(&attacker, Family::V4);
    let v6: Vec<Address> =
        attacker.record().public.iter().copied().filter(|address| address.family() == Family::V6).collect();
    let [first, second] = <[Address; 2]>::try_from(v6).expect("two IPv6 addresses");

    let control = lab.record().networks.control;
    let management: Vec<Cidr> = [control.v4, control.v6].map(Address::as_cidr).to_vec();
    let attempts = u32::try_from(ATTEMPTS).expect("a small number");
    let ssh = Ssh { port: Port::SSH, from: Reach::Everywhere, attempts };
    let rules = Ruleset::new(&management, &ssh, &[]).render();

    for name in ["old", "new"] {
        let host = lab.host(name).expect("a host");
        host.sh("apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -y -qq install nftables")
            .expect("nftables is installed");
        let load =
            Script::new().set("rules", Arg::lossy(rules.clone())).text("printf %s \"$rules\" | nft -f -");
        run(&host, &load);
        for (family, from) in [(Family::V4, [v4, v4]), (Family::V6, [first, second])] {
            let target = of_family(&host, family);
            let (refused, dropped) = burst(&attacker, target, from);
            let mut sources = from.to_vec();
            sources.dedup();
            let sum = || sources.iter().map(|source| judged(&host, *source)).sum::<usize>();
            // sshd writes a connection down once it is closed, which may be after its client is gone.
            let judged = (0..50)
                .map(|_| {
                    std::thread::sleep(Duration::from_millis(200));
                    sum()
                })
                .find(|judged| *judged >= refused)
                .unwrap_or_else(sum);
            say(&format!(
                "{name}: of {BURST} connections at once to {target}, {judged} were judged by sshd, {refused} refused, \
                 {dropped} dropped"
            ));
            assert!((1..=ATTEMPTS).contains(&refused), "{refused} were refused by sshd");
            assert_eq!(judged, refused, "sshd's journal says the same");
            assert_eq!(refused + dropped, BURST, "the others never got through");
            // The attacker is shut out, and its neighbour, the management, is not: more often than a stranger may.
            assert!((0..=2 * ATTEMPTS).all(|_| greets(target)), "the management gets in");
        }
    }
    lab.down(&tell).expect("the lab goes down");
}
