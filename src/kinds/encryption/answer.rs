//! What a host says of its disks, read into values. It judges nothing; what lacks its mark or failed is unread.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::resource::{Frame, Reading, Unread};
use crate::text::excerpt;

/// What a host says of its disks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub enum Answer {
    /// It has none of its own: it is a container, by this word of systemd's.
    Container(String),
    /// Its disks.
    Disks(Box<Disks>),
}

/// Disks, what lies on them, and what uses it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Disks {
    /// By the kernel's name: `vda1`, `dm-0`.
    pub(super) devices: BTreeMap<String, Device>,
    pub(super) mounts: Vec<Mount>,
    /// Paths of devices and files.
    pub(super) swaps: Vec<String>,
    /// Tables of device-mapper's devices, by their names; or why there are none to read.
    pub(super) tables: Result<BTreeMap<String, Vec<Table>>, String>,
    /// Devices of memory and of files: what lies behind them.
    pub(super) backing: BTreeMap<String, String>,
    pub(super) crypttab: Vec<Entry>,
    /// Key files: the device that holds each, as `MAJOR:MINOR`; none where there is no such file.
    pub(super) keys: BTreeMap<String, Option<String>>,
    /// Key files in initramfs images: `IMAGE FILE`; or why those cannot be read.
    pub(super) initramfs: Result<Vec<String>, String>,
    /// Versions of LUKS headers, by the device that has it, and devices whose header says that hardware encrypts; or why
    /// they cannot be read.
    pub(super) headers: Result<Headers, String>,
    /// Mount points with directories that fscrypt encrypts.
    pub(super) fscrypt: Vec<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub(super) struct Headers {
    pub(super) versions: BTreeMap<String, String>,
    pub(super) hardware: BTreeSet<String>,
}

/// A block device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub(super) struct Device {
    /// `MAJOR:MINOR`.
    pub(super) number: String,
    pub(super) path: String,
    /// In lsblk's word: disk, part, crypt, lvm, raid1, loop, rom.
    pub(super) sort: String,
    /// What it holds, by its signature.
    pub(super) holds: Option<String>,
    pub(super) removable: bool,
    /// Whether there is a medium in it.
    pub(super) filled: bool,
    /// What it stands on.
    pub(super) parents: BTreeSet<String>,
    /// Whether anything stands on it.
    pub(super) carries: bool,
    /// device-mapper's UUID and name.
    pub(super) mapping: Option<(String, String)>,
}

/// A mounted file system.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub(super) struct Mount {
    /// `MAJOR:MINOR`.
    pub(super) device: String,
    pub(super) at: String,
    pub(super) kind: String,
    pub(super) source: String,
}

/// One line of a device-mapper table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub(super) struct Table {
    pub(super) target: String,
    /// Of dm-crypt: cipher, mode and initialisation vector, as the kernel has them.
    pub(super) cipher: Option<String>,
    /// Of dm-crypt: the key's size.
    pub(super) bits: Option<usize>,
}

/// A line of crypttab(5).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) key: String,
    pub(super) options: Vec<String>,
}

#[derive(Deserialize)]
struct Listing {
    blockdevices: Vec<Node>,
}

#[derive(Deserialize)]
struct Node {
    kname: String,
    #[serde(rename = "maj:min")]
    number: String,
    path: String,
    #[serde(rename = "type")]
    sort: String,
    // null where there is no signature, but never left out
    #[serde(deserialize_with = "Option::deserialize")]
    fstype: Option<String>,
    size: u64,
    rm: bool,
    #[serde(default)]
    children: Vec<Node>,
}

/// A part of the answer: its program's exit status and lines.
struct Part {
    status: u32,
    lines: usize,
    text: String,
}

impl Part {
    /// Its lines where its program succeeded.
    fn read(&self, what: &str) -> Reading<&str> {
        if self.text.lines().count() != self.lines {
            return Err(Unread(format!("the answer of {what} is not whole")));
        }
        if self.status == 0 {
            return Ok(&self.text);
        }
        let said = excerpt(self.text.trim(), 200);
        Err(Unread(format!("{what} failed (exit {}): {said}", self.status)))
    }
}

pub(super) fn read(frame: &Frame) -> Reading<Answer> {
    let text = String::from_utf8_lossy(&frame.stdout);
    match text.lines().find_map(|line| line.strip_prefix("container ")) {
        Some("none") => {}
        Some(word) if !word.is_empty() && word.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') => {
            return Ok(Answer::Container(word.to_owned()));
        }
        _ => return Err(Unread("the host does not say whether it is a container".to_owned())),
    }
    let parts = parts(&text);
    if frame.cut || !parts.contains_key("end") {
        return Err(Unread("the answer about disks is not whole".to_owned()));
    }
    let part = |name: &str| {
        parts.get(name).ok_or_else(|| Unread(format!("the host does not answer about disks ({name})")))
    };
    let listing: Listing = serde_json::from_str(part("lsblk")?.read("lsblk")?)
        .map_err(|why| Unread(format!("lsblk's answer cannot be read: {why}")))?;
    let mut devices = BTreeMap::new();
    for node in &listing.blockdevices {
        add(&mut devices, node, None);
    }
    for line in part("devices")?.read("reading /sys/block")?.lines() {
        let mut words = line.splitn(3, ' ');
        if let (Some(device), Some(uuid), Some(name)) = (words.next(), words.next(), words.next())
            && let Some(device) = devices.get_mut(device)
        {
            device.mapping = Some((uuid.to_owned(), name.to_owned()));
        }
    }
    let mounts = mounts(part("mounts")?.read("reading /proc/self/mountinfo")?)?;
    let swaps = part("swaps")?.read("reading /proc/swaps")?;
    if !swaps.starts_with("Filename") {
        return Err(Unread("/proc/swaps does not say what is swapped to".to_owned()));
    }
    let pairs = |text: &str| -> BTreeMap<String, String> {
        text.lines()
            .filter_map(|line| line.split_once(' '))
            .map(|(a, b)| (a.to_owned(), b.to_owned()))
            .collect()
    };
    let keys = part("keys")?.read("looking for key files")?;
    let keys = keys.lines().filter_map(|line| line.split_once(' '));
    let text = |name: &str, what: &str| -> Reading<Result<String, String>> {
        Ok(part(name)?.read(what).map(str::to_owned).map_err(|unread| unread.to_string()))
    };
    Ok(Answer::Disks(Box::new(Disks {
        devices,
        mounts,
        swaps: swaps
            .lines()
            .skip(1)
            .filter_map(|line| line.split_whitespace().next())
            .map(unescaped)
            .collect(),
        tables: text("tables", "dmsetup table")?.map(|text| tables(&text)),
        backing: pairs(part("backing")?.read("reading /sys/block")?),
        crypttab: crypttab(part("crypttab")?.read("reading /etc/crypttab")?),
        keys: keys
            .map(|(device, path)| (path.to_owned(), (device != "absent").then(|| device.to_owned())))
            .collect(),
        initramfs: text("initramfs", "lsinitramfs")?
            .map(|text| text.lines().map(|line| excerpt(line, 200)).collect()),
        headers: text("headers", "cryptsetup luksDump")?.map(|text| headers(&text)),
        fscrypt: part("fscrypt")?
            .read("looking for fscrypt")?
            .lines()
            .map(|line| excerpt(line, 200))
            .collect(),
    })))
}

/// The parts by their names, each line without the space before it.
fn parts(text: &str) -> BTreeMap<String, Part> {
    let mut parts: BTreeMap<String, Part> = BTreeMap::new();
    let mut current: Option<String> = None;
    for line in text.lines() {
        if let Some(mark) = line.strip_prefix('@') {
            let mut words = mark.split(' ');
            let (name, status, lines) = (words.next(), words.next(), words.next());
            let numbers =
                (status.and_then(|word| word.parse().ok()), lines.and_then(|word| word.parse().ok()));
            current = None;
            if let (Some(name), (Some(status), Some(lines))) = (name, numbers) {
                parts.insert(name.to_owned(), Part { status, lines, text: String::new() });
                current = Some(name.to_owned());
            }
        } else if let Some(line) = line.strip_prefix(' ')
            && let Some(part) = current.as_ref().and_then(|name| parts.get_mut(name))
        {
            part.text.push_str(line);
            part.text.push('\n');
        }
    }
    parts
}

fn add(devices: &mut BTreeMap<String, Device>, node: &Node, parent: Option<&str>) {
    let device = devices.entry(node.kname.clone()).or_insert_with(|| Device {
        number: node.number.clone(),
        path: node.path.clone(),
        sort: node.sort.clone(),
        holds: node.fstype.clone(),
        removable: node.rm,
        filled: node.size > 0,
        parents: BTreeSet::new(),
        carries: !node.children.is_empty(),
        mapping: None,
    });
    device.parents.extend(parent.map(str::to_owned));
    for child in &node.children {
        add(devices, child, Some(&node.kname));
    }
}

/// `proc_pid_mountinfo(5)`: id, parent, device, root, mount point, options, optional fields, a hyphen, type, source.
fn mounts(text: &str) -> Reading<Vec<Mount>> {
    let mounts: Vec<Mount> = text
        .lines()
        .filter_map(|line| {
            let (before, behind) = line.split_once(" - ")?;
            let mut before = before.split(' ').skip(2);
            let (device, _root, at) = (before.next()?, before.next()?, before.next()?);
            let mut behind = behind.split(' ');
            Some(Mount {
                device: device.to_owned(),
                at: unescaped(at),
                kind: behind.next()?.to_owned(),
                source: unescaped(behind.next()?),
            })
        })
        .collect();
    if mounts.iter().any(|mount| mount.at == "/") {
        Ok(mounts)
    } else {
        Err(Unread("/proc/self/mountinfo does not say what / is".to_owned()))
    }
}

/// The kernel writes space, tab, newline, backslash and # in octal in these files.
fn unescaped(text: &str) -> String {
    [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\043", "#"), ("\\134", "\\")]
        .into_iter()
        .fold(text.to_owned(), |text, (code, plain)| text.replace(code, plain))
}

/// `NAME: START LENGTH TARGET ...`; of dm-crypt `CIPHER KEY IV DEVICE OFFSET`, the key as zeros or as the size of one in
/// the kernel's keyring, `:BYTES:TYPE:NAME`.
fn tables(text: &str) -> BTreeMap<String, Vec<Table>> {
    let mut tables: BTreeMap<String, Vec<Table>> = BTreeMap::new();
    for line in text.lines() {
        let Some((name, row)) = line.rsplit_once(": ") else { continue };
        let mut words = row.split(' ').skip(2);
        let Some(target) = words.next() else { continue };
        let (cipher, key) = if target == "crypt" { (words.next(), words.next()) } else { (None, None) };
        let bits = key.and_then(|key| match key.strip_prefix(':') {
            Some(rest) => rest.split(':').next()?.parse::<usize>().ok().map(|bytes| bytes * 8),
            // a cipher that needs no key: cipher_null
            None if key == "-" => Some(0),
            None => key.bytes().all(|byte| byte.is_ascii_hexdigit()).then_some(key.len() * 4),
        });
        tables.entry(name.to_owned()).or_default().push(Table {
            target: target.to_owned(),
            cipher: cipher.map(str::to_owned),
            bits,
        });
    }
    tables
}

fn crypttab(text: &str) -> Vec<Entry> {
    text.lines()
        .filter(|line| !line.trim_start().starts_with('#'))
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            let (name, _source) = (words.next()?, words.next()?);
            let key = words.next().unwrap_or("none").to_owned();
            let options = words.next().unwrap_or_default().split(',').map(str::to_owned).collect();
            Some(Entry { name: name.to_owned(), key, options })
        })
        .collect()
}

fn headers(text: &str) -> Headers {
    let mut headers = Headers::default();
    for (device, word) in text.lines().filter_map(|line| line.split_once(' ')) {
        if word == "hw-opal" {
            headers.hardware.insert(device.to_owned());
        } else {
            headers.versions.insert(device.to_owned(), excerpt(word, 20));
        }
    }
    headers
}
