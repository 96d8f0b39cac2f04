//! What somebody on the network gets of a host whose declared rules do not load.

use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use palisade::lab::Suite;
use support::{Inventory, Needs, Project, World, host};

support::tests! {
    Needs::LAB => [
        a_host_whose_rules_do_not_load_lets_in_the_management_alone,
    ],
}

const HOSTS: [(&str, Suite); 2] = [("net-12", Suite::Bookworm), ("net-13", Suite::Trixie)];

fn a_host_whose_rules_do_not_load_lets_in_the_management_alone() {
    let world = World::with(HOSTS.map(|(name, suite)| host(name, suite)));
    let inventory = Inventory { controls: |_| &["firewall"], ..Inventory::default() };
    let project = &Project::write(&world, "network", &inventory);
    project.enrol();
    let audit = |name: &str| {
        let ran = project.palisade(&["audit", "prod", "--limit", name, "--control", "firewall"]).run();
        (ran.code, ran.said())
    };
    std::thread::scope(|scope| {
        for (name, _) in HOSTS {
            let (world, audit) = (&world, &audit);
            scope.spawn(move || {
                let host = world.host(name).unwrap();
                let opens = |port: u16| {
                    host.record().public.iter().any(|address| {
                        let to = SocketAddr::new(address.ip(), port);
                        TcpStream::connect_timeout(&to, Duration::from_secs(3)).is_ok()
                    })
                };
                // One that keeps what connects to it, beside the host's own, which says goodbye at once.
                world.sh(name, "systemd-run --quiet --unit=lab-keeps sh -c 'sleep 600 | nc -l 0.0.0.0 8001'; until ss -Hltn | grep -q ':8001 '; do sleep 0.1; done");
                let address = SocketAddr::new(host.public_address().unwrap().ip(), 8001);
                assert!(opens(8000), "{name}: somebody listens there");
                let mut stands = TcpStream::connect(address).unwrap();
                let ran = project.apply(name).exits(0);
                let cut = serde_json::json!([{"what": "connections", "port": 8001, "ended": 1, "left": 0}]);
                assert_eq!(ran.json()["hosts"][0]["ended"], cut, "{name}: {}", ran.said());
                stands.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
                let read = std::io::Read::read(&mut stands, &mut [0; 1]);
                let is_over = read.as_ref().is_ok_and(|length| *length == 0)
                    || read.as_ref().is_err_and(|error| error.kind() == std::io::ErrorKind::ConnectionReset);
                assert!(is_over, "{name}: {read:?}");
                assert!(!opens(8000) && opens(22), "{name}: as declared");
                world.sh(name, "echo 'table inet palisade {' >/etc/palisade/firewall.nft");
                host.reboot().unwrap();
                assert_eq!(host.status("systemctl is-failed palisade-firewall.service").unwrap(), Some(0));
                assert!(!opens(8000) && opens(22), "{name}: {}", world.sh(name, "nft list ruleset"));
                let (code, said) = audit(name);
                assert!(code == Some(3) && said.contains("firewall"), "{name}: {said}");
                // nftables.service flushes what is there
                world.sh(name, "systemctl restart nftables.service || true");
                assert!(!opens(8000) && opens(22), "{name}: {}", world.sh(name, "nft list ruleset"));
                let _ = project.apply(name).exits(0);
                assert_eq!(audit(name).0, Some(0), "{name}");
            });
        }
    });
}
