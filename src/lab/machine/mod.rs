//! Virtual machines: what they are made of. Their disks are images of a root that is made as the containers' is, with a
//! kernel and an initramfs of their own; qemu and its tools lie in a root of the lab's own, whatever packages this
//! machine has or cannot have. How one is kept running is `supervise.sh`'s, how it is spoken to [`super::agent`]'s.

pub(super) mod warm;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::base::{Base, remove_tree};
use super::error::LabError;
use super::event::{LabEvent, Sink};
use super::invocation::Invocation;
use super::spec::{Hardware, Suite};
use crate::domain::Digest;
use crate::program::Program;

/// What a machine has beside what a container has: a kernel, and what disks are encrypted, joined and mirrored with.
pub(super) const INCLUDED: [&str; 12] = [
    "linux-image-cloud-amd64",
    "initramfs-tools",
    "zstd",
    "udev",
    "kmod",
    "busybox",
    "cryptsetup",
    "cryptsetup-initramfs",
    "lvm2",
    "mdadm",
    "e2fsprogs",
    "qemu-guest-agent",
];

/// What machines may install beside what containers may: the kernel that the security archive has today, which is newer
/// than the one they come with as long as the last point release lies behind it.
pub(super) const PACKAGES: [&str; 2] = ["linux-image-cloud-amd64", "systemd-timesyncd"];

/// What machines run under. Debian 13's qemu, on any machine.
pub(super) const TOOLS: [&str; 3] = ["qemu-system-x86", "qemu-utils", "e2fsprogs"];
pub(super) const TOOLS_SUITE: Suite = Suite::Trixie;

const ROOT: &str = include_str!("root.sh");
pub(super) const SUPERVISE: &str = include_str!("supervise.sh");

/// Sizes of the system's disks, in MiB. They take room only where they are written.
const BOOT_SIZE: u32 = 300;
const ROOT_SIZE: u32 = 4096;

/// What decides the base of machines, beside what decides that of containers.
pub(super) fn recipe() -> String {
    format!("{INCLUDED:?}{PACKAGES:?}{ROOT}{BOOT_SIZE}{ROOT_SIZE}")
}

/// The name of the tools' folder.
pub(super) fn tools_key() -> String {
    let digest = Digest::of(format!("{TOOLS:?}{TOOLS_SUITE:?}").as_bytes());
    format!("tools-{}", digest.as_str().get(..12).unwrap_or_default())
}

/// Turns `root`, and the packages beside it, into images of disks in `folder`.
pub(super) fn make_disks(folder: &Path, root: &Path) -> Result<(), LabError> {
    Invocation::of(Program::Chroot).arg(root).args(["/bin/sh", "-s"]).input(ROOT).run()?;
    let boot = folder.join("boot");
    #[expect(clippy::disallowed_methods, reason = "the lab's own folder")]
    std::fs::rename(root.join("boot"), &boot).map_err(LabError::file("move", &boot))?;
    #[expect(clippy::disallowed_methods, reason = "the lab's own folder")]
    std::fs::create_dir(root.join("boot")).map_err(LabError::file("make", root.join("boot")))?;
    // /boot has no journal, so that the boot loader need not replay one
    let disk = |from: &Path, to: &str, label: &str, options: &[&str], mebibytes: u32| {
        Invocation::of(Program::Mke2fs)
            .args(["-q", "-t", "ext4", "-E", "lazy_itable_init=0", "-L", label])
            .args(options)
            .arg("-d")
            .arg(from)
            .arg(folder.join(to))
            .arg(format!("{mebibytes}M"))
            .run()
            .map(drop)
    };
    disk(&boot, "boot.img", "lab-boot", &["-O", "^has_journal"], BOOT_SIZE)?;
    // Debian 12's e2fsck does not know what Debian 13's mke2fs would turn on
    disk(root, "root.img", "lab-root", &["-O", "^orphan_file,^metadata_csum_seed"], ROOT_SIZE)?;
    let packages = folder.join("packages");
    disk(&packages, "packages.img", "lab-packages", &["-O", "^has_journal"], PACKAGES_SIZE)?;
    for folder in [root, &boot, &packages] {
        remove_tree(folder)?;
    }
    Ok(())
}

/// Large enough for two kernels, in MiB.
const PACKAGES_SIZE: u32 = 512;

/// How machines run here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Accelerator {
    /// On the processor.
    Kvm,
    /// Emulated, some ten times slower.
    Tcg,
}

impl Accelerator {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Kvm => "kvm",
            Self::Tcg => "tcg",
        }
    }

    /// What works here: KVM only where a kernel was seen to start under it, since /dev/kvm may open where nothing
    /// ever runs. What was found is kept for this boot of this machine in `bases`.
    #[expect(clippy::disallowed_methods, reason = "the lab's own folder, and this machine's boot id")]
    pub(super) fn found(bases: &Path, tools: &Base, base: &Base, sink: Sink) -> Result<Self, LabError> {
        let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        let kept = bases.join("accelerator");
        let known = std::fs::read_to_string(&kept).unwrap_or_default();
        let found = match known.strip_prefix(boot.trim()).map(str::trim) {
            Some("kvm") => Self::Kvm,
            Some("tcg") => Self::Tcg,
            _ => {
                let works = Path::new("/dev/kvm").exists() && kvm_starts_a_kernel(tools, base)?;
                let found = if works { Self::Kvm } else { Self::Tcg };
                let text = format!("{} {}\n", boot.trim(), found.name());
                super::record::write_whole(&kept, text.as_bytes())?;
                found
            }
        };
        sink(&LabEvent::Accelerator(match found {
            Self::Kvm => "on KVM",
            Self::Tcg => "emulated (TCG), for no kernel starts under KVM here; a boot takes a minute or two",
        }));
        Ok(found)
    }
}

/// How long a kernel may take to its first line under KVM, where it takes less than a second.
const KVM_WITHIN: Duration = Duration::from_secs(20);

#[expect(clippy::disallowed_methods, reason = "the lab looks at a console, and waits")]
fn kvm_starts_a_kernel(tools: &Base, base: &Base) -> Result<bool, LabError> {
    let folder = tempfile_below(base.folder())?;
    let console = folder.join("console");
    let log = std::fs::File::create(folder.join("log")).map_err(LabError::file("make", &console))?;
    let mut child = Invocation::of(Program::Unshare)
        .args([
            "--mount",
            "--pid",
            "--fork",
            "--kill-child",
            "--propagation",
            "slave",
            "/bin/sh",
            "-c",
            TRY_KVM,
        ])
        .arg("try-kvm")
        .arg(&folder)
        .arg(tools.root())
        .arg(base.folder())
        .start(&log)?;
    let begun = Instant::now();
    let mut started = false;
    while !started && begun.elapsed() < KVM_WITHIN && matches!(child.try_wait(), Ok(None)) {
        started =
            std::fs::read(&console).is_ok_and(|text| text.windows(13).any(|part| part == b"Linux version"));
        std::thread::sleep(Duration::from_millis(50));
    }
    drop(child.kill());
    drop(child.wait());
    remove_tree(&folder)?;
    Ok(started)
}

const TRY_KVM: &str = r#"
set -eu
folder=$1 tools=$2 base=$3
mount --bind "$folder" "$tools/mnt"
mount --rbind /dev "$tools/dev"
mount --bind -o ro "$base" "$tools/media"
for file in $(chroot "$tools" debugfs -R 'ls -p /' /media/boot.img 2>/dev/null | cut -d / -f 6 | grep '^vmlinuz-'); do
  chroot "$tools" debugfs -R "dump /$file /mnt/kernel" /media/boot.img 2>/dev/null
done
exec chroot "$tools" qemu-system-x86_64 -M pc,usb=off -accel kvm -cpu host -m 256 -nodefaults -no-user-config \
  -display none -kernel /mnt/kernel -append 'console=ttyS0 earlyprintk=serial' \
  -chardev file,id=console,path=/mnt/console -serial chardev:console
"#;

#[expect(clippy::disallowed_methods, reason = "the lab's own folder")]
fn tempfile_below(folder: &Path) -> Result<PathBuf, LabError> {
    let path = folder.join(format!("try-kvm-{}", std::process::id()));
    remove_tree(&path)?;
    std::fs::create_dir(&path).map_err(LabError::file("make", &path))?;
    Ok(path)
}

/// Why no virtual machine can run here, where none can.
pub(super) fn unsupported() -> Option<LabError> {
    (!cfg!(target_arch = "x86_64")).then(|| LabError::Unsupported {
        why: "virtual machines are made for amd64 alone".to_owned(),
        fix: "use containers (without --vm)",
    })
}

/// The disks of `hardware`, as `supervise.sh` reads them.
pub(super) fn disks(hardware: &Hardware) -> String {
    let words = hardware.disks.iter().map(|disk| {
        let removable = if disk.removable { "r" } else { "" };
        format!("{}{removable}", disk.mebibytes)
    });
    words.collect::<Vec<_>>().join(" ")
}
