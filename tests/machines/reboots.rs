//! `Run::reboot` on real hosts: one that comes back counts with its boot and its kernel, one that does not is told in
//! bounded time. By default a container, which reboots in seconds; with `PALISADE_LAB_TAIL=1` a machine too, which installs
//! a newer kernel first, and then one whose root is encrypted.

use std::sync::Arc;
use std::time::{Duration, Instant};

use palisade::domain::Environment;
use palisade::event::Silent;
use palisade::fleet::{Access, CONNECT_TIMEOUT, Interrupt, Job, JobInputs, Run, declared_keys, run_id};
use palisade::known_hosts::KnownHosts;
use palisade::lab::{Disk, Hardware, Suite};
use palisade::project::Project as Read;
use palisade::rollout::reboot::Rebooted;
use palisade::transaction::Operator;
use palisade::transport::{Identity, RusshConnector};
use support::{Inventory, Needs, Project, World, host, note};

support::tests! {
    Needs::LAB => [a_reboot_counts_when_it_is_seen_and_ends_in_bounded_time],
    Needs::TAIL => [
        a_machine_boots_the_kernel_that_it_installed,
        a_machine_with_an_encrypted_root_is_not_rebooted_unless_its_way_is_declared,
    ],
}

/// How long a machine may take to come back, on a machine that does other things too.
const BACK_WITHIN: Duration = Duration::from_mins(15);

/// One host of a project, as a verb would go about it.
fn at_work(project: &Project<'_>, name: &str) -> (Run, Job) {
    let read = Read::read(&project.root).unwrap();
    let inventory = &read.fleet.environments[&Environment::Prod];
    let user = "alice".parse().unwrap();
    let declared = declared_keys(&read.fleet, inventory, &user).map(<[_]>::to_vec);
    let ground = JobInputs {
        fleet: &read.fleet,
        inventory,
        controls: &read.playbook.controls,
        identities: &read.identities,
        access: Access {
            user: user.clone(),
            identity: Identity { file: Some(project.world.key("alice")), agent: None, declared },
            pins: Arc::new(KnownHosts::parse(&read.known_hosts).unwrap()),
            connect_timeout: CONNECT_TIMEOUT,
        },
        day: jiff::Zoned::now().date(),
        waivers: &read.waivers,
        templates: &read.templates,
    };
    let wanted = &inventory.hosts[&name.parse().unwrap()];
    let job = ground.jobs(&[wanted]).unwrap_or_else(|errors| panic!("{errors:?}")).remove(0);
    let run = Run {
        connector: Arc::new(RusshConnector::new()),
        events: Arc::new(Silent),
        operator: Operator { run: run_id(), who: user, from: "test".to_owned() },
        concurrency: 1,
        keep_sessions: false,
        rollback_timeout: Duration::from_mins(1),
        interrupt: Interrupt::never(),
        breakpoints: None,
    };
    (run, job)
}

fn rebooted(project: &Project<'_>, name: &str, within: Duration) -> Rebooted {
    let (run, job) = at_work(project, name);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(run.reboot(&job, within))
}

fn a_reboot_counts_when_it_is_seen_and_ends_in_bounded_time() {
    let world = World::with([host("box-12", Suite::Bookworm), host("box-13", Suite::Trixie)]);
    let project = Project::write(&world, "reboots", &Inventory::default());
    project.enrol();
    for name in ["box-12", "box-13"] {
        let before = world.host(name).unwrap().boot_id().unwrap();
        let boots = world.host(name).unwrap().boots();
        let came = rebooted(&project, name, BACK_WITHIN);
        assert!(matches!(came, Rebooted::Back { .. }), "{name}: {came:?}");
        assert_eq!(world.host(name).unwrap().boots(), boots + 1, "{name}");
        // containers share this machine's boot id where their systemd-nspawn gives them none of their own
        assert_ne!(world.host(name).unwrap().boot_id().unwrap(), before, "{name}");
    }
    // one that is told to reboot, and switches itself off
    world
        .host("box-12").unwrap()
        .sh("printf '#!/bin/sh\\n[ \"$*\" != reboot ] || set -- poweroff\\nexec /usr/bin/systemctl \"$@\"\\n' \
             >/usr/local/sbin/systemctl && chmod 755 /usr/local/sbin/systemctl")
        .unwrap();
    let begun = Instant::now();
    let patience = Duration::from_secs(30);
    let gone = rebooted(&project, "box-12", patience);
    let Rebooted::Lost { reason } = &gone else { panic!("{gone:?}") };
    assert!(reason.contains("was told to reboot and is not back after 30 s"), "{reason}");
    assert!(begun.elapsed() >= patience, "it gave up after {:?}", begun.elapsed());
    // and one that nobody reaches is not told anything
    let refused = rebooted(&project, "box-12", patience);
    assert!(matches!(refused, Rebooted::Refused { .. }), "{refused:?}");
}

/// Turns a machine's root into LUKS2 on its first further disk, with a passphrase that its console is given at boot.
const ENCRYPT_ROOT: &str = r#"
set -eu
disk=$(readlink -f /dev/disk/by-id/virtio-data1)
printf 'correct horse' >/run/key
cryptsetup luksFormat --batch-mode --pbkdf pbkdf2 --pbkdf-force-iterations 1000 $disk /run/key
cryptsetup open --key-file /run/key $disk root
mke2fs -q -t ext4 /dev/mapper/root
mount /dev/mapper/root /mnt
cp -ax /. /mnt
echo "root UUID=$(cryptsetup luksUUID $disk) none luks,initramfs" >/mnt/etc/crypttab
sed -i 's|^LABEL=lab-root|/dev/mapper/root|' /mnt/etc/fstab
for folder in proc sys dev boot; do mount --rbind /$folder /mnt/$folder; done
chroot /mnt update-initramfs -u
echo 'root=/dev/mapper/root rw' >/boot/cmdline
sync
"#;

fn a_machine_boots_the_kernel_that_it_installed() {
    let world = World::with([host("kernel-12", Suite::Bookworm).machine(Hardware::default())]);
    let project = Project::write(&world, "reboots", &Inventory::default());
    project.enrol();
    a_newer_kernel(&world, &project);
}

fn a_machine_with_an_encrypted_root_is_not_rebooted_unless_its_way_is_declared() {
    let hardware = Hardware { disks: vec![Disk::of(2048)], ..Hardware::default() };
    let world = World::with([host("sealed-12", Suite::Bookworm).machine(hardware)]);
    let project = Project::write(&world, "reboots", &Inventory::default());
    project.enrol();
    an_encrypted_root(&world, &project);
}

fn run_long(world: &World, name: &str, text: &'static str) -> String {
    let script = palisade::shell::Script::new().text(text);
    let output = world.host(name).unwrap().run_within(&script, Duration::from_mins(30)).unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.exit.success(), "{name}: {said}{}", String::from_utf8_lossy(&output.stderr));
    said
}

fn a_newer_kernel(world: &World, project: &Project<'_>) {
    let name = "kernel-12";
    let before = run_long(world, name, "uname -r");
    run_long(
        world,
        name,
        "export DEBIAN_FRONTEND=noninteractive; apt-get -q update && apt-get -q -y --no-install-recommends install linux-image-cloud-amd64",
    );
    let newest =
        run_long(world, name, "ls /boot/vmlinuz-* | sort -V | tail -n 1 | sed 's|^/boot/vmlinuz-||'");
    assert_ne!(before, newest, "the lab's packages hold no newer kernel");
    let came = rebooted(project, name, BACK_WITHIN);
    let Rebooted::Back { kernel, after } = &came else { panic!("{name}: {came:?}") };
    assert_eq!(kernel, newest.trim());
    assert_eq!(run_long(world, name, "uname -r"), newest);
    note(&format!("{name}: from {} to {kernel} in {:.0} s", before.trim(), after.as_secs_f32()));
}

fn an_encrypted_root(world: &World, project: &Project<'_>) {
    let name = "sealed-12";
    run_long(world, name, ENCRYPT_ROOT);
    // this time the machine's console asks, and is answered
    world.host(name).unwrap().begin_reboot().unwrap();
    world.host(name).unwrap().answer_console("unlock disk root", "correct horse", BACK_WITHIN).unwrap();
    world.host(name).unwrap().wait_until_ready().unwrap();
    assert_eq!(run_long(world, name, "findmnt -no SOURCE /").trim(), "/dev/mapper/root");
    let audit = project.palisade(&["audit", "prod", "--limit", name, "--format", "json"]).run();
    let document = audit.json();
    let controls = document["hosts"][0]["controls"].as_array().unwrap();
    let disks = controls.iter().find(|control| control["id"] == "encryption").expect("the control");
    note(&format!("{name}: {disks}"));
    let refused = rebooted(project, name, BACK_WITHIN);
    let Rebooted::Refused { reason } = &refused else { panic!("{name}: {refused:?}") };
    assert!(reason.contains("its root is encrypted, and how it is unlocked is not declared"), "{reason}");
    let declaring = |unlock: &str, of_host: fn(&str) -> (&'static str, &'static str)| {
        project.variant(unlock, &Inventory { of_host, ..Inventory::default() })
    };
    let refused = rebooted(&declaring("dropbear", |_| ("web", "unlock: dropbear, ")), name, BACK_WITHIN);
    let Rebooted::Refused { reason } = &refused else { panic!("{name}: {refused:?}") };
    assert!(reason.contains("dropbear is not in its initramfs"), "{reason}");
    let project = &declaring("console", |_| ("web", "unlock: console, "));
    // nobody comes: that ends in bounded time, and says who is waited for
    let asked = world.host(name).unwrap().console_says("unlock disk root");
    let patience = Duration::from_mins(2);
    let begun = Instant::now();
    let lost = rebooted(project, name, patience);
    let Rebooted::Lost { reason } = &lost else { panic!("{name}: {lost:?}") };
    assert!(reason.contains("it waits until somebody types its passphrase"), "{reason}");
    assert!(begun.elapsed() < patience + Duration::from_mins(2), "{:?}", begun.elapsed());
    note(&format!("{name}: {reason}"));
    let host = world.host(name).unwrap();
    host.answer_console_after(asked, "unlock disk root", "correct horse", BACK_WITHIN).unwrap();
    host.wait_until_ready().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            world
                .host(name)
                .unwrap()
                .answer_console("unlock disk root", "correct horse", BACK_WITHIN)
                .unwrap();
        });
        let came = rebooted(project, name, BACK_WITHIN);
        assert!(matches!(came, Rebooted::Back { .. }), "{name}: {came:?}");
    });
}
