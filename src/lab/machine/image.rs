//! What machines are made of: packages, images of disks, and the tools that they run under.

use std::path::Path;

use super::super::error::LabError;
use super::super::invocation::Invocation;
use super::super::spec::{Hardware, Suite};
use super::super::tree::remove_tree;
use crate::domain::Digest;
use crate::program::Program;

/// What a machine has beside what a container has: a kernel, and what disks are encrypted, joined and mirrored with.
pub(in crate::lab) const INCLUDED: [&str; 12] = [
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
pub(in crate::lab) const PACKAGES: [&str; 2] = ["linux-image-cloud-amd64", "systemd-timesyncd"];

/// What machines run under. Debian 13's qemu, on any machine.
pub(in crate::lab) const TOOLS: [&str; 3] = ["qemu-system-x86", "qemu-utils", "e2fsprogs"];

pub(in crate::lab) const TOOLS_SUITE: Suite = Suite::Trixie;

const ROOT: &str = include_str!("root.sh");

pub(in crate::lab) const SUPERVISE: &str = include_str!("supervise.sh");

/// Sizes of the system's disks, in MiB. They take room only where they are written.
const BOOT_SIZE: u32 = 300;

const ROOT_SIZE: u32 = 4096;

/// What decides the base of machines, beside what decides that of containers.
pub(in crate::lab) fn recipe() -> String {
    format!("{INCLUDED:?}{PACKAGES:?}{ROOT}{BOOT_SIZE}{ROOT_SIZE}")
}

/// The name of the tools' folder.
pub(in crate::lab) fn tools_key() -> String {
    let digest = Digest::of(format!("{TOOLS:?}{TOOLS_SUITE:?}").as_bytes());
    format!("tools-{}", digest.as_str().get(..12).unwrap_or_default())
}

/// Turns `root`, and the packages beside it, into images of disks in `folder`.
pub(in crate::lab) fn make_disks(folder: &Path, root: &Path) -> Result<(), LabError> {
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

/// Why no virtual machine can run here, where none can.
pub(in crate::lab) fn unsupported() -> Option<LabError> {
    (!cfg!(target_arch = "x86_64")).then(|| LabError::Unsupported {
        why: "virtual machines are made for amd64 alone".to_owned(),
        fix: "use containers (without --vm)",
    })
}

/// The disks of `hardware`, as `supervise.sh` reads them.
pub(in crate::lab) fn disks(hardware: &Hardware) -> String {
    let words = hardware.disks.iter().map(|disk| {
        let removable = if disk.removable { "r" } else { "" };
        format!("{}{removable}", disk.mebibytes)
    });
    words.collect::<Vec<_>>().join(" ")
}
