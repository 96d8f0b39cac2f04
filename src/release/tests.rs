//! Releases from answers of hosts, and their files read back.

use std::fmt::Write as _;

use super::archive::Stored;
use super::*;
use crate::resource::Unread;
use crate::shell::Frame;
use crate::source::Refusals;

const INST: &str = "\
NOTE: This is only a simulation!
Reading package lists...
The following packages have been kept back:
  lab-held lab-stuck
The following NEW packages will be installed:
  lab-new
2 upgraded, 1 newly installed, 0 to remove and 2 not upgraded.
Inst lab-new (2.0~rc1+b1 Lab:stable [all])
Inst lab-library [1.0] (1.1 Lab:stable, Debian-Security:12/oldstable-security [all]) []
Inst libc6 [2.36-9+deb12u9] (2.36-9+deb12u10 Debian:12.9/oldstable [amd64])";

const SHOWN: &str = "\
Package: lab-new
Version: 2.0~rc1+b1
Architecture: all
Size: 100
SHA256: 1111111111111111111111111111111111111111111111111111111111111111
end
Package: lab-library
Version: 1.1
Architecture: all
Size: 200
SHA256: 2222222222222222222222222222222222222222222222222222222222222222
end
Package: libc6
Version: 2.36-9+deb12u10
Architecture: amd64
Size: 2800000
SHA256: 3333333333333333333333333333333333333333333333333333333333333333
end
end
looked";

/// A frame of these parts, each with its exit status.
fn frame(parts: &[(&str, u32, &str)]) -> Frame {
    let mut stdout = String::new();
    for (name, status, text) in parts {
        for line in text.split('\n') {
            let _ = writeln!(stdout, "{name}\t{line}");
        }
        let _ = writeln!(stdout, "part\t{name}\t{status}\t{}", text.len());
    }
    Frame { label: "upgrades".into(), status: 0, stdout: stdout.into(), stderr: Vec::new(), cut: false }
}

/// The parts of a host in order, but for those of `changed`.
fn answered(changed: &[(&'static str, u32, &'static str)]) -> Result<Upgrades, Unread> {
    let usual = [
        ("fetched", 0, "Reading package lists..."),
        ("architecture", 0, "amd64"),
        ("simulated", 0, INST),
        ("shown", 0, SHOWN),
        ("held", 0, "lab-held"),
        ("running", 0, "cron.service\nssh.service\nlooked"),
    ];
    let parts: Vec<_> = usual
        .iter()
        .map(|usual| changed.iter().find(|changed| changed.0 == usual.0).copied().unwrap_or(*usual))
        .collect();
    upgrades::read(&frame(&parts))
}

fn surveyed(host: &str, roles: &[&str]) -> Surveyed {
    Surveyed {
        host: host.parse().unwrap(),
        roles: roles.iter().map(|role| role.parse().unwrap()).collect(),
        distribution: "debian-12".to_owned(),
        upgrades: answered(&[]).unwrap(),
    }
}

/// An index of `archive` that names these packages of [`SHOWN`], as a keyring verified it.
fn signed(suite: &str, names: &[&str]) -> SignedIndex {
    let records = SHOWN
        .split("end\n")
        .filter(|record| names.iter().any(|name| record.contains(&format!("Package: {name}\n"))));
    let plain =
        records.map(|record| format!("{record}Filename: ./some.deb\n\n")).collect::<Vec<_>>().concat();
    let stored = |text: &str| Stored { sha256: Digest::of(text.as_bytes()), size: 7 };
    SignedIndex {
        suite: suite.to_owned(),
        path: "main/binary-amd64/Packages".to_owned(),
        origin: "Debian".to_owned(),
        label: "Debian".to_owned(),
        date: "2026-11-14T08:00:00Z".parse().unwrap(),
        valid_until: (suite == "bookworm-security").then(|| "2026-11-21T08:00:00Z".parse().unwrap()),
        in_release: stored(suite),
        packed: stored(&plain),
        plain: plain.into_bytes(),
    }
}

fn vouched() -> Vec<Set> {
    let mut sets = sets(&[surveyed("one", &["web"]), surveyed("two", &["database"])]).unwrap();
    let local = [("lab-new".parse().unwrap(), "ours: \"quoted\"".to_owned())].into();
    let indexes = [signed("bookworm", &["libc6"]), signed("bookworm-security", &["lab-library"])];
    sets[0].vouch(&"one".parse().unwrap(), &indexes, &local).unwrap();
    sets
}

fn release() -> Release {
    Release {
        id: "2026-11-28".parse().unwrap(),
        planned: "2026-11-14T20:00:00.25Z".parse().unwrap(),
        by: "alice".parse().unwrap(),
        emergency: None,
        sets: vouched(),
    }
}

#[test]
fn what_apt_would_do_is_read() {
    let upgrades = answered(&[]).unwrap();
    let names: Vec<&str> = upgrades.packages.iter().map(|upgrade| upgrade.name.as_str()).collect();
    assert_eq!(names, ["lab-new", "lab-library", "libc6"]);
    assert_eq!(upgrades.packages[0].from, None);
    assert_eq!(upgrades.packages[1].origin, "Lab:stable, Debian-Security:12/oldstable-security");
    assert_eq!(upgrades.packages[2].size, 2_800_000);
    assert_eq!(upgrades.kept_back.iter().map(PackageName::as_str).collect::<Vec<_>>(), ["lab-stuck"]);
    assert_eq!(upgrades.services.len(), 2);
}

#[test]
fn what_is_not_said_is_not_taken_for_nothing() {
    const NONE: &str = "0 upgraded, 0 newly installed, 0 to remove and 0 not upgraded.";
    let nothing = answered(&[("simulated", 0, NONE), ("shown", 0, "looked"), ("running", 0, "looked")]);
    assert!(nothing.unwrap().packages.is_empty());
    for (changed, why) in [
        (("fetched", 100, "E: Failed to fetch http://x/"), "could not fetch its indexes: E: Failed to fetch"),
        (("simulated", 0, ""), "as many packages as it counts"),
        (("simulated", 0, "Inst lab-new (2.0~rc1+b1 Lab:stable [all])"), "as many packages as it counts"),
        (("simulated", 0, "Remv lab-old [1.0]"), "would remove a package"),
        (("simulated", 0, "Inst libc6:i386 [1] (2 Debian:12 [i386])"), "of another architecture"),
        (("simulated", 0, "Inst lab-new weird"), "another form"),
        (("simulated", 100, ""), "first wants repair"),
        (("shown", 0, "looked"), "does not say the size and SHA-256 of lab-new 2.0~rc1+b1"),
        (("shown", 0, "Package: lab-new"), "ends early"),
        (("running", 0, "ssh.service"), "ends early"),
        (("held", 1, ""), "held failed"),
        (("architecture", 0, "riscv64"), "not an architecture"),
    ] {
        let Err(Unread(said)) = answered(&[changed]) else { panic!("{changed:?} is taken") };
        assert!(said.contains(why), "{changed:?}: {said}");
    }
}

#[test]
fn two_files_of_one_name_and_version_are_refused() {
    let twice = SHOWN.replace("end\nend\nlooked", "end\nPackage: lab-new\nVersion: 2.0~rc1+b1\nArchitecture: all\nSize: 100\nSHA256: 4444444444444444444444444444444444444444444444444444444444444444\nend\nlooked");
    let Err(Unread(said)) = answered(&[("shown", 0, twice.leak())]) else { panic!("taken") };
    assert_eq!(said, "two sources have different files called lab-new 2.0~rc1+b1");
}

#[test]
fn hosts_that_are_alike_share_a_set_and_others_do_not() {
    let mut newer = surveyed("three", &[]);
    newer.distribution = "debian-13".to_owned();
    let sets = sets(&[surveyed("one", &["web"]), newer, surveyed("two", &["database", "web"])]).unwrap();
    assert_eq!(sets.len(), 2);
    let roles = &sets[0].packages[&"libc6".parse().unwrap()].roles;
    assert_eq!(roles.iter().map(RoleName::as_str).collect::<Vec<_>>(), ["database", "web"]);
    assert_eq!(sets[0].reboot().len(), 1);
    assert_eq!(sets[0].size(), 2_800_300);
}

#[test]
fn hosts_that_would_not_get_the_same_are_named() {
    let mut other = surveyed("two", &["web"]);
    other.upgrades.packages[1].version = "1.2".parse().unwrap();
    other.upgrades.packages[2].sha256 = Digest::of(b"other");
    let conflicts = sets(&[surveyed("one", &["web"]), other]).unwrap_err();
    let said: Vec<String> = conflicts.iter().map(ToString::to_string).collect();
    assert_eq!(
        said,
        [
            "one would install lab-library 1.1, and two 1.2",
            "one and two would install different files as libc6 2.36-9+deb12u10"
        ]
    );
}

#[test]
fn a_file_is_read_back_as_it_was_written() {
    let mut release = release();
    let read = |release: &Release| Release::parse(&release.id, release.to_yaml().as_bytes());
    assert_eq!(read(&release).as_ref(), Ok(&release));
    release.id = "2026-12-03-emergency".parse().unwrap();
    release.emergency = Some("a \"quoted\": reason, ünd # more".to_owned());
    release.sets[0].packages.clear();
    release.sets[0].archives.clear();
    assert_eq!(read(&release).as_ref(), Ok(&release));
}

/// What is said of the file after `edit`.
fn refused(edit: (&str, &str)) -> String {
    let release = release();
    let text = release.to_yaml();
    assert!(text.contains(edit.0), "{text}");
    match Release::parse(&release.id, text.replacen(edit.0, edit.1, 1).as_bytes()) {
        Ok(_) => "taken".to_owned(),
        Err(refusals) => Refusals::iter(&refusals).map(ToString::to_string).collect::<Vec<_>>().join("\n"),
    }
}

#[test]
fn what_a_file_does_not_say_whole_is_refused_with_its_line() {
    for (edit, why) in [
        (("schema: 2", "schema: 3"), "releases/2026-11-28.yaml:3:9: schema: written for a newer palisade"),
        (
            ("\"2026-11-28\"", "\"2026-12-26\""),
            ":4:10: release: another release than the file is called after",
        ),
        (
            ("by: \"alice\"", "by: \"alice\"\nemergency: \"haste\""),
            "emergency: a reason for haste in a release that came in turn",
        ),
        (("planned: \"2026", "planned: \"soon"), "planned: not a moment"),
        (("debian-12", "debian-11"), "distribution: not one of the words known here"),
        (("\"1.1\"", "\"../1.1\""), "packages.lab-library.version: not a package's version"),
        (("\"1.1\"", "1.1"), "packages.lab-library.version: YAML reads this as a number"),
        (("size: 200", "size: 0"), "packages.lab-library.size: the number is out of bounds"),
        (("22222222", "2222222"), "packages.lab-library.sha256: not a SHA-256 digest"),
        (("\"lab-new\":", "\"lab-library\":"), "duplicate key `lab-library`"),
        (("archive: 0", "archive: 2"), "packages.libc6.archive: the set has no archive in this place"),
        ((", path: \"./some.deb\"", ""), "packages.lab-library: nobody vouches for it"),
        (("path: \"./some.deb\"", "path: \"../some.deb\""), "packages.lab-library.path: "),
        (
            ("archive: 1, path: \"./some.deb\"", "archive: 1, path: \"./some.deb\", local: \"why\""),
            "nobody vouches for it",
        ),
        (("suite: \"bookworm\"", "suite: \"/bookworm\""), "archives[0].suite: "),
        (("date: \"2026-11-14T08:00:00Z\"", "date: \"today\""), "archives[0].date: not a moment"),
        (("size: 200, roles: [\"database\",\"web\"],", "size: 200,"), "`roles` is missing"),
        (("[\"lab-held\"]", "[\"lab-held\",\"lab-held\"]"), "held[1]: the same twice"),
        (("\"lab-new\":", "\"../lab\":"), "packages.../lab: "),
    ] {
        let said = refused(edit);
        assert!(said.contains(why), "{edit:?}:\n{said}");
    }
}

#[test]
fn a_host_downloads_a_few_packages_at_a_time() {
    let digest = |number: u64| Digest::of(&number.to_be_bytes());
    let all: Vec<(Digest, u64)> = (0..40).map(|number| (digest(number), 1000)).collect();
    let counts = |all: &[(Digest, u64)]| transfer::portions(all).iter().map(Vec::len).collect::<Vec<_>>();
    assert_eq!(counts(&all), [16, 16, 8]);
    let large: Vec<(Digest, u64)> =
        [100 << 20, 1, 5 << 20, 4 << 20, 1].into_iter().map(|size| (digest(size), size)).collect();
    assert_eq!(counts(&large), [1, 2, 2]);
    assert_eq!(transfer::portions(&large).concat().len(), large.len());
    assert!(transfer::portions(&[]).is_empty());
}

#[test]
fn what_a_host_has_seen_is_read_whole_or_not_at_all() {
    let read = |said: &str| installed_before::read(&frame(&[("installed", 0, said)]));
    assert_eq!(read("looked").unwrap(), []);
    let all = read("libc6 2.36-9+deb12u10\nlab-new 2.0~rc1+b1\nlooked").unwrap();
    assert_eq!(all.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["libc6", "lab-new"]);
    for torn in ["libc6 2.36-9+deb12u10", "libc6\nlooked", "libc6 2.36 3\nlooked", ""] {
        assert!(read(torn).is_err(), "{torn}");
    }
}

#[test]
fn a_host_s_word_about_a_package_is_believed_of_no_file() {
    let host = "one".parse().unwrap();
    let alone = || sets(&[surveyed("one", &["web"])]).unwrap().remove(0);
    let all = || signed("bookworm", &["libc6", "lab-library", "lab-new"]);
    let none = BTreeMap::new();
    let refused = |mut set: Set, indexes: &[SignedIndex], local: &BTreeMap<PackageName, String>| {
        let before = set.clone();
        let why = set.vouch(&host, indexes, local).unwrap_err().join("\n");
        assert_eq!(set, before, "{why}");
        why
    };
    alone().vouch(&host, &[all()], &none).unwrap();

    let mut lies = alone();
    lies.packages.get_mut(&"libc6".parse().unwrap()).unwrap().sha256 = Digest::of(b"mine");
    let why = refused(lies, &[all()], &none);
    assert!(
        why.contains("one would install another file as libc6 2.36-9+deb12u10 than the one that bookworm"),
        "{why}"
    );

    let mut invents = alone();
    let package = invents.packages[&"libc6".parse().unwrap()].clone();
    invents.packages.insert("lab-mine".parse().unwrap(), package);
    let why = refused(invents, &[all()], &none);
    assert!(why.contains("lab-mine 2.36-9+deb12u10 stands in no index that an archive signed"), "{why}");

    let why = refused(alone(), &[signed("bookworm", &["libc6", "lab-library"])], &none);
    assert!(why.contains("lab-new 2.0~rc1+b1 stands in no index"), "{why}");
    let local = [("libc6".parse().unwrap(), "mine".to_owned())].into();
    assert!(refused(alone(), &[all()], &local).contains("libc6 is signed by an archive"));
}
