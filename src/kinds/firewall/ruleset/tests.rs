//! The ruleset: what it lets pass, what it refuses, and its text. What a real nft makes of the text is asked in
//! `tests/cli/nft.rs`.

use proptest::prelude::*;

use super::*;
use crate::domain::Address;

pub(in crate::kinds::firewall) fn cidrs(list: &[&str]) -> Vec<Cidr> {
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

fn published(port: u32, protocol: Protocol, from: Reach) -> Opening {
    Opening { container: true, ..opening(port, protocol, from) }
}

fn ssh(from: Reach) -> Ssh {
    Ssh { port: Port::SSH, from, attempts: 5 }
}

fn managed() -> Ssh {
    ssh(Reach::Networks(Vec::new()))
}

fn example() -> Ruleset {
    Ruleset::new(
        &cidrs(&["198.51.100.10", "198.51.100.11", "2001:db8::10"]),
        &managed(),
        &[
            opening(443, Protocol::Tcp, Reach::Everywhere),
            opening(5432, Protocol::Tcp, Reach::Networks(cidrs(&["10.20.0.4", "10.20.0.0/24"]))),
            opening(9999, Protocol::Tcp, Reach::Networks(Vec::new())),
        ],
    )
}

fn first(source: &str, protocol: Protocol, port: u32) -> Packet {
    Packet::first(source.parse().unwrap(), protocol, port.try_into().unwrap())
}

#[test]
fn only_what_is_declared_passes() {
    let rules = example();
    let fate = |source: &str, protocol, port| rules.simulate(&first(source, protocol, port));
    assert_eq!(fate("198.51.100.10", Protocol::Tcp, 22), PacketVerdict::Accept);
    assert_eq!(fate("2001:db8::10", Protocol::Tcp, 22), PacketVerdict::Accept);
    assert_eq!(fate("198.51.100.12", Protocol::Tcp, 22), PacketVerdict::Drop);
    assert_eq!(fate("2001:db8::11", Protocol::Tcp, 22), PacketVerdict::Drop);
    assert_eq!(fate("198.51.100.10", Protocol::Udp, 22), PacketVerdict::Drop);
    assert_eq!(fate("203.0.113.9", Protocol::Tcp, 443), PacketVerdict::Accept);
    assert_eq!(fate("2001:db8:9::1", Protocol::Tcp, 443), PacketVerdict::Accept);
    assert_eq!(fate("203.0.113.9", Protocol::Udp, 443), PacketVerdict::Drop);
    assert_eq!(fate("10.20.0.77", Protocol::Tcp, 5432), PacketVerdict::Accept);
    assert_eq!(fate("10.20.1.77", Protocol::Tcp, 5432), PacketVerdict::Drop);
    assert_eq!(fate("10.20.0.4", Protocol::Tcp, 9999), PacketVerdict::Drop);
    assert_eq!(fate("203.0.113.9", Protocol::Udp, 546), PacketVerdict::Drop);
    assert_eq!(fate("fe80::1", Protocol::Udp, 546), PacketVerdict::Accept);
}

#[test]
fn answers_loopback_and_neighbours_pass() {
    let rules = example();
    let stranger = first("203.0.113.9", Protocol::Tcp, 4444);
    assert_eq!(
        rules.simulate(&Packet { tracking: Tracking::Established, ..stranger }),
        PacketVerdict::Accept
    );
    assert_eq!(rules.simulate(&Packet { interface: Interface::Loopback, ..stranger }), PacketVerdict::Accept);
    let admin = first("198.51.100.10", Protocol::Tcp, 22);
    assert_eq!(rules.simulate(&Packet { tracking: Tracking::Invalid, ..admin }), PacketVerdict::Drop);
    let control = |source: &str, kind| {
        rules.simulate(&Packet { payload: Payload::Control(kind), ..first(source, Protocol::Tcp, 1) })
    };
    assert_eq!(control("203.0.113.9", 8), PacketVerdict::Accept);
    assert_eq!(control("203.0.113.9", 3), PacketVerdict::Accept);
    assert_eq!(control("203.0.113.9", 5), PacketVerdict::Drop, "an IPv4 redirect");
    assert_eq!(control("fe80::1", 135), PacketVerdict::Accept);
    assert_eq!(control("203.0.113.9", 135), PacketVerdict::Drop, "an ICMPv6 type over IPv4");
    assert_eq!(control("fe80::1", 137), PacketVerdict::Drop, "an IPv6 redirect");
}

#[test]
fn what_a_helper_expects_is_no_answer() {
    let rules = example();
    let related = Packet { tracking: Tracking::Related, ..first("203.0.113.9", Protocol::Tcp, 2121) };
    assert_eq!(rules.simulate(&related), PacketVerdict::Drop);
    let error = Packet { payload: Payload::Control(3), ..related };
    assert_eq!(rules.simulate(&error), PacketVerdict::Accept);
}

#[test]
fn a_private_source_counts_where_private_networks_are() {
    let rules = example().behind(&cidrs(&["10.20.0.0/16", "fd00:20::/64"]));
    let private = first("10.20.0.77", Protocol::Tcp, 5432);
    assert_eq!(rules.simulate(&private), PacketVerdict::Accept);
    assert_eq!(rules.simulate(&Packet { routed_back: false, ..private }), PacketVerdict::Drop);
    // ways that differ are nobody's forgery elsewhere
    let stranger = Packet { routed_back: false, ..first("203.0.113.9", Protocol::Tcp, 443) };
    assert_eq!(rules.simulate(&stranger), PacketVerdict::Accept);
    let known = Packet { tracking: Tracking::Established, routed_back: false, ..private };
    assert_eq!(rules.simulate(&known), PacketVerdict::Accept);
    let text = rules.render();
    let rules: Vec<&str> = text.lines().filter(|line| line.contains("fib")).map(str::trim).collect();
    assert_eq!(
        rules,
        [
            "ip saddr 10.20.0.0/16 fib saddr . iif oif missing drop comment \"forged source\"",
            "ip6 saddr fd00:20::/64 fib saddr . iif oif missing drop comment \"forged source\"",
        ]
    );
}

#[test]
fn the_text_is_as_reviewed() {
    assert_eq!(example().render(), include_str!("example.nft"));
}

#[test]
fn what_a_container_publishes_is_passed_on_from_where_it_is_declared() {
    let rules = Ruleset::new(
        &cidrs(&["198.51.100.10"]),
        &managed(),
        &[
            published(443, Protocol::Tcp, Reach::Everywhere),
            published(8443, Protocol::Tcp, Reach::Networks(cidrs(&["198.51.100.10", "2001:db8::10"]))),
            opening(80, Protocol::Tcp, Reach::Everywhere),
        ],
    );
    let passed_on = |source: &str, protocol, port| rules.simulate_passed_on(&first(source, protocol, port));
    assert_eq!(passed_on("203.0.113.9", Protocol::Tcp, 443), PacketVerdict::Accept);
    assert_eq!(passed_on("203.0.113.9", Protocol::Udp, 443), PacketVerdict::Drop);
    assert_eq!(passed_on("2001:db8::10", Protocol::Tcp, 8443), PacketVerdict::Accept);
    assert_eq!(passed_on("203.0.113.9", Protocol::Tcp, 8443), PacketVerdict::Drop);
    for port in [22, 80, 8080] {
        assert_eq!(passed_on("198.51.100.10", Protocol::Tcp, port), PacketVerdict::Drop, "{port}");
    }
    let container = first("172.17.0.2", Protocol::Tcp, 50000);
    assert_eq!(rules.simulate_passed_on(&container), PacketVerdict::Drop, "what a container begins");
    let answer = Packet { tracking: Tracking::Established, ..container };
    assert_eq!(rules.simulate_passed_on(&answer), PacketVerdict::Accept);
    let text = rules.render();
    let forward: Vec<&str> = text
        .lines()
        .skip_while(|line| !line.contains("chain forward"))
        .take_while(|line| !line.contains("chain output"))
        .filter(|line| line.contains("comment"))
        .map(str::trim)
        .collect();
    assert_eq!(
        forward,
        [
            "ct state established accept comment \"answers\"",
            "ct state related meta l4proto { 1, 58 } accept comment \"answers\"",
            "ct state invalid drop comment \"of no connection\"",
            "ct status dnat meta l4proto 6 ct original proto-dst 443 accept comment \"web/https\"",
            "ip saddr 198.51.100.10 ct status dnat meta l4proto 6 ct original proto-dst 8443 accept comment \"web/https\"",
            "ip6 saddr 2001:db8::10 ct status dnat meta l4proto 6 ct original proto-dst 8443 accept comment \"web/https\"",
        ]
    );
}

#[test]
fn strangers_are_counted_where_ssh_is_open_to_them_and_the_management_is_not() {
    let management = cidrs(&["198.51.100.10", "2001:db8::10"]);
    let text = |from| Ruleset::new(&management, &ssh(from), &[]).render();
    let internet = text(Reach::Everywhere);
    let rules: Vec<&str> = internet.lines().filter(|line| line.contains("dport 22")).map(str::trim).collect();
    assert_eq!(
        rules,
        [
            "ip saddr 198.51.100.10 tcp dport 22 accept comment \"management\"",
            "ip6 saddr 2001:db8::10 tcp dport 22 accept comment \"management\"",
            "tcp dport 22 ct state new update @ssh4 { ip saddr limit rate over 5/minute burst 5 packets } drop \
             comment \"ssh burst\"",
            "tcp dport 22 ct state new update @ssh6 { ip6 saddr & ffff:ffff:ffff:ffff:: limit rate over 5/minute \
             burst 5 packets } drop comment \"ssh burst\"",
            "tcp dport 22 accept comment \"ssh\"",
        ]
    );
    assert_eq!(internet.matches("\tset ").count(), 2, "{internet}");
    let private = text(Reach::Networks(cidrs(&["10.20.0.0/24"])));
    assert!(private.contains("ip saddr 10.20.0.0/24 tcp dport 22 ct state new update @ssh4"), "{private}");
    assert!(!private.contains("ssh6"), "{private}");
    assert!(!text(Reach::Networks(management.clone())).contains("update @"));
}

#[test]
fn networks_of_a_set_do_not_overlap() {
    let networks = Networks::by_family(&cidrs(&[
        "10.0.0.4",
        "2001:db8::/48",
        "10.0.0.0/24",
        "10.0.0.0/25",
        "192.0.2.1",
    ]));
    let shown: Vec<String> = networks.iter().map(ToString::to_string).collect();
    assert_eq!(shown, ["ip saddr { 10.0.0.0/24, 192.0.2.1 }", "ip6 saddr 2001:db8::/48"]);
    assert!(Networks::try_from(cidrs(&["10.0.0.4", "2001:db8::1"])).is_err());
    assert!(Networks::try_from(Vec::new()).is_err());
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
    /// A new packet passes where a declaration names its port and source, and nowhere else.
    #[test]
    fn a_packet_passes_where_it_is_declared_and_nowhere_else(
        management in prop::collection::vec(network(), 1..5),
        openings in openings(),
        port in 1_u32..=65535,
        at in any::<prop::sample::Index>(),
        stranger in network(),
    ) {
        let rules = Ruleset::new(&management, &managed(), &openings);
        let mut sources: Vec<Address> = vec![stranger.first()];
        let mut ports = vec![Port::SSH, port.try_into().unwrap()];
        for networks in openings.iter().filter_map(|one| match &one.from {
            Reach::Networks(networks) => Some(networks),
            Reach::Everywhere => None,
        }).chain([&management]) {
            sources.extend(networks.iter().flat_map(|network| [network.first(), network.last()]));
        }
        ports.extend(openings.iter().map(|one| one.port));
        let source = *at.get(&sources);
        for port in ports {
            for protocol in [Protocol::Tcp, Protocol::Udp] {
                let within = |networks: &[Cidr]| networks.iter().any(|network| network.contains(source));
                let lease = protocol == Protocol::Udp && port.number() == 546
                    && "fe80::/10".parse::<Cidr>().unwrap().contains(source);
                let declared = lease
                    || (protocol == Protocol::Tcp && port == Port::SSH && within(&management))
                    || openings.iter().any(|one| one.port == port && one.protocol == protocol && match &one.from {
                        Reach::Everywhere => true,
                        Reach::Networks(networks) => within(networks),
                    });
                let packet = Packet::first(source, protocol, port);
                prop_assert_eq!(rules.simulate(&packet) == PacketVerdict::Accept, declared);
                let published = openings.iter().any(|one| {
                    one.container && one.port == port && one.protocol == protocol && match &one.from {
                        Reach::Everywhere => true,
                        Reach::Networks(networks) => within(networks),
                    }
                });
                prop_assert_eq!(rules.simulate_passed_on(&packet) == PacketVerdict::Accept, published);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn a_ruleset_survives_json(
        management in prop::collection::vec(network(), 1..5),
        from in reach(),
        attempts in 1_u32..=20,
        openings in openings(),
    ) {
        let rules = Ruleset::new(&management, &Ssh { port: Port::SSH, from, attempts }, &openings);
        let text = serde_json::to_string(&rules).unwrap();
        prop_assert_eq!(serde_json::from_str::<Ruleset>(&text).unwrap(), rules);
    }
}

#[test]
#[ignore = "it prints a resource as cases of kind nftables hold it; tests/cases/README.md"]
fn example_as_spec() {
    let management = cidrs(&["198.51.100.10", "198.51.100.11", "2001:db8::10"]);
    let spec = crate::kinds::Resource::Nftables(super::super::nftables::Nftables {
        ruleset: example(),
        management,
        ssh_port: Port::SSH,
    });
    println!("spec: {}", serde_json::to_string(&spec).unwrap());
}
