//! What makes one host different from another on the same base: its name, ids, host keys, addresses, and the keys
//! that its provider and a former colleague left on it. Written into the host's own layer before it is booted.

use std::fmt::Write as _;
use std::fs::Permissions;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};

use super::addresses::Networks;
use super::error::LabError;
use super::invocation::Invocation;
use super::record::HostRecord;
use super::spec::Form;
use crate::domain::{Address, PublicKey};
use crate::program::Program;

/// The uid and gid of the vendor's account, as `deliver.sh` gives them.
const VENDOR_ID: u32 = 1000;

/// Keys that a host is delivered with.
pub(super) struct DeliveredKeys<'a> {
    /// Opens the vendor's account.
    pub(super) vendor: &'a PublicKey,
    /// Opens root's: someone who left.
    pub(super) former: &'a PublicKey,
}

/// Fills the upper layer of `host`, and gives its public host keys.
pub(super) fn deliver(
    upper: &Path,
    host: &HostRecord,
    networks: &Networks,
    keys: &DeliveredKeys,
    machine_id: &str,
    kept_keys: &Path,
) -> Result<Vec<PublicKey>, LabError> {
    let layer = Layer { upper };
    layer.folder("", 0o755)?;
    for folder in ["etc", "etc/ssh", "etc/ssh/sshd_config.d", "etc/systemd", "etc/systemd/network", "home"] {
        layer.folder(folder, 0o755)?;
    }
    let name = &host.spec.name;
    layer.file("etc/machine-id", &format!("{machine_id}\n"), 0o444)?;
    layer.file("etc/hostname", &format!("{name}\n"), 0o644)?;
    layer.file("etc/hosts", &format!("127.0.0.1 localhost\n127.0.1.1 {name}\n::1 localhost\n"), 0o644)?;
    for (device, addresses) in [("host0", &host.public), ("priv0", &host.private)] {
        if !addresses.is_empty() {
            let path = format!("etc/systemd/network/10-{device}.network");
            layer.file(&path, &network_file(device, addresses, networks), 0o644)?;
            if let Form::Machine(_) = host.spec.form {
                let path = format!("etc/systemd/network/10-{device}.link");
                layer.file(&path, &link_file(device, host.number), 0o644)?;
            }
        }
    }
    if host.spec.ssh_port != crate::domain::Port::SSH {
        layer.file("etc/ssh/sshd_config.d/10-port.conf", &format!("Port {}\n", host.spec.ssh_port), 0o600)?;
    }
    // A host of a lab is thrown away: its dpkg need not wait for the disk.
    for folder in ["etc/dpkg", "etc/dpkg/dpkg.cfg.d"] {
        layer.folder(folder, 0o755)?;
    }
    layer.file("etc/dpkg/dpkg.cfg.d/lab", "force-unsafe-io\n", 0o644)?;
    layer.folder("root", 0o700)?;
    layer.folder("root/.ssh", 0o700)?;
    layer.file("root/.ssh/authorized_keys", &format!("{}\n", keys.former), 0o600)?;
    for (folder, mode) in [("home/debian", 0o755), ("home/debian/.ssh", 0o700)] {
        let path = layer.folder(folder, mode)?;
        give(&path, VENDOR_ID)?;
    }
    let path = layer.file("home/debian/.ssh/authorized_keys", &format!("{}\n", keys.vendor), 0o600)?;
    give(&path, VENDOR_ID)?;
    host_keys(upper, name.as_str(), &kept_keys.join(format!("rsa-{}", host.number)))
}

/// systemd.link(5): a machine's interfaces have the names that a container's have, by the addresses that `supervise.sh`
/// gives them.
fn link_file(device: &str, number: u8) -> String {
    let last = if device == "host0" { "01" } else { "02" };
    format!("[Match]\nMACAddress=52:54:00:00:{number:02x}:{last}\n\n[Link]\nName={device}\n")
}

/// systemd.network(5). Duplicate address detection would keep IPv6 silent for the first second.
fn network_file(device: &str, addresses: &[Address], networks: &Networks) -> String {
    let mut text = format!(
        "[Match]\nName={device}\n\n[Network]\nDHCP=no\nIPv6AcceptRA=no\nIPv6DuplicateAddressDetection=0\n"
    );
    for address in addresses {
        if let Some(subnet) = networks.subnet_of(*address) {
            let _ = write!(
                text,
                "\n[Address]\nAddress={address}/{}\nDuplicateAddressDetection=none\n",
                subnet.prefix()
            );
        }
    }
    text
}

/// Host keys of every type that Debian makes, new but for RSA's: to find its primes takes a second or two of the processor,
/// so that one is kept at `kept` for the host of the same number in the next lab. No two hosts of a lab have the same.
#[expect(clippy::disallowed_methods, reason = "the host's own layer, and the lab's own folder")]
fn host_keys(upper: &Path, name: &str, kept: &Path) -> Result<Vec<PublicKey>, LabError> {
    let own = upper.join("etc/ssh/ssh_host_rsa_key");
    let known = kept.is_dir();
    if known {
        copy_key(&kept.join("key"), &own)?;
    }
    Invocation::of(Program::SshKeygen).arg("-A").arg("-f").arg(upper).run()?;
    if !known {
        let number = getrandom::u32().map_err(super::error::no_randomness)?;
        let draft = kept.with_extension(format!("{number:08x}"));
        std::fs::create_dir_all(&draft).map_err(LabError::file("make", &draft))?;
        copy_key(&own, &draft.join("key"))?;
        if let Err(error) = std::fs::rename(&draft, kept) {
            // another lab kept one under this number meanwhile
            if !kept.is_dir() {
                return Err(LabError::file("keep", kept)(error));
            }
            std::fs::remove_dir_all(&draft).map_err(LabError::file("remove", &draft))?;
        }
    }
    ["ed25519", "rsa", "ecdsa"]
        .into_iter()
        .map(|kind| {
            let path = upper.join(format!("etc/ssh/ssh_host_{kind}_key.pub"));
            let line = std::fs::read_to_string(&path).map_err(LabError::file("read", &path))?;
            // ssh-keygen signs keys with the account and machine that made them, which say nothing about the host
            let material = line.split_whitespace().take(2).collect::<Vec<_>>().join(" ");
            let line = format!("{material} root@{name}");
            let text = format!("{line}\n");
            std::fs::write(&path, text).map_err(LabError::file("write", &path))?;
            line.parse()
                .map_err(|why: crate::domain::Malformed| LabError::Record { path, why: why.to_string() })
        })
        .collect()
}

/// The public half of the key at `path`.
fn public(path: &Path) -> PathBuf {
    path.with_added_extension("pub")
}

fn copy_key(from: &Path, to: &Path) -> Result<(), LabError> {
    for (from, to) in [(public(from), public(to)), (from.to_owned(), to.to_owned())] {
        std::fs::copy(&from, &to).map_err(LabError::file("copy", &from))?;
    }
    Ok(())
}

struct Layer<'a> {
    upper: &'a Path,
}

impl Layer<'_> {
    #[expect(clippy::disallowed_methods, reason = "the host's own layer")]
    fn folder(&self, path: &str, mode: u32) -> Result<PathBuf, LabError> {
        let path = self.upper.join(path);
        std::fs::create_dir_all(&path).map_err(LabError::file("make", &path))?;
        set_mode(&path, mode)?;
        Ok(path)
    }

    #[expect(clippy::disallowed_methods, reason = "the host's own layer")]
    fn file(&self, path: &str, text: &str, mode: u32) -> Result<PathBuf, LabError> {
        let path = self.upper.join(path);
        std::fs::write(&path, text).map_err(LabError::file("write", &path))?;
        set_mode(&path, mode)?;
        Ok(path)
    }
}

fn set_mode(path: &Path, mode: u32) -> Result<(), LabError> {
    std::fs::set_permissions(path, Permissions::from_mode(mode))
        .map_err(LabError::file("set the mode of", path))
}

fn give(path: &Path, owner: u32) -> Result<(), LabError> {
    chown(path, Some(owner), Some(owner)).map_err(LabError::file("change the owner of", path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_gets_its_addresses_with_their_prefix() {
        let address = |text: &str| text.parse::<Address>().expect("an address");
        let networks = Networks::new([10, 1, 16, 0].into(), [0; 5]).expect("networks");
        let text = network_file("host0", &[address("10.1.16.10"), address("fd00:0:0:1::a")], &networks);
        assert!(text.contains("\nAddress=10.1.16.10/24\n") && text.contains("\nAddress=fd00:0:0:1::a/64\n"));
    }
}
