//! `cargo test` on a machine that has nothing: a fresh root of Debian with what is essential, and apt. Everything in the
//! table of programs can be had there, after saying so; and tests of each kind pass with what they say that they need,
//! and nothing else, so that they call nothing that the table does not bring.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use palisade::lab::{LabFolder, Suite};
use palisade::program::{Program, SYSTEM_PATH};
use support::{Needs, note, tell};

support::tests! {
    Needs::LAB => [
        everything_in_the_table_can_be_had,
        the_program_itself_is_tested_with_what_its_tests_name,
    ],
    Needs::TAIL => [
        transports_are_tested_with_what_their_tests_name,
        hosts_come_up_with_what_the_lab_names,
    ],
}

/// The root, with layers of its own, in namespaces of its own: whatever becomes of it goes with its processes. The
/// repository, what was built, and the lab's folder are where they always are; packages are fetched once.
const ENTER: &str = r#"set -e
base=$1 folder=$2 repository=$3 target=$4 lab=$5
shift 5
mount -t tmpfs tmpfs "$folder"
mkdir "$folder/upper" "$folder/work" "$folder/root"
root=$folder/root
mount -t overlay overlay -o "lowerdir=$base,upperdir=$folder/upper,workdir=$folder/work" "$root"
mount -t proc proc "$root/proc"
mount --rbind /sys "$root/sys"
mount --rbind /dev "$root/dev"
mount -t tmpfs -o mode=755 tmpfs "$root/run"
rm -f "$root/etc/resolv.conf"
cat /etc/resolv.conf >"$root/etc/resolv.conf"
for shared in "$repository" "$target" "$lab"; do
  mkdir -p "$root$shared"
  mount --bind "$shared" "$root$shared"
done
printf '127.0.0.1 localhost\n::1 localhost\n' >"$root/etc/hosts"
mkdir -p "$lab/bare-packages" "$root/var/cache/apt/archives"
cp "$lab"/bare-packages/*.deb "$root/var/cache/apt/archives" 2>/dev/null || :
exec chroot "$root" "$@""#;

/// What a program of the tests said in such a root; it ended well.
fn within(program: &Path, variables: &[(&str, &str)], words: &[&str]) -> String {
    let suite = own_suite();
    let place = LabFolder::default();
    let base = place.make_bare_root(suite, &tell).unwrap_or_else(|error| panic!("{error}"));
    let lab = base.ancestors().nth(3).expect("the lab's folder");
    let folder = tempfile::tempdir().unwrap();
    let target = program.ancestors().nth(2).expect("where it was built");
    let mut command = Program::Unshare.command();
    command
        .args(["--mount", "--propagation", "private", "/bin/sh", "-c", ENTER, "sh"])
        .arg(&base)
        .arg(folder.path())
        .arg(env!("CARGO_MANIFEST_DIR"))
        .arg(target)
        .arg(lab)
        .args(["/usr/bin/env", "-i", concat!("--chdir=", env!("CARGO_MANIFEST_DIR"))])
        .args(["HOME=/root", "PALISADE_LAB=required"])
        .arg(format!("PATH={SYSTEM_PATH}"))
        .args(variables.iter().map(|(name, value)| format!("{name}={value}")))
        .args(["/usr/bin/timeout", "600"])
        .arg(program)
        .args(words);
    let output = command.output().unwrap();
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{} in a bare root: {}\n{said}", program.display(), output.status);
    said
}

/// Debian 12 or 13, as this machine is, since the programs that were built need its libraries.
fn own_suite() -> Suite {
    let release = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
    if release.lines().any(|line| line.trim() == "VERSION_ID=\"12\"") {
        Suite::Bookworm
    } else {
        Suite::Trixie
    }
}

/// The test program of this name that was built last, beside this one.
pub(crate) fn sibling(name: &str) -> PathBuf {
    let own = std::env::current_exe().unwrap();
    let built = std::fs::read_dir(own.parent().unwrap()).unwrap().flatten();
    let candidates = built.filter(|entry| {
        let file = entry.file_name().to_string_lossy().into_owned();
        file.strip_prefix(name).is_some_and(|rest| rest.starts_with('-') && !rest.contains('.'))
    });
    let age = |entry: &std::fs::DirEntry| {
        entry.metadata().and_then(|metadata| metadata.modified()).unwrap_or(SystemTime::UNIX_EPOCH)
    };
    let Some(newest) = candidates.max_by_key(age) else {
        panic!("the test program {name} was not built: `cargo test --no-run` builds all of them")
    };
    newest.path()
}

/// Runs tests there, and sees that they say what they install, and that none is skipped.
fn pass(program: &Path, installs: &[&str], words: &[&str]) {
    let said = within(program, &[], words);
    let line = said
        .lines()
        .find(|line| line.starts_with("installing what tests need and this machine lacks: "))
        .unwrap_or_else(|| panic!("it does not say what it installs:\n{said}"));
    for package in installs {
        assert!(line.split(' ').any(|word| word == *package), "{package} is not in: {line}");
    }
    let last = said.lines().rfind(|line| line.starts_with("tests: ")).unwrap_or_default();
    assert!(last.ends_with(" 0 failed, 0 skipped") && !last.contains(": 0 passed"), "{said}");
    note(&format!("in a bare root: {line}\nin a bare root: {last}"));
}

/// The role in which this program is started there, and its name.
pub(crate) const HAS_EVERYTHING: &str = "have-everything";

/// Where the lab keeps the packages that were fetched for such roots.
const KEPT: &str = "/var/cache/palisade/lab/bare-packages";

/// Installs everything in the table.
pub(crate) fn have_everything() {
    let lacking = palisade::program::missing(Program::ALL.iter().copied());
    note(&format!("it lacks: {}", lacking.join(" ")));
    palisade::program::install(&lacking, &|_| {}).unwrap_or_else(|error| panic!("{error}"));
    let lacking: Vec<&str> =
        Program::ALL.iter().filter(|one| one.path().is_none()).map(|one| one.name()).collect();
    note(&format!("it still lacks: {lacking:?}"));
    // So that the next root need not fetch them again. A file that another root writes is the same file.
    let kept = Path::new(KEPT);
    for entry in std::fs::read_dir("/var/cache/apt/archives").unwrap().flatten() {
        let name = entry.file_name();
        if name.to_string_lossy().ends_with(".deb") && !kept.join(&name).exists() {
            let draft = kept.join(format!("{}.draft", name.display()));
            std::fs::copy(entry.path(), &draft).unwrap();
            std::fs::rename(draft, kept.join(name)).unwrap();
        }
    }
}

fn everything_in_the_table_can_be_had() {
    let own = std::env::current_exe().unwrap();
    let said = within(&own, &[("PALISADE_TEST_ROLE", HAS_EVERYTHING)], &[]);
    let lacked = said.lines().find_map(|line| line.strip_prefix("it lacks: ")).unwrap_or_default();
    for package in ["openssh-server", "nftables", "mmdebstrap", "systemd-container", "procps", "sudo"] {
        assert!(lacked.split(' ').any(|word| word == package), "a bare root has {package}: {lacked}");
    }
    assert!(said.contains("it still lacks: []"), "{said}");
}

fn the_program_itself_is_tested_with_what_its_tests_name() {
    // Hosts that are slow on purpose, and hundreds of refusals, start nothing that others do not.
    pass(
        &sibling("cli"),
        &["openssh-server", "nftables", "python3-aiosmtpd"],
        &["--skip", "hostile::", "--skip", "refusals::", "--skip", "offline::"],
    );
}

fn transports_are_tested_with_what_their_tests_name() {
    pass(&sibling("transport"), &["openssh-server", "netcat-openbsd"], &["::of_each_release::"]);
}

fn hosts_come_up_with_what_the_lab_names() {
    let own = std::env::current_exe().unwrap();
    pass(
        &own,
        &["systemd-container", "mmdebstrap", "nftables"],
        &["--exact", "guests::packages_are_installed_without_any_network"],
    );
}
