//! Releases on real hosts: what apt there would upgrade, written down and signed, and what stands in the way of that.

use std::path::PathBuf;
use std::time::Duration;

use palisade::lab::{Lab, Spec, Suites};
use serde_json::{Value, json};
use support::{Needs, SHARED, World, fleet, note};

support::tests! {
    Needs::LAB => [
        what_hosts_of_dev_would_upgrade_becomes_a_release,
    ],
}

const DEV: &str = "\
environment: dev
networks: {admin: [192.0.2.1], private: [10.0.0.0/24]}
roles:
  web: {listeners: []}
  jobs: {listeners: []}
hosts:
  one: {addresses: {public: [192.0.2.2], private: [10.0.0.2]}, roles: [web], provider: lab, datacenter: here, country: FR}
  two: {addresses: {public: [192.0.2.3], private: [10.0.0.3]}, roles: [web], provider: lab, datacenter: here, country: FR}
  three: {addresses: {public: [192.0.2.4], private: [10.0.0.4]}, roles: [jobs, web], provider: lab, datacenter: here, country: FR}
";

/// An archive with a version of each of our packages that is newer than what is installed.
const ARCHIVE: &str = r#"set -e
mkdir -p /srv/archive /root/build
cd /root/build
lab_package() { # name, version, further lines of the control file
  rm -rf tree
  mkdir -p "tree/DEBIAN" "tree/usr/lib/$1"
  printf 'Package: %s\nVersion: %s\nArchitecture: all\nMaintainer: Lab <lab@example.com>\nDescription: of the lab\n%b' "$1" "$2" "$3" >tree/DEBIAN/control
  echo "$2" >"tree/usr/lib/$1/version"
  if [ "$1" = lab-daemon ]; then
    cp /bin/sleep tree/usr/lib/lab-daemon/run
    mkdir -p tree/usr/lib/systemd/system
    printf '[Service]\nExecStart=/usr/lib/lab-daemon/run infinity\n' >tree/usr/lib/systemd/system/lab-daemon.service
  fi
  # The same bytes wherever it is built.
  SOURCE_DATE_EPOCH=1700000000 dpkg-deb --root-owner-group -Zgzip -b tree "$1_$2.deb" >/dev/null
}
lab_index() {
  : >/srv/archive/Packages
  for deb in /srv/archive/*.deb; do
    dpkg-deb -f "$deb"
    printf 'Filename: ./%s\nSize: %s\nSHA256: %s\n\n' "${deb##*/}" "$(stat -c %s "$deb")" "$(sha256sum <"$deb" | cut -d' ' -f1)"
  done >/srv/archive/Packages
  printf 'Origin: Lab\nLabel: Lab\nSuite: stable\nDate: %s\nSHA256:\n %s %s Packages\n' "$(date -Ru)" \
    "$(sha256sum </srv/archive/Packages | cut -d' ' -f1)" "$(stat -c %s /srv/archive/Packages)" >/srv/archive/Release
}
for name in lab-base lab-library lab-daemon lab-held lab-stuck; do lab_package $name 1.0 ''; done
dpkg -i ./*_1.0.deb >/dev/null
lab_package lab-library 1.1 'Depends: lab-new\n'
lab_package lab-new 2.0~rc1+b1 ''
lab_package lab-daemon 1.1 ''
lab_package lab-held 1.1 ''
lab_package lab-stuck 1.1 'Conflicts: lab-base\n'
mv ./*_1.1.deb lab-new_*.deb /srv/archive/
lab_index
apt-mark hold lab-held >/dev/null
systemctl daemon-reload
systemctl start lab-daemon.service
echo 'deb [trusted=yes] file:/srv/archive ./' >/etc/apt/sources.list.d/archive.list
"#;

/// What must be the same before and after a look.
const STATE: &str = "find /var/lib/apt /var/cache/apt /var/lib/dpkg -type f -exec sha256sum {} + | sort -k 2; ls -A /var/tmp | sed -n /palisade/p; dpkg-query -W";

/// The files of the project's releases.
fn releases(lab: &Lab) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(lab.project().join("releases")).into_iter().flatten().flatten();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    files.sort();
    files
}

fn what_hosts_of_dev_would_upgrade_becomes_a_release() {
    let fleet = fleet(&[("inventories/fleet.yaml", SHARED), ("inventories/dev.yaml", DEV)]);
    // In the order of names: one (Debian 12), three (13), two (12).
    let spec = Spec::copy_of(&fleet, Suites::InTurn).expect("a lab");
    let world = World::enrolled(&fleet, &spec, Duration::from_secs(30));
    world.on(&["one", "two", "three"], ARCHIVE);
    let before: Vec<String> = ["one", "two", "three"].map(|host| world.sh(host, STATE)).into();

    note("an archive that cannot be reached leaves the host unknown, and nothing is written");
    world.sh("three", "echo 'deb [trusted=yes] http://127.0.0.1:9/ ./' >/etc/apt/sources.list.d/dead.list");
    let (exit, document, said) = world.run(&["patch", "plan", "dev"]);
    assert_eq!(exit, 4, "{said}");
    assert!(said.contains("three: apt could not fetch its indexes: E: "), "{said}");
    assert_eq!(document["exit"], 4);
    assert_eq!(releases(&world), Vec::<PathBuf>::new());
    world.sh("three", "rm /etc/apt/sources.list.d/dead.list");

    note("hosts that would not get the same are told apart by name");
    world.sh("two", "cd /srv/archive && mv lab-daemon_1.1.deb /root/ && cp Packages Release /root/ && sed -i 's/^Version: 1.1$/Version: 1.2/' Packages && printf 'Origin: Lab\\nLabel: Lab\\nSuite: stable\\nSHA256:\\n %s %s Packages\\n' \"$(sha256sum <Packages | cut -d' ' -f1)\" \"$(stat -c %s Packages)\" >Release");
    let (exit, _, said) = world.run(&["patch", "plan", "dev"]);
    assert_eq!(exit, 6, "{said}");
    assert!(said.contains("one would install lab-daemon 1.1, and two 1.2"), "{said}");
    assert_eq!(releases(&world), Vec::<PathBuf>::new());
    world.sh("two", "mv /root/lab-daemon_1.1.deb /root/Packages /root/Release /srv/archive/");

    note("what no archive signed is a host's word, and needs a person's reason");
    let (exit, _, said) = world.run(&["patch", "plan", "dev"]);
    assert_eq!(exit, 6, "{said}");
    assert!(said.contains("lab-daemon 1.1 stands in no index that an archive signed"), "{said}");
    assert_eq!(releases(&world), Vec::<PathBuf>::new());
    let ours = ["lab-daemon=ours", "lab-library=ours", "lab-new=ours"].map(|local| ["--local", local]);
    let plan = [&["patch", "plan", "dev"][..], ours.as_flattened()].concat();

    note("the release holds exactly what apt would install");
    let (exit, document, said) = world.run(&plan);
    assert_eq!(exit, 0, "{said}");
    let sets = document["release"]["sets"].as_array().expect("sets");
    let distributions: Vec<&Value> = sets.iter().map(|set| &set["distribution"]).collect();
    assert_eq!(distributions, ["debian-12", "debian-13"]);
    assert_eq!(sets[0]["hosts"], json!(["one", "two"]));
    assert_eq!(sets[1]["hosts"], json!(["three"]));
    for (set, host) in sets.iter().zip(["one", "three"]) {
        let names: Vec<&String> = set["packages"].as_object().expect("packages").keys().collect();
        assert_eq!(names, ["lab-daemon", "lab-library", "lab-new"]);
        assert_eq!(set["held"], json!(["lab-held"]));
        assert_eq!(set["kept_back"], json!(["lab-stuck"]));
        assert_eq!(set["restarts"], json!(["lab-daemon.service"]));
        let library = &set["packages"]["lab-library"];
        assert_eq!(library["from"], json!(["1.0"]));
        assert_eq!(library["vouched"]["local"]["reason"], "ours");
        assert_eq!(library["version"], "1.1");
        assert_eq!(set["packages"]["lab-new"]["from"], json!([]));
        let there = world
            .sh(host, "cd /srv/archive && sha256sum lab-library_1.1.deb && stat -c %s lab-library_1.1.deb");
        let mut there = there.lines();
        assert_eq!(library["sha256"].as_str(), there.next().and_then(|line| line.split(' ').next()));
        assert_eq!(Some(library["size"].to_string().as_str()), there.next());
    }
    assert_eq!(sets[0]["packages"]["lab-library"]["roles"], json!(["web"]));
    assert_eq!(sets[1]["packages"]["lab-library"]["roles"], json!(["jobs", "web"]));

    note("no host was changed by being asked");
    let after: Vec<String> = ["one", "two", "three"].map(|host| world.sh(host, STATE)).into();
    for (before, after) in before.iter().zip(&after) {
        let new: Vec<&str> = after.lines().filter(|line| !before.contains(line)).collect();
        assert_eq!((new, before.len()), (Vec::new(), after.len()));
    }

    note("what is written is read back, and is signed by alice");
    let [file, _signature] = releases(&world).try_into().expect("a release and its signature");
    let (exit, shown, said) = world.run(&["patch", "show"]);
    assert_eq!((exit, &shown["signed_by"]), (0, &json!("alice")), "{said}");
    assert_eq!(shown["release"], document["release"]);

    note("it is not planned twice, and an edit is found");
    let (exit, _, said) = world.run(&["patch", "plan", "dev"]);
    assert_eq!(exit, 6, "{said}");
    let text = std::fs::read_to_string(&file).expect("the release");
    std::fs::write(&file, text.replace("\"1.1\"", "\"1.1.1\"")).expect("an edit");
    let (exit, _, said) = world.run(&["patch", "show"]);
    assert_eq!(exit, 6, "{said}");
    assert!(said.contains("it is not what alice signed"), "{said}");

    note("one out of turn has a name and a reason of its own");
    let (exit, document, said) = world.run(&[&plan[..], &["--emergency", "a hole in lab-library"]].concat());
    assert_eq!(exit, 0, "{said}");
    assert_eq!(document["release"]["emergency"], "a hole in lab-library");
    assert!(document["release"]["id"].as_str().is_some_and(|id| id.ends_with("-emergency")));
    world.down();
}
