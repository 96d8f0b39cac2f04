//! From every file system and swap area down to the disks: whether encryption lies in between on every way, how strong it
//! is, and where its key lies. Pure, and it asks nothing.

use std::collections::{BTreeMap, BTreeSet};

use super::answer::{Device, Disks, Entry, Mount};
use crate::resource::Verdict;
use crate::text::visible;

/// What lies below something.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Below {
    /// A disk as it is.
    Plain(String),
    /// Encryption that is none to speak of, by this cipher.
    Weak(String),
    /// Something that palisade does not judge.
    Unknown(String),
    /// Memory, which loses what it holds with the power.
    Memory,
    /// Strong encryption, by these mappings.
    Encrypted(BTreeSet<String>),
}

/// Block ciphers that nobody has broken, in XTS (IEEE 1619): the mode that cryptsetup takes by default since 2013.
const CIPHERS: [&str; 4] = ["aes", "serpent", "twofish", "camellia"];

/// The least size of a key in bits. XTS splits it in two, so that this is AES-128, which BSI TR-02102-1 (3.1) has for
/// strong.
const LEAST_BITS: usize = 256;

/// What is no device of this host's: it lies elsewhere, and is encrypted there or not.
const ELSEWHERE: [&str; 8] = ["nfs", "nfs4", "cifs", "smb3", "ceph", "fuse.sshfs", "fuse.glusterfs", "9p"];

/// What devices hold that is neither file system nor swap, but carries others.
const CARRIERS: [&str; 3] = ["LVM2_member", "linux_raid_member", "bcache"];

pub(super) fn judge(disks: &Disks, except: &[String]) -> Verdict {
    let mut judgement = Judgement::of(disks, except);
    judgement.mounted();
    judgement.swaps();
    judgement.lying_about();
    judgement.keys();
    judgement.verdict()
}

struct Judgement<'d> {
    disks: &'d Disks,
    except: &'d [String],
    findings: Vec<String>,
    unknown: Vec<String>,
    notes: Vec<String>,
    /// Devices that were judged by what uses them.
    judged: BTreeSet<&'d str>,
    /// Mappings below something that is used.
    used: BTreeSet<String>,
}

impl<'d> Judgement<'d> {
    fn of(disks: &'d Disks, except: &'d [String]) -> Self {
        Self {
            disks,
            except,
            findings: Vec::new(),
            unknown: Vec::new(),
            notes: Vec::new(),
            judged: BTreeSet::new(),
            used: BTreeSet::new(),
        }
    }

    fn verdict(self) -> Verdict {
        let Self { mut findings, unknown, notes, .. } = self;
        if !findings.is_empty() {
            findings.extend(unknown);
            return Verdict::Drift { findings };
        }
        if !unknown.is_empty() {
            return Verdict::Unknown { reason: unknown.join("; ") };
        }
        Verdict::Compliant { notes }
    }

    /// Every file system that is mounted, by its device.
    fn mounted(&mut self) {
        let mut by_device: BTreeMap<&str, Vec<&Mount>> = BTreeMap::new();
        for mount in &self.disks.mounts {
            if mount.kind == "zfs" {
                self.unknown.push(format!(
                    "{} is on ZFS ({}), whose encryption palisade does not judge",
                    visible(&mount.at),
                    visible(&mount.source)
                ));
            } else if ELSEWHERE.contains(&mount.kind.as_str()) {
                self.notes.push(format!("{} lies elsewhere ({})", visible(&mount.at), visible(&mount.kind)));
            } else if let Some((name, _)) = self.device_of(mount) {
                by_device.entry(name).or_default().push(mount);
            } else if mount.at == "/" && covering(&self.disks.mounts, "/") == Some(mount) {
                self.unknown.push(format!(
                    "/ is on {} ({}), which palisade does not judge",
                    visible(&mount.source),
                    visible(&mount.kind)
                ));
            } else if !mount.device.starts_with("0:") {
                self.unknown.push(format!(
                    "lsblk does not know {} ({}), where {} is",
                    visible(&mount.source),
                    visible(&mount.device),
                    visible(&mount.at)
                ));
            }
        }
        for (name, mounts) in by_device {
            self.judged.insert(name);
            let mut at: Vec<&str> = mounts.iter().map(|mount| mount.at.as_str()).collect();
            at.sort_unstable();
            at.dedup();
            let excepted = at.iter().all(|at| self.except.iter().any(|path| path == at));
            let what = visible(at.first().copied().unwrap_or_default());
            let fscrypt = at.iter().any(|at| self.disks.fscrypt.iter().any(|other| other == at));
            self.found(&what, name, excepted);
            if fscrypt {
                let text =
                    format!("{what} has directories encrypted by fscrypt, which palisade does not judge");
                self.notes.push(text.clone());
                if !self.findings.is_empty() {
                    self.findings.push(text);
                }
            }
        }
    }

    fn swaps(&mut self) {
        for swap in &self.disks.swaps {
            let what = format!("swap on {}", visible(swap));
            if let Some((name, _)) = self.by_path(swap) {
                self.judged.insert(name);
                self.found(&what, name, false);
            } else if let Some(mount) = covering(&self.disks.mounts, swap)
                && let Some((name, _)) = self.device_of(mount)
            {
                self.found(&what, name, false);
            } else {
                self.unknown.push(format!("{what}: what lies below cannot be told"));
            }
        }
    }

    /// Notes what is below `what`, which stands on device `name`.
    fn found(&mut self, what: &str, name: &str, excepted: bool) {
        let path = self.path(name);
        let removable = match self.disks.devices.get(name) {
            Some(device) if device.removable => ", removable",
            _ => "",
        };
        match self.below(name, &mut BTreeSet::new()) {
            Below::Encrypted(by) => {
                let how: Vec<String> = by.iter().map(|mapping| self.describe(mapping)).collect();
                self.notes.push(format!("{what}: {}", how.join(", ")));
                self.used.extend(by);
            }
            Below::Memory => self.notes.push(format!("{what}: in memory alone")),
            Below::Plain(_) | Below::Weak(_) if excepted => {
                self.notes.push(format!("{what} ({path}) is not encrypted, and declared so"));
            }
            Below::Plain(on) if on == path => {
                self.findings.push(format!("{what} ({path}{removable}) is not encrypted"));
            }
            Below::Plain(on) => {
                self.findings.push(format!("{what} ({path}, on {on}{removable}) is not encrypted"));
            }
            Below::Weak(how) => self.findings.push(format!("{what} ({path}) is encrypted too weakly: {how}")),
            Below::Unknown(why) => self.unknown.push(format!("{what} ({path}): {why}")),
        }
    }

    /// What holds data and is not in use.
    fn lying_about(&mut self) {
        for (name, device) in &self.disks.devices {
            if self.judged.contains(name.as_str()) || device.carries || !device.filled {
                continue;
            }
            let path = visible(&device.path);
            let idle_loop = device.sort == "loop" && !self.disks.backing.contains_key(name);
            match device.holds.as_deref() {
                _ if device.sort == "rom" || idle_loop => {}
                Some("crypto_LUKS") => self.notes.push(format!("{path} is encrypted, and closed")),
                Some("zfs_member") => {
                    self.unknown.push(format!("{path} holds ZFS, whose encryption palisade does not judge"));
                }
                Some(carrier) if CARRIERS.contains(&carrier) => {
                    self.notes.push(format!("{path} is a part ({carrier}) of something that is not in use"));
                }
                Some(holds) => {
                    let what = format!("{}, not in use,", visible(holds));
                    self.found(&what, name, false);
                }
                None => match (&device.mapping, self.below(name, &mut BTreeSet::new())) {
                    (Some((_, mapping)), Below::Encrypted(_)) => {
                        self.notes.push(format!("{} is open, and nothing uses it", visible(mapping)));
                    }
                    (_, Below::Unknown(why)) => self.unknown.push(format!("{path}: {why}")),
                    _ => self.notes.push(format!("{path} holds nothing that lsblk knows")),
                },
            }
        }
        if let Ok(headers) = &self.disks.headers {
            for device in &headers.hardware {
                self.unknown.push(format!(
                    "{}: its hardware encrypts (OPAL), which palisade does not judge",
                    visible(device)
                ));
            }
        }
    }

    /// Where the keys of what is used lie.
    fn keys(&mut self) {
        let disks = self.disks;
        for mapping in std::mem::take(&mut self.used) {
            let shown = visible(&mapping);
            match disks.crypttab.iter().find(|entry| entry.name == mapping) {
                None => self
                    .notes
                    .push(format!("{shown} is not in /etc/crypttab: somebody opens it at each boot")),
                Some(entry) => self.key(&shown, entry),
            }
        }
    }

    fn key(&mut self, shown: &str, entry: &Entry) {
        if let Some(script) = entry.options.iter().find_map(|option| option.strip_prefix("keyscript=")) {
            let script = visible(script);
            return self
                .unknown
                .push(format!("{shown} gets its key from {script}, which palisade does not judge"));
        }
        match entry.key.as_str() {
            "none" | "-" => {}
            "/dev/urandom" | "/dev/random" => {
                self.notes.push(format!("{shown} has a new random key at each boot"));
            }
            path if path.starts_with('/') => self.key_file(shown, entry, path),
            other => self
                .unknown
                .push(format!("{shown} gets its key from {}, which palisade does not judge", visible(other))),
        }
    }

    fn key_file(&mut self, shown: &str, entry: &Entry, path: &str) {
        let file = visible(path);
        match self.disks.keys.get(path) {
            Some(Some(number)) => {
                let device = self.disks.devices.iter().find(|(_, device)| device.number == *number);
                match device.map(|(name, _)| self.below(name, &mut BTreeSet::new())) {
                    Some(Below::Encrypted(_)) => {}
                    Some(Below::Plain(on)) => self.findings.push(format!(
                        "{shown} is opened by the key file {file}, which lies on {on}, in plain"
                    )),
                    Some(Below::Weak(how)) => self.findings.push(format!(
                        "{shown} is opened by the key file {file}, which is encrypted too weakly: {how}"
                    )),
                    _ => self.unknown.push(format!("{shown}: where its key file {file} lies cannot be told")),
                }
            }
            Some(None) => self.unknown.push(format!("{shown}: its key file {file} is not there")),
            None => self.unknown.push(format!("{shown}: its key file {file} was not looked for")),
        }
        let copied = format!("cryptroot/keyfiles/{}.key", entry.name);
        match &self.disks.initramfs {
            Ok(files) => {
                let held: Vec<&str> = files
                    .iter()
                    .filter(|line| line.ends_with(&copied) || line.ends_with(path.trim_start_matches('/')))
                    .filter_map(|line| line.split_once(' '))
                    .map(|(image, _)| image)
                    .collect();
                for image in held {
                    let below = covering(&self.disks.mounts, image)
                        .and_then(|mount| self.device_of(mount))
                        .map(|(name, _)| self.below(name, &mut BTreeSet::new()));
                    if !matches!(below, Some(Below::Encrypted(_))) {
                        self.findings.push(format!(
                            "{shown} is opened by a key in {}, which is not encrypted",
                            visible(image)
                        ));
                    }
                }
            }
            Err(why) => self.unknown.push(format!("whether an initramfs holds the key of {shown}: {why}")),
        }
    }

    /// What lies below the device called `name`; `seen` are those that were come by, lest a loop has no end.
    fn below(&self, name: &str, seen: &mut BTreeSet<String>) -> Below {
        let unknown = |why: String| Below::Unknown(why);
        if !seen.insert(name.to_owned()) {
            return unknown("devices stand on each other in a circle".to_owned());
        }
        let Some(device) = self.disks.devices.get(name) else {
            return unknown(format!("lsblk does not know {}", visible(name)));
        };
        let beneath = self.parents(name, device, seen);
        let Some((uuid, mapping)) = &device.mapping else { return beneath };
        let rows = match &self.disks.tables {
            Ok(tables) => tables.get(mapping),
            Err(_) if !uuid.starts_with("CRYPT-") => return beneath,
            Err(why) => return unknown(why.clone()),
        };
        let Some(rows) = rows else {
            return unknown(format!("dmsetup has no table of {}", visible(mapping)));
        };
        if !rows.iter().any(|row| row.target == "crypt") {
            if uuid.starts_with("CRYPT-") && !matches!(beneath, Below::Encrypted(_)) {
                return unknown(format!(
                    "{} is opened by cryptsetup, but the kernel does not encrypt it: its hardware may (OPAL), which palisade \
                     does not judge",
                    visible(mapping)
                ));
            }
            return beneath;
        }
        let unread =
            rows.iter().any(|row| row.target == "crypt" && (row.cipher.is_none() || row.bits.is_none()));
        if unread && !matches!(beneath, Below::Encrypted(_)) {
            return unknown(format!("the cipher of {} cannot be read", visible(mapping)));
        }
        let weak = rows.iter().find_map(|row| match (&row.cipher, row.bits) {
            (Some(cipher), Some(bits)) => weakness(cipher, bits),
            _ => Some("a part of it is not encrypted".to_owned()),
        });
        match (weak, beneath) {
            (None, Below::Encrypted(mut by)) => {
                by.insert(mapping.clone());
                Below::Encrypted(by)
            }
            (None, _) => Below::Encrypted(BTreeSet::from([mapping.clone()])),
            (Some(_), strong @ Below::Encrypted(_)) => strong,
            (Some(why), _) => Below::Weak(why),
        }
    }

    /// What lies below the devices that `device` stands on: the worst of it.
    fn parents(&self, name: &str, device: &Device, seen: &mut BTreeSet<String>) -> Below {
        if let Some(behind) = self.disks.backing.get(name) {
            if behind == "none" {
                return Below::Memory;
            }
            let at = self
                .by_path(behind)
                .or_else(|| covering(&self.disks.mounts, behind).and_then(|mount| self.device_of(mount)));
            return match at {
                Some((under, _)) => self.below(under, seen),
                None => Below::Unknown(format!(
                    "{} is on {}, which cannot be told",
                    visible(name),
                    visible(behind)
                )),
            };
        }
        if name.starts_with("zram") {
            return Below::Unknown(format!("what {} writes to cannot be told", visible(name)));
        }
        let mut by = BTreeSet::new();
        let mut worst: Option<Below> = None;
        for parent in &device.parents {
            match self.below(parent, &mut seen.clone()) {
                Below::Encrypted(more) => by.extend(more),
                plain @ Below::Plain(_) => return plain,
                weak @ Below::Weak(_) => worst = Some(weak),
                other => worst = worst.or(Some(other)),
            }
        }
        match worst {
            Some(worst) => worst,
            None if by.is_empty() => Below::Plain(visible(&device.path)),
            None => Below::Encrypted(by),
        }
    }

    /// A mapping for people: what it is, and how it encrypts.
    fn describe(&self, mapping: &str) -> String {
        let mut words = vec![visible(mapping)];
        let device = self
            .disks
            .devices
            .values()
            .find(|device| device.mapping.as_ref().is_some_and(|(_, name)| name == mapping));
        let uuid = device.and_then(|device| device.mapping.as_ref()).map(|(uuid, _)| uuid.as_str());
        // dm/uuid of cryptsetup: CRYPT-LUKS2-UUID-NAME
        words.extend(uuid.and_then(|uuid| uuid.split('-').nth(1)).map(visible));
        let tables = self.disks.tables.as_ref().ok();
        if let Some(row) = tables.and_then(|tables| tables.get(mapping)).and_then(|rows| rows.first()) {
            words.extend(row.cipher.as_deref().map(visible));
            words.extend(row.bits.map(|bits| format!("{bits} bits")));
        }
        words.join(" ")
    }

    fn device_of(&self, mount: &Mount) -> Option<(&'d str, &'d Device)> {
        let found = self.disks.devices.iter().find(|(_, device)| device.number == mount.device);
        match found {
            Some((name, device)) => Some((name.as_str(), device)),
            // btrfs has numbers of its own
            None if mount.device.starts_with("0:") => self.by_path(&mount.source),
            None => None,
        }
    }

    fn by_path(&self, path: &str) -> Option<(&'d str, &'d Device)> {
        let name = path.strip_prefix("/dev/");
        self.disks
            .devices
            .iter()
            .find(|(kernel, device)| device.path == path || name == Some(kernel.as_str()))
            .map(|(name, device)| (name.as_str(), device))
    }

    fn path(&self, name: &str) -> String {
        visible(self.disks.devices.get(name).map_or(name, |device| device.path.as_str()))
    }
}

/// The mount that `path` lies in: the deepest; of several at one place the last, which covers the others.
fn covering<'m>(mounts: &'m [Mount], path: &str) -> Option<&'m Mount> {
    let within =
        |at: &str| at == "/" || path == at || path.strip_prefix(at).is_some_and(|rest| rest.starts_with('/'));
    mounts.iter().filter(|mount| within(&mount.at)).max_by_key(|mount| mount.at.len())
}

/// Why this cipher of dm-crypt's does not count as encryption; none where it does.
fn weakness(cipher: &str, bits: usize) -> Option<String> {
    let shown = format!("{} with {bits} bits", visible(cipher));
    // `aes-xts-plain64`, or as the kernel's own interface has it, `capi:xts(aes)-plain64`
    let known = CIPHERS.iter().any(|name| {
        cipher.starts_with(&format!("{name}-xts-plain"))
            || cipher.starts_with(&format!("capi:xts({name})-plain"))
    });
    if !known {
        return Some(format!("{shown}, not one of {} in XTS", CIPHERS.join(", ")));
    }
    (bits < LEAST_BITS).then(|| format!("{shown}, less than {LEAST_BITS}"))
}
