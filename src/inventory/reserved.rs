//! Names that nobody may take, because a Debian host, a provider or the command line gives them a meaning.

/// Accounts and groups of Debian's base-passwd, of packages that the controls install, and of providers' images.
const ACCOUNTS: [&str; 75] = [
    "root",
    "daemon",
    "bin",
    "sys",
    "sync",
    "games",
    "man",
    "lp",
    "mail",
    "news",
    "uucp",
    "proxy",
    "www-data",
    "backup",
    "list",
    "irc",
    "gnats",
    "nobody",
    "nogroup",
    "sshd",
    "_apt",
    "_ssh",
    "ssh",
    "messagebus",
    "polkitd",
    "debian",
    "ubuntu",
    "admin",
    "adm",
    "tty",
    "disk",
    "kmem",
    "dialout",
    "fax",
    "voice",
    "cdrom",
    "floppy",
    "tape",
    "sudo",
    "wheel",
    "audio",
    "dip",
    "operator",
    "src",
    "shadow",
    "utmp",
    "video",
    "sasl",
    "plugdev",
    "staff",
    "users",
    "input",
    "sgx",
    "kvm",
    "render",
    "netdev",
    "crontab",
    "lxd",
    "docker",
    "libvirt",
    "ntp",
    "ntpsec",
    "_chrony",
    "postfix",
    "postdrop",
    "systemd-network",
    "systemd-resolve",
    "systemd-timesync",
    "systemd-journal",
    "systemd-coredump",
    "cloud-user",
    "ec2-user",
    "centos",
    "vagrant",
    "palisade",
];

/// Whether a person or machine may not take `name` as an account.
pub(super) fn is_reserved_account(name: &str) -> bool {
    name.starts_with("systemd-") || ACCOUNTS.contains(&name)
}

/// Whether a host or role may not take `name`: it selects something else on the command line.
pub(super) fn is_reserved_label(name: &str) -> bool {
    matches!(
        name,
        "all"
            | "none"
            | "any"
            | "localhost"
            | "local"
            | "internet"
            | "admin"
            | "private"
            | "dev"
            | "test"
            | "prod"
    )
}
