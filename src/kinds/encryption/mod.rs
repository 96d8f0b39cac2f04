//! Encrypted disks: below every file system and every swap area lies encryption of a known strength, whose key does not
//! lie beside it in plain. It only looks: a root cannot be encrypted where it stands, it needs an installation anew.
//!
//! What counts is the kernel's own table (`dmsetup table`), not a header or a name: a mapping that is called encrypted
//! and is none, or one of a weak cipher, is found. What palisade does not know how to judge (ZFS, hardware that encrypts,
//! key scripts) is unknown, never guessed.

mod declare;
mod answer;
mod layers;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::resource::{Defeated, Frame, Kind, Question, Reading, Step, Verdict};
use crate::shell::Script;

pub use answer::Answer;

/// Every disk of a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Encryption {
    /// Mount points of file systems that need not be encrypted: what a boot loader and a firmware read. A playbook cannot
    /// name `/` here, which is no path that it could manage.
    #[serde(default)]
    pub except: Vec<String>,
}

/// Each part is shown behind a mark with the exit status of its program and the number of its lines, each of which stands
/// behind a space, so that nothing that a host holds can be taken for a mark, and no line is missed unnoticed.
///
/// systemd says in /run/systemd/container that it runs in a container, and in which (its container interface).
const ASK: &str = r#"if [ -e /run/systemd/container ]; then
  IFS= read -r palisade_word </run/systemd/container
  printf 'container %s\n' "$palisade_word"
else
printf 'container none\n'
palisade_show() {
  palisade_part=$1
  shift
  palisade_text=$("$@" 2>&1)
  printf '@%s %s %s\n' "$palisade_part" "$?" "$(printf '%s' "$palisade_text" | grep -c '')"
  [ -z "$palisade_text" ] || printf '%s\n' "$palisade_text" | sed 's/^/ /'
}
palisade_show lsblk lsblk --json --bytes --output NAME,KNAME,MAJ:MIN,PATH,TYPE,FSTYPE,SIZE,RM,RO
palisade_show mounts cat /proc/self/mountinfo
palisade_show swaps cat /proc/swaps
palisade_devices() {
  for palisade_device in /sys/block/dm-*; do
    [ -e "$palisade_device/dm/name" ] || continue
    printf '%s %s %s\n' "${palisade_device##*/}" "$(cat "$palisade_device/dm/uuid")" "$(cat "$palisade_device/dm/name")" || return
  done
}
palisade_show devices palisade_devices
palisade_show tables dmsetup table
palisade_backing() {
  for palisade_device in /sys/block/zram*; do
    [ -e "$palisade_device/backing_dev" ] || continue
    printf '%s %s\n' "${palisade_device##*/}" "$(cat "$palisade_device/backing_dev")" || return
  done
  for palisade_device in /sys/block/loop*; do
    [ -e "$palisade_device/loop/backing_file" ] || continue
    printf '%s %s\n' "${palisade_device##*/}" "$(cat "$palisade_device/loop/backing_file")" || return
  done
}
palisade_show backing palisade_backing
palisade_crypttab() { [ ! -e /etc/crypttab ] || cat /etc/crypttab; }
palisade_show crypttab palisade_crypttab
palisade_keys() {
  [ -e /etc/crypttab ] || return 0
  while read -r palisade_name palisade_source palisade_key palisade_options; do
    case $palisade_name in '' | '#'*) continue ;; esac
    case $palisade_key in /dev/*) ;; /*)
      if [ -e "$palisade_key" ]; then
        printf '%s %s\n' "$(stat -L -c '%Hd:%Ld' -- "$palisade_key")" "$palisade_key" || return
      else
        printf 'absent %s\n' "$palisade_key"
      fi ;;
    esac
  done </etc/crypttab
}
palisade_show keys palisade_keys
palisade_initramfs() {
  grep -qs '^[^#]*[[:space:]]/[^[:space:]]' /etc/crypttab || return 0
  for palisade_image in /boot/initrd.img-*; do
    [ -e "$palisade_image" ] || continue
    palisade_list=$(lsinitramfs "$palisade_image") || return
    printf '%s\n' "$palisade_list" | grep -E '(^|/)cryptroot/keyfiles/.|\.(key|keyfile)$' | while read -r palisade_file; do
      printf '%s %s\n' "$palisade_image" "$palisade_file"
    done
  done
}
palisade_show initramfs palisade_initramfs
palisade_hardware() {
  for palisade_device in $(lsblk --noheadings --raw --output PATH,FSTYPE | sed -n 's/ crypto_LUKS$//p' | sort -u); do
    palisade_dump=$(cryptsetup luksDump "$palisade_device") || return
    printf '%s %s\n' "$palisade_device" "$(printf '%s\n' "$palisade_dump" | sed -n 's/^Version:[[:space:]]*//p')"
    if printf '%s\n' "$palisade_dump" | grep -q 'hw-opal'; then printf '%s hw-opal\n' "$palisade_device"; fi
  done
}
palisade_show headers palisade_hardware
palisade_fscrypt() {
  while read -r palisade_source palisade_mount palisade_type palisade_rest; do
    [ ! -d "$palisade_mount/.fscrypt" ] || printf '%s\n' "$palisade_mount"
  done </proc/mounts
}
palisade_show fscrypt palisade_fscrypt
printf '@end 0 0\n'
fi"#;

impl Kind for Encryption {
    type Answer = Answer;

    const STAYS: bool = true;

    fn question(_all: &[&Self]) -> Question {
        let body = Script::new().text(ASK);
        Question { label: "encryption", body, seconds: 30, cap: 2 << 20 }
    }

    fn read(all: &[&Self], frame: &Frame) -> Vec<Reading<Answer>> {
        let answer = answer::read(frame);
        all.iter().map(|_| answer.clone()).collect()
    }

    fn judge(&self, answer: &Answer, _now: Timestamp) -> Verdict {
        match answer {
            Answer::Container(container) => Verdict::NotApplicable {
                reason: format!("the disks belong to the machine below this container ({container})"),
            },
            Answer::Disks(disks) => layers::judge(disks, &self.except),
        }
    }

    fn remedy(&self, _answer: &Answer) -> Result<Vec<Step>, Defeated> {
        Ok(Vec::new())
    }

    fn name(&self) -> String {
        "disks".to_owned()
    }
}
