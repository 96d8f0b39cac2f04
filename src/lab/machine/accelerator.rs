//! Whether machines run on the processor here or are emulated: tried once, with the machines' own kernel.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::super::base::Base;
use super::super::error::LabError;
use super::super::event::{LabEvent, Sink};
use super::super::invocation::Invocation;
use super::super::tree::remove_tree;
use crate::program::Program;

/// How machines run here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::lab) enum Accelerator {
    /// On the processor.
    Kvm,
    /// Emulated, some ten times slower.
    Tcg,
}

impl Accelerator {
    pub(in crate::lab) fn name(self) -> &'static str {
        match self {
            Self::Kvm => "kvm",
            Self::Tcg => "tcg",
        }
    }

    /// What works here: KVM only where a kernel was seen to start under it, since /dev/kvm may open where nothing
    /// ever runs. What was found is kept for this boot of this machine in `bases`.
    #[expect(clippy::disallowed_methods, reason = "the lab's own folder, and this machine's boot id")]
    pub(in crate::lab) fn found(
        bases: &Path,
        tools: &Base,
        base: &Base,
        sink: Sink,
    ) -> Result<Self, LabError> {
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
                super::super::record::write_whole(&kept, text.as_bytes())?;
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
