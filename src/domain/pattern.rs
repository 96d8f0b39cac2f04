//! What the texts of the files look like, as patterns that an editor understands, each beside the type whose parser
//! decides. A pattern never refuses what the parser accepts; where it says as much as the parser, it is marked exact, and
//! a test holds it to that.

use super::{
    Address, Cidr, Comment, ControlId, GroupName, HostName, KernelKey, MachineId, Mode, ModuleName,
    PackageName, PublicKey, RemotePath, RoleName, SecretName, TemplateName, UnitName, UserName,
};
use crate::source::shape::{DATA, Text};

/// Whether `T` can be made of `text`.
fn is<T: std::str::FromStr>(text: &str) -> bool {
    text.parse::<T>().is_ok()
}

/// An account's name.
pub const ACCOUNT: Text = Text {
    about: "a lower-case letter or _, then up to 31 lower-case letters, digits, - or _",
    pattern: "^[a-z_][a-z0-9_-]{0,31}$",
    accepts: |text| is::<UserName>(text) && is::<GroupName>(text),
    exact: true,
};

/// The name of a host, role, listener or control.
pub const LABEL: Text = Text {
    about: "1 to 63 lower-case letters, digits and dashes, with a letter or digit first and last",
    pattern: "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$",
    accepts: |text| is::<HostName>(text) && is::<RoleName>(text) && is::<ControlId>(text),
    exact: true,
};

/// The name of a secret.
pub const SECRET: Text = Text {
    about: "1 to 63 lower-case letters, digits and dashes, with a letter or digit first and last, such as app-token",
    pattern: "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$",
    accepts: is::<SecretName>,
    exact: true,
};

/// A person's or account's description, as it stands in passwd(5).
pub const COMMENT: Text = Text {
    about: "text of at most 256 bytes without colons",
    pattern: r"^(?![\s\S]*(\{\{|\{%|\{#|\$\(|\$\{|`))(?=[\s\S]*\S)[^:\u0000-\u001f\u007f-\u009f]{0,256}$",
    accepts: |text| is::<Comment>(text) && (DATA.accepts)(text),
    exact: true,
};

/// An address.
pub const ADDRESS: Text = Text {
    about: "one IPv4 or IPv6 address, without leading zeros, port, prefix or name",
    pattern: r"^((25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])(\.(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])){3}|[0-9A-Fa-f]*:[0-9A-Fa-f:.]*)$",
    accepts: is::<Address>,
    exact: false,
};

/// An address or a network, no broader than an inventory may name.
pub const NETWORK: Text = Text {
    about: "an address, or a network such as 10.20.0.0/24, of /16 or /48 at most",
    pattern: r"^((25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])(\.(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])){3}(/(1[6-9]|2[0-9]|3[0-2]))?|[0-9A-Fa-f]*:[0-9A-Fa-f:.]*(/([1-9][0-9]|1[01][0-9]|12[0-8]))?)$",
    accepts: |text| text.parse::<Cidr>().is_ok_and(|network| network.prefix() >= network.family().broadest()),
    exact: false,
};

/// A public key. How long an RSA key is, and whether the base64 is sound, only the parser says.
pub const PUBLIC_KEY: Text = Text {
    about: "the line of a .pub file: ssh-ed25519, sk-ssh-ed25519@openssh.com, or ssh-rsa of 3072 bits or more",
    pattern: r"^\s*(ssh-ed25519|sk-ssh-ed25519@openssh\.com|ssh-rsa)\s+[A-Za-z0-9+/]+={0,2}(\s[^\n]*)?$",
    accepts: |text| {
        use super::KeyAlgorithm::{Ed25519, Rsa, SkEd25519};
        text.parse::<PublicKey>().is_ok_and(|key| matches!(key.algorithm(), Ed25519 | SkEd25519 | Rsa(_)))
    },
    exact: false,
};

/// A path on a host.
pub const PATH: Text = Text {
    about: "an absolute path such as /etc/motd",
    pattern: r"^(/(?!\.{1,2}(/|$))[^/\u0000-\u001f\u007f-\u009f]+)+$",
    accepts: is::<RemotePath>,
    exact: true,
};

/// A template's file.
pub const TEMPLATE: Text = Text {
    about: "the name of a file in templates/, such as motd.tera",
    pattern: r"^[a-z0-9][a-z0-9._-]{0,74}\.tera$",
    accepts: is::<TemplateName>,
    exact: true,
};

/// A Debian package.
pub const PACKAGE: Text = Text {
    about: "a package's name as apt shows it",
    pattern: "^[a-z0-9][a-z0-9+.-]{1,127}$",
    accepts: is::<PackageName>,
    exact: true,
};

/// A kernel module.
pub const MODULE: Text = Text {
    about: "a module's name as modinfo(8) shows it, such as dccp",
    pattern: "^[a-z0-9][a-z0-9_-]{0,54}$",
    accepts: is::<ModuleName>,
    exact: true,
};

/// A systemd unit.
pub const UNIT: Text = Text {
    about: "a unit with its suffix, such as ssh.service",
    pattern: r"^(?![-.])[A-Za-z0-9:_.\\@-]+\.(service|socket|timer|target|mount|path|slice)$",
    accepts: is::<UnitName>,
    exact: true,
};

/// Permission bits.
pub const MODE: Text = Text {
    about: "three or four octal digits in quotes, such as \"0640\"",
    pattern: "^[0-7]{3,4}$",
    accepts: is::<Mode>,
    exact: true,
};

/// A machine id.
pub const MACHINE_ID: Text = Text {
    about: "the 32 hexadecimal digits of /etc/machine-id",
    pattern: "^[0-9a-f]{32}$",
    accepts: is::<MachineId>,
    exact: false,
};

/// A kernel setting.
pub const KERNEL_KEY: Text = Text {
    about: "a name as sysctl.d(5) has it, such as kernel.kptr_restrict or net.ipv4.conf.*.rp_filter",
    pattern: r"^(?=[a-z])([A-Za-z0-9_-]+|\*)(\.([A-Za-z0-9_-]+|\*))*\.[A-Za-z0-9_-]+$",
    accepts: is::<KernelKey>,
    exact: true,
};
