//! Whether a host may be rebooted, and whether it is back as it has to be: in another boot, with the newest kernel that is
//! installed there. Refused is a host that nobody could open again: one whose root is encrypted, and whose way of unlocking
//! is not declared (`unlock` in the inventory), or not installed there.

use std::time::Duration;

use crate::inventory::Unlock;
use crate::probe::Facts;
use crate::shell::{Question, Script};
use crate::text::excerpt;

/// How a reboot ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rebooted {
    /// It is back.
    Back {
        /// The kernel that runs now, as `uname -r` says it.
        kernel: String,
        /// From the order to the fresh login.
        after: Duration,
    },
    /// It was not told to reboot.
    Refused {
        /// The reason.
        reason: String,
    },
    /// It is back, in another boot, and not as it has to be.
    Astray {
        /// What is wrong.
        reason: String,
    },
    /// It was told to reboot and was not seen again in time. What it does is not known.
    Lost {
        /// What was tried, and what came of it last.
        reason: String,
    },
}

/// What a host says of its kernels and its root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BootState {
    /// `uname -r`.
    pub running: String,
    /// The newest that is installed with its image in /boot; none in a container.
    pub newest: Option<String>,
    root: Root,
    /// What its initramfs can be opened with from afar: `dropbear`, `clevis`.
    openers: Vec<String>,
    /// What else asks for a passphrase while it boots, and keeps it from coming up until it has one (crypttab(5)).
    asking: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Root {
    Plain,
    Encrypted,
}

const BOOT_STATE: &str = r#"printf 'running %s\n' "$(uname -r)"
for palisade_image in /boot/vmlinuz-*; do
  [ -e "$palisade_image" ] && printf '%s\n' "${palisade_image#/boot/vmlinuz-}"
done | sort -V | tail -n 1 | sed 's/^/newest /'
palisade_root=$(findmnt --noheadings --nofsroot --output SOURCE --mountpoint /) || exit
case $palisade_root in
  /dev/*)
    palisade_types=$(lsblk --noheadings --inverse --raw --output TYPE "$palisade_root") || exit
    case "
$palisade_types
" in
      *'
crypt
'*) printf 'root encrypted\n' ;;
      *) printf 'root plain\n' ;;
    esac ;;
  ?*) if [ "$(findmnt --noheadings --output FSTYPE --mountpoint /)" = zfs ]; then printf 'root zfs\n'; else printf 'root plain\n'; fi ;;
esac
if [ -e /etc/crypttab ]; then
  while read -r palisade_name palisade_device palisade_key palisade_options palisade_rest; do
    case $palisade_name in '' | '#'*) continue ;; esac
    case ,$palisade_options, in
      *,noauto,* | *,nofail,* | *,swap,* | *,tmp,* | *,tmp=* | *,keyscript=* | *,tpm2-device=* | *,fido2-device=* | *,pkcs11-uri=*) continue ;;
    esac
    [ -e "/etc/cryptsetup-keys.d/$palisade_name.key" ] && continue
    case $palisade_key in '' | none | -) printf 'asks %s\n' "$palisade_name" ;; esac
  done </etc/crypttab || exit
fi
for palisade_opener in dropbear clevis; do
  for palisade_hook in "/usr/share/initramfs-tools/hooks/$palisade_opener" /usr/lib/dracut/modules.d/*"$palisade_opener"*; do
    if [ -e "$palisade_hook" ]; then printf 'opener %s\n' "$palisade_opener"; break; fi
  done
done
printf 'whole\n'"#;

/// The order comes a moment later, so that its answer still arrives.
const ORDER: &str = "systemd-run --quiet --collect --unit=palisade-reboot --on-active=1s --timer-property=AccuracySec=100ms \
systemctl reboot && printf 'ordered\\n'";

/// Asks for it.
pub fn question() -> Question {
    Question { label: "standing", body: Script::new().text(BOOT_STATE).into(), seconds: 30, cap: 64 << 10 }
}

/// Tells it to reboot.
pub fn order_question() -> Question {
    Question { label: "order", body: Script::new().text(ORDER).into(), seconds: 30, cap: 4 << 10 }
}

/// Why a host must not be rebooted now.
pub fn refusal(facts: &Facts, standing: &BootState, unlock: Option<Unlock>) -> Option<String> {
    if facts.uid != 0 {
        return Some("root is needed, and sudo does not give it".to_owned());
    }
    if let Some(tx) = &facts.pending {
        return Some(format!("a change is pending there ({tx}): a reboot would take it back"));
    }
    if let Some(installing) = &facts.installing {
        return Some(format!("release {} is being installed there", installing.release));
    }
    shut(standing, unlock)
}

/// Why it would not come back by itself, and nobody could let it.
fn shut(standing: &BootState, unlock: Option<Unlock>) -> Option<String> {
    let what = match (standing.root, standing.asking.as_slice()) {
        (Root::Plain, []) => return None,
        (Root::Plain, [volume, ..]) => format!("the encrypted volume {volume} asks for a passphrase at boot"),
        (Root::Encrypted, _) => "its root is encrypted".to_owned(),
    };
    let Some(unlock) = unlock else {
        return Some(format!(
            "{what}, and how it is unlocked is not declared: it might not come back; declare `unlock` for it in the \
             inventory"
        ));
    };
    if standing.root == Root::Plain {
        return None;
    }
    let needs = match unlock {
        Unlock::Dropbear | Unlock::Clevis => unlock.word(),
        Unlock::Console | Unlock::Tpm2 => return None,
    };
    let installed = standing.openers.iter().any(|opener| opener == needs);
    (!installed).then(|| {
        format!(
            "its root is encrypted and `unlock: {needs}` is declared, but {needs} is not in its initramfs (package \
             {needs}-initramfs): it might not come back"
        )
    })
}

/// What has to happen before it is back, where it does not boot by itself.
pub fn waits_for(standing: &BootState, unlock: Option<Unlock>) -> Option<&'static str> {
    unlock.filter(|_| standing.root == Root::Encrypted || !standing.asking.is_empty())?.waits_for()
}

/// Whether a host that is back is as it has to be: the newest kernel that was installed runs.
pub fn judge(before: &BootState, now: &BootState, after: Duration) -> Rebooted {
    match &before.newest {
        Some(wanted) if now.running != *wanted => {
            Rebooted::Astray { reason: format!("it is back with the kernel {}, not {wanted}", now.running) }
        }
        _ => Rebooted::Back { kernel: now.running.clone(), after },
    }
}

/// The answer to [`question`].
pub fn read(text: &str) -> Result<BootState, String> {
    let word = |name: &str| {
        text.lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))
            .map(|word| excerpt(word, 100))
    };
    if !text.lines().any(|line| line == "whole") {
        return Err("the host does not say whether its root is encrypted".to_owned());
    }
    let root = match word("root").as_deref() {
        Some("plain") => Root::Plain,
        // What ZFS encrypts is not told apart here: a way of unlocking has to be declared.
        Some("encrypted" | "zfs") => Root::Encrypted,
        _ => return Err("the host does not say whether its root is encrypted".to_owned()),
    };
    let running = word("running").ok_or("the host does not say which kernel it runs")?;
    let all = |name: &str| -> Vec<String> {
        text.lines()
            .filter_map(|line| line.strip_prefix(name)?.strip_prefix(' '))
            .map(|word| excerpt(word, 100))
            .collect()
    };
    let (openers, asking) = (all("opener"), all("asks"));
    Ok(BootState { running, newest: word("newest"), root, openers, asking })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn standing(text: &str) -> BootState {
        read(text).unwrap()
    }

    #[test]
    fn a_kernel_that_was_installed_has_to_run_afterwards() {
        let before = standing("running 6.1.0-1\nnewest 6.1.0-2\nroot plain\nwhole\n");
        let same = standing("running 6.1.0-1\nnewest 6.1.0-2\nroot plain\nwhole\n");
        let newer = standing("running 6.1.0-2\nnewest 6.1.0-2\nroot plain\nwhole\n");
        let after = Duration::from_secs(1);
        assert!(matches!(judge(&before, &same, after), Rebooted::Astray { .. }));
        assert!(matches!(judge(&before, &newer, after), Rebooted::Back { .. }));
    }

    #[test]
    fn what_nobody_could_open_again_is_not_rebooted() {
        let plain = standing("running 6.1.0-1\nroot plain\nwhole\n");
        let sealed = standing("running 6.1.0-1\nroot encrypted\nwhole\n");
        let remote = standing("running 6.1.0-1\nroot encrypted\nopener dropbear\nwhole\n");
        let asking = standing("running 6.1.0-1\nroot plain\nasks data\nwhole\n");
        assert_eq!(shut(&plain, None), None);
        assert!(shut(&sealed, None).unwrap().contains("its root is encrypted, and how it is unlocked"));
        assert!(shut(&asking, None).unwrap().contains("the encrypted volume data asks"));
        for unlock in [Unlock::Console, Unlock::Tpm2] {
            assert_eq!(shut(&sealed, Some(unlock)), None);
            assert_eq!(shut(&asking, Some(unlock)), None);
        }
        assert_eq!(shut(&remote, Some(Unlock::Dropbear)), None);
        assert!(shut(&sealed, Some(Unlock::Dropbear)).unwrap().contains("dropbear is not in its initramfs"));
        assert!(shut(&remote, Some(Unlock::Clevis)).unwrap().contains("clevis-initramfs"));
    }

    #[test]
    fn who_has_to_come_is_said_only_where_somebody_has_to() {
        let plain = standing("running 6.1.0-1\nroot plain\nwhole\n");
        let sealed = standing("running 6.1.0-1\nroot encrypted\nwhole\n");
        assert!(waits_for(&sealed, Some(Unlock::Console)).unwrap().contains("console"));
        assert!(waits_for(&sealed, Some(Unlock::Dropbear)).unwrap().contains("dropbear"));
        assert_eq!(waits_for(&sealed, Some(Unlock::Clevis)), None);
        assert_eq!(waits_for(&plain, Some(Unlock::Console)), None);
    }

    #[test]
    fn what_does_not_say_how_its_root_is_is_not_rebooted() {
        assert!(read("running 6.1.0-1\nwhole\n").is_err());
        assert!(read("running 6.1.0-1\nroot plain\n").is_err());
        assert!(read("root plain\nwhole\n").is_err());
        assert_eq!(standing("running 6.1.0-1\nroot zfs\nwhole\n").root, Root::Encrypted);
    }
}
