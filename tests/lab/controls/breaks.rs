//! Every part of every resource that the built-in controls ask for: how it is broken by hand on a host, what an audit must
//! then say, and how it is mended where apply does not; or why a container cannot show it. Made from the resources that
//! the playbook resolves to, so that none is forgotten: a new kind does not compile before its parts stand here.

use palisade::domain::RemotePath;
use palisade::kinds::{Resource, sysctl::Sysctl, user::User};

use super::{ways, wrong};

/// A part of a resource.
pub(super) struct Part {
    /// The name of its resource.
    pub(super) resource: String,
    /// Its name.
    pub(super) name: String,
    /// What is done to it.
    pub(super) fate: Fate,
}

pub(super) enum Fate {
    Broken(Break),
    /// Why it is not broken here.
    Spared(&'static str),
}

/// How a part is broken and found.
pub(super) struct Break {
    /// With what else it is broken at once.
    pub(super) round: usize,
    /// What breaks it; empty where it is so as it is.
    pub(super) text: &'static str,
    /// The words that `text` and `mended` name.
    pub(super) words: Vec<(&'static str, String)>,
    /// What must be among what is found of the resource.
    pub(super) named: String,
    /// The resource's verdict.
    pub(super) verdict: &'static str,
    /// What mends it, where apply does not.
    pub(super) mended: &'static str,
}

impl Break {
    pub(super) fn said_as(mut self, verdict: &'static str) -> Self {
        self.verdict = verdict;
        self
    }

    pub(super) fn with(mut self, name: &'static str, word: &(impl ToString + ?Sized)) -> Self {
        self.words.push((name, word.to_string()));
        self
    }
}

pub(super) const ROUNDS: usize = 3;

const OURS: &str = "palisade itself comes in by it";
const CLOCK: &str = "a container has no clock of its own; answers of real hosts: tests/cases";
const KERNEL: &str = "a container has no kernel of its own; answers of real hosts: tests/cases";
const RELEASES: &str = "the lab's fleet plans none; what hosts keep of them: tests/cases/releases";
const DISKS: &str = "a container has no disks of its own: what machines say stands in docs/encryption.md";
const REFUSED: &str = "such a host is refused as another one: tests/lab/enrol.rs, tests/lab/hostile.rs";

/// In round `round`, `text` breaks it so that `named` is found; apply mends it.
fn hit(round: usize, text: &'static str, named: impl Into<String>) -> Break {
    let named = named.into();
    Break { round, text, words: Vec::new(), named, verdict: "drift", mended: "" }
}

/// The same, mended by `mended`.
pub(super) fn undone(
    round: usize,
    text: &'static str,
    named: impl Into<String>,
    mended: &'static str,
) -> Break {
    Break { mended, ..hit(round, text, named) }
}

/// The parts of one resource, as they come.
pub(super) struct Parts {
    resource: String,
    all: Vec<Part>,
}

impl Parts {
    pub(super) fn add(&mut self, name: impl Into<String>, how: Break) {
        let (resource, name) = (self.resource.clone(), name.into());
        self.all.push(Part { resource, name, fate: Fate::Broken(how) });
    }

    fn spare(&mut self, name: impl Into<String>, why: &'static str) {
        let (resource, name) = (self.resource.clone(), name.into());
        self.all.push(Part { resource, name, fate: Fate::Spared(why) });
    }

    /// A file of ours, in all that can be wrong with it.
    fn file(&mut self, path: &RemotePath) {
        // An empty line harms none of the formats.
        let content = hit(0, r#"printf '\n' >>"$path""#, format!("{path} has other content"));
        let mode = hit(1, r#"chmod 0660 "$path""#, format!("{path} has mode 0660"));
        let owner = hit(1, r#"chown nobody:nogroup "$path""#, format!("{path} belongs to nobody:nogroup"));
        let there = hit(2, r#"rm "$path""#, format!("{path} is missing"));
        for (name, how) in
            [("content", content), ("mode", mode), ("owner", owner), ("that it is there", there)]
        {
            self.add(format!("{path}: {name}"), how.with("path", path));
        }
    }
}

/// The parts of `resource` on a host of `distribution`. `enforced` says whether apply mends it.
#[expect(clippy::too_many_lines, reason = "one arm for each kind, so that the compiler misses none")]
pub(super) fn parts(resource: &Resource, enforced: bool, distribution: &str) -> Vec<Part> {
    let mut parts = Parts { resource: resource.name(), all: Vec::new() };
    let of = &mut parts;
    match resource {
        Resource::File(file) => match &file.content {
            Some(_) => of.file(&file.path),
            None => of.add("that it is gone", hit(0, r#"touch "$path""#, "exists").with("path", &file.path)),
        },
        Resource::Package(package) => of.add(
            "that it is installed",
            undone(
                2,
                r#"sed -i "/^Package: $name\$/,/^\$/s/^Status: install ok installed\$/Status: install ok unpacked/" /var/lib/dpkg/status"#,
                format!("{} is unpacked", package.name),
                r#"sed -i "/^Package: $name\$/,/^\$/s/^Status: install ok unpacked\$/Status: install ok installed/" /var/lib/dpkg/status"#,
            )
            .with("name", &package.name),
        ),
        Resource::Service(service) => {
            let unit = &service.unit;
            match (service.enabled, service.active) {
                // What nobody may run: a unit of its name runs.
                (Some(false), _) | (_, Some(false)) => {
                    let body = if unit.as_str().ends_with(".socket") {
                        "[Socket]\nListenStream=/run/palisade-test\nAccept=yes\n[Install]\nWantedBy=sockets.target\n"
                    } else {
                        "[Service]\nExecStart=/bin/sleep 7200\n[Install]\nWantedBy=multi-user.target\n"
                    };
                    let gone = r#"systemctl -q disable --now "$unit"; rm "/etc/systemd/system/$unit""#;
                    let runs = r#"printf %s "$body" >"/etc/systemd/system/$unit"; systemctl -q enable --now "$unit""#;
                    let runs = undone(0, runs, format!("{unit} runs"), gone);
                    of.add("that it does not run", runs.with("unit", unit).with("body", body));
                    of.add("that it does not start at boot", hit(0, "", format!("{unit} starts at boot")));
                }
                // The lab's hosts are delivered with it masked, so that nothing of apt begins by itself.
                (Some(_), _) if !enforced => {
                    of.add("that it starts at boot", hit(1, "", format!("{unit} is masked")));
                    of.add("that it runs", hit(1, "", format!("{unit} is masked")));
                }
                (enabled, active) => {
                    if enabled.is_some() {
                        let off = r#"systemctl -q disable "$unit""#;
                        let off = hit(1, off, format!("{unit} does not start at boot"));
                        of.add("that it starts at boot", off.with("unit", unit));
                    }
                    if active.is_some() && enforced {
                        let off = hit(1, r#"systemctl stop "$unit""#, format!("{unit} does not run"));
                        of.add("that it runs", off.with("unit", unit));
                    } else if active.is_some() {
                        let masked = undone(
                            1,
                            r#"systemctl -q mask --runtime "$unit""#,
                            format!("{unit} is masked"),
                            r#"systemctl -q unmask --runtime "$unit""#,
                        );
                        of.add("that it runs", masked.with("unit", unit));
                    }
                }
            }
        }
        Resource::User(user) => account(of, user),
        Resource::Group(group) => {
            let name = &group.group;
            let joined = format!("games is in group {name} and not declared");
            let join = r#"groupadd -f --system "$group"; usermod -aG "$group" games"#;
            let leave = if enforced { "" } else { r#"gpasswd -d games "$group" >/dev/null"# };
            of.add("its members", undone(0, join, joined, leave).with("group", name));
            let user = if name.as_str() == "sudo" { "games" } else { "lp" };
            let primary = undone(
                1,
                r#"groupadd -f --system "$group"; usermod -g "$group" "$user""#,
                format!("{user} has {name} as its primary group"),
                r#"usermod -g "$user" "$user""#,
            )
            .with("user", user);
            of.add("whose primary group it is", primary.with("group", name));
        }
        Resource::AuthorizedKeys(_) => keys(of),
        Resource::Sudo(_) => sudo(of),
        Resource::Sshd(sshd) => {
            // The first one keeps the file, which is put back by hand: what it says now would keep us out as well.
            of.add(
                "authorizedkeysfile",
                undone(
                    0,
                    r"cp -a /etc/ssh/sshd_config.d/00-palisade.conf /root/kept.conf
sed -i 's|^\( *AuthorizedKeysFile\) .*|\1 .ssh/authorized_keys|' /etc/ssh/sshd_config.d/00-palisade.conf",
                    "authorizedkeysfile is `.ssh/authorized_keys`",
                    "mv /root/kept.conf /etc/ssh/sshd_config.d/00-palisade.conf",
                ),
            );
            for keyword in sshd.settings.keys() {
                let Some((_, value)) = wrong::SSHD.iter().find(|(name, _)| name == keyword) else {
                    panic!("tests/lab/controls/wrong.rs has no wrong value for sshd's {keyword}");
                };
                let (text, named) = match value.strip_prefix(',') {
                    Some(_) => (
                        r#"sed -i "s|^\( *$keyword .*\)|\1$value|I" /etc/ssh/sshd_config.d/00-palisade.conf"#,
                        format!("{keyword} allows {}", value.trim_start_matches(',')),
                    ),
                    None => (
                        r#"sed -i "s|^\( *$keyword\) .*|\1 $value|I" /etc/ssh/sshd_config.d/00-palisade.conf"#,
                        format!("{keyword} is `"),
                    ),
                };
                of.add(keyword, hit(0, text, named).with("keyword", keyword).with("value", value));
            }
            of.add(
                "allowusers",
                hit(
                    0,
                    r"sed -i 's|^\( *AllowUsers\) .*|\1 mallory|' /etc/ssh/sshd_config.d/00-palisade.conf",
                    "AllowUsers is `mallory`",
                ),
            );
        }
        Resource::Nftables(_) => {
            of.add(
                "the live rules",
                hit(
                    0,
                    "nft insert rule inet palisade input tcp dport 8000 accept",
                    "loaded, and not declared: tcp dport 8000 accept",
                ),
            );
            of.add("that they are loaded", hit(1, "nft delete table inet palisade", "no table inet palisade is loaded"));
            of.file(&RemotePath::firewall());
        }
        Resource::Lockout(lockout) => {
            let managed = lockout.management.first().expect("somebody manages it");
            for (name, text) in wrong::JAIL {
                of.add(*name, hit(0, text, format!("{name} of fail2ban's jail sshd is ")));
            }
            let exempt = hit(0, r#"fail2ban-client set sshd delignoreip "$managed""#, "fail2ban may ban the management");
            of.add("who is exempt", exempt.with("managed", managed));
            of.add(
                "who is not exempt",
                hit(0, "fail2ban-client set sshd addignoreip 203.0.113.9", "fail2ban never bans 203.0.113.9"),
            );
            of.add(
                "that a ban blocks",
                hit(
                    0,
                    "fail2ban-client set sshd banip 203.0.113.77",
                    "fail2ban says that it bans 203.0.113.77, and the kernel does not drop it",
                ),
            );
            of.add(
                "the kernel's rules",
                hit(
                    0,
                    "nft insert rule inet palisade-bans input ip saddr 203.0.113.5 accept",
                    "loaded, and not declared: ip saddr 203.0.113.5 accept",
                ),
            );
            of.add("that it watches", hit(1, "systemctl stop fail2ban.service", "fail2ban does not watch sshd"));
            of.add(
                "the kernel's table",
                hit(2, "nft delete table inet palisade-bans", "the kernel has no table inet palisade-bans"),
            );
            of.add(
                "what sshd writes down",
                hit(
                    0,
                    "sed -i 's/LogLevel VERBOSE/LogLevel INFO/' /etc/ssh/sshd_config.d/00-palisade-lockout.conf",
                    "sshd does not write down the keys that it refuses",
                ),
            );
            if distribution != "debian-12" {
                of.add(
                    "whom sshd spares",
                    hit(
                        0,
                        "sed -i 's/^PerSourcePenaltyExemptList .*/PerSourcePenaltyExemptList 203.0.113.9/' /etc/ssh/sshd_config.d/00-palisade-lockout.conf",
                        "sshd's own penalties may hit the management",
                    ),
                );
            }
        }
        Resource::Sockets(_) => {
            of.add("that what is declared answers", hit(0, "", "nothing listens on tcp port").said_as("compliant"));
            of.add(
                "that nothing else listens",
                undone(
                    0,
                    "systemd-run -q --unit=stray python3 -m http.server 8099 && until ss -Hltn | grep -q :8099; do sleep 0.1; done",
                    "undeclared listener tcp 0.0.0.0:8099",
                    "systemctl stop stray.service",
                )
                .said_as("compliant"),
            );
        }
        Resource::Machine(_) => of.add("whose the hardware is", hit(0, "", "it is a container")),
        Resource::Sysctl(sysctl) => kernel(of, sysctl),
        Resource::Modules(modules) => {
            for module in &modules.never {
                of.spare(module.as_str(), KERNEL);
            }
            of.spare("its file", KERNEL);
        }
        Resource::Mounts(mounts) => {
            for path in &mounts.at {
                let mounted = undone(
                    0,
                    r#"mkdir -p "$path"; mount -t tmpfs -o suid,dev,mode=1777 none "$path""#,
                    format!("{path} (tmpfs) is mounted without nodev and nosuid"),
                    r#"umount -l "$path""#,
                );
                of.add(path.as_str(), mounted.with("path", path));
            }
        }
        Resource::Time(_) => {
            for name in ["that a daemon runs", "that it is one", "that it is synchronised", "whom it asks"] {
                of.spare(name, CLOCK);
            }
        }
        Resource::Encryption(_) => of.spare("the disks", DISKS),
        Resource::Allowlist(allowlist) => {
            for one in &allowlist.interfaces {
                let open = hit(0, r#"nft insert rule inet palisade input tcp dport "$port" accept"#, "is open to everywhere");
                of.add(format!("who reaches {}", one.name), open.with("port", &one.port));
                let many = r#"nft insert rule inet palisade input ip saddr 203.0.113.0/29 tcp dport "$port" accept"#;
                let many = hit(2, many, "3 are promised at most");
                of.add(format!("how many reach {}", one.name), many.with("port", &one.port));
            }
            if !allowlist.interfaces.is_empty() {
                of.add("that others are dropped", hit(2, OPEN, "the firewall drops nothing by itself"));
                // As the resource of the firewall's rules breaks it.
                of.add("that there is a firewall", hit(1, "", "no table inet palisade is loaded"));
            }
        }
        Resource::Exposure(exposure) => {
            if exposure.never {
                exposed(of);
            }
            if let Some(to) = exposure.protected.first() {
                let onward = undone(
                    1,
                    "nft add table ip onward; nft 'add chain ip onward p { type nat hook prerouting priority dstnat; }'; nft add rule ip onward p tcp dport 5433 dnat to \"$to\"",
                    format!("a port is passed on to {to}"),
                    "nft delete table ip onward",
                );
                of.add("what is passed on to those that nobody may reach", onward.with("to", to));
            }
        }
        Resource::Separation(separation) => {
            of.spare("its marker", REFUSED);
            of.spare("its machine id", REFUSED);
            let (address, owner) = separation.addresses.first().expect("a host elsewhere");
            let shared = undone(
                0,
                r#"ip address add "$address/32" dev lo"#,
                format!("it has the address {address} of {owner}"),
                r#"ip address delete "$address/32" dev lo"#,
            );
            of.add("its addresses", shared.with("address", address));
            let (key, _) = separation.host_keys.first().expect("a host key elsewhere");
            let copied = undone(
                1,
                r#"printf '%s\n' "$other" >/etc/ssh/ssh_host_other_key.pub"#,
                "it has the host key",
                "rm /etc/ssh/ssh_host_other_key.pub",
            );
            of.add("its host keys", copied.with("other", key));
            let (key, _) = separation.automation.first().expect("a machine account elsewhere");
            let let_in = hit(0, r#"printf '%s\n' "$ci" >>/etc/ssh/authorized_keys.d/alice"#, "lets in the key of ci in prod");
            of.add("whom it lets in", let_in.with("ci", key));
        }
        Resource::Updates(_) => updates(of),
        Resource::Releases(_) => of.spare("that none is overdue", RELEASES),
        Resource::PackageSources(_) => {
            of.add("signatures", hit(0, "", "takes packages without a valid signature: trusted=yes"));
            of.add(
                "apt's own settings",
                undone(
                    0,
                    r#"printf 'Acquire::AllowInsecureRepositories "true";\n' >/etc/apt/apt.conf.d/98theirs"#,
                    "apt takes packages without a valid signature: Acquire::AllowInsecureRepositories",
                    "rm /etc/apt/apt.conf.d/98theirs",
                ),
            );
            // Of the archive that `updates` makes up.
            of.add("origins", hit(0, "", "is Strangers's, and not declared"));
        }
        Resource::Permissions(_) => ways::permissions(of),
        Resource::Persistence(_) => ways::planted(of),
    }
    parts.all
}

const OPEN: &str = "nft 'chain inet palisade input { policy accept; }'";

fn account(of: &mut Parts, user: &User) {
    match user {
        User::Present { user, .. } => {
            let shell = hit(0, r#"usermod -s /bin/true "$user""#, format!("{user} has the shell /bin/true"));
            if user.as_str() == "alice" {
                of.spare("its shell", OURS);
                of.spare("that it is open", OURS);
                of.spare("that it is there", OURS);
            } else {
                of.add("its shell", shell.with("user", user));
                let closed = hit(0, r#"usermod -e 1 "$user""#, format!("{user} expired on"));
                of.add("that it is open", closed.with("user", user));
                let gone = r#"sed -i "/^$user:/d" /etc/passwd /etc/shadow /etc/group /etc/gshadow; rm -rf "/home/$user""#;
                of.add(
                    "that it is there",
                    hit(2, gone, format!("there is no account {user}")).with("user", user),
                );
            }
            let password = hit(1, r#"usermod -p '$6$salt$hash' "$user""#, format!("{user} has a password"));
            of.add("its password", password.with("user", user));
        }
        User::Closed { user } => {
            let open = hit(0, r#"useradd -m -s /bin/bash "$user""#, "has not expired").with("user", user);
            of.add("that it is closed", open);
        }
        User::OthersClosed { .. } => {
            of.add("accounts of people", hit(0, "useradd -m -s /bin/bash mallory", "mallory (uid"));
            of.add(
                "accounts of the system",
                hit(1, "usermod -s /bin/bash -p '$6$salt$hash' games", "games has a password"),
            );
            of.add(
                "other names of root",
                undone(
                    2,
                    "useradd -o -u 0 -g 0 -M -N toor",
                    "toor is another name for root",
                    "sed -i '/^toor:/d' /etc/passwd /etc/shadow",
                ),
            );
        }
    }
}

fn keys(of: &mut Parts) {
    let at = "/etc/ssh/authorized_keys.d/batch";
    of.add("that declared keys are there", hit(0, "rm /etc/ssh/authorized_keys.d/batch", "is missing from"));
    of.add(
        "keys of strangers",
        hit(
            0,
            "mkdir -p /root/.ssh; printf 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILwP1P1Hiw0ZUVcnjZT1H1dzmWOnYNk8w7HnOEPaqMrs left\\n' >>/root/.ssh/authorized_keys",
            "/root/.ssh/authorized_keys is not declared",
        ),
    );
    of.add(
        "files of nobody's",
        hit(1, "touch /etc/ssh/authorized_keys.d/nobody", "authorized_keys.d/nobody belongs to no account"),
    );
    of.add(
        "owner and mode of the files",
        hit(1, "chmod 0666 /etc/ssh/authorized_keys.d/batch", format!("{at} is 0666 root:root, not 0644")),
    );
    of.add(
        "their directory",
        undone(
            2,
            "chmod 0711 /etc/ssh/authorized_keys.d",
            "not a directory with mode 0755 of root",
            "chmod 0755 /etc/ssh/authorized_keys.d",
        ),
    );
    // As the resource of sshd's settings breaks them.
    for name in ["AuthorizedKeysFile", "AuthorizedKeysCommand", "TrustedUserCAKeys"] {
        of.add(name, hit(0, "", format!("{name} is `")));
    }
}

fn sudo(of: &mut Parts) {
    of.add(
        "owner and mode of its file",
        hit(0, "chmod 0400 /etc/sudoers.d/palisade", "/etc/sudoers.d/palisade is 0400"),
    );
    of.add(
        "rules of others",
        hit(
            0,
            "printf 'debian ALL=(ALL) NOPASSWD:ALL\\n' >/etc/sudoers.d/mallory",
            "/etc/sudoers.d/mallory:1",
        ),
    );
    of.add(
        "that declared rules are there",
        hit(1, "sed -i /^batch/d /etc/sudoers.d/palisade", "is missing from /etc/sudoers.d/palisade"),
    );
    of.add(
        "rules that are not declared in it",
        hit(
            1,
            "printf 'games ALL=(ALL) NOPASSWD:ALL\\n' >>/etc/sudoers.d/palisade",
            "/etc/sudoers.d/palisade: `games ALL=(ALL) NOPASSWD:ALL` is not declared",
        ),
    );
    of.add(
        "whose the files of others are",
        hit(
            2,
            "printf '# lent\\n' >/etc/sudoers.d/lent; chown nobody /etc/sudoers.d/lent",
            "/etc/sudoers.d/lent is 0644 nobody:root",
        ),
    );
    of.add(
        "options that defeat them",
        undone(
            2,
            "printf 'Defaults:batch requiretty\\n' >/etc/sudoers.d/zz-options",
            "/etc/sudoers.d/zz-options",
            "rm /etc/sudoers.d/zz-options",
        ),
    );
}

fn kernel(of: &mut Parts, sysctl: &Sysctl) {
    of.file(&sysctl.file);
    of.add(
        "files that are read later",
        undone(
            1,
            "printf 'net.ipv4.tcp_rfc1337 = 0\\n' >/etc/sysctl.d/99-zzz.conf",
            "/etc/sysctl.d/99-zzz.conf:1 sets net/ipv4/tcp_rfc1337 to 0",
            "rm /etc/sysctl.d/99-zzz.conf",
        ),
    );
    for key in sysctl.settings.keys() {
        let Some((_, value)) = wrong::KERNEL.iter().find(|(name, _)| *name == key.as_str()) else {
            let own = ["net.ipv4.", "net.ipv6."].iter().any(|own| key.as_str().starts_with(own));
            assert!(!own, "tests/lab/controls/wrong.rs has no wrong value for the kernel's {key}");
            of.spare(key.as_str(), KERNEL);
            continue;
        };
        let one = key.as_str().replace('*', "all");
        let path = format!("/proc/sys/{}", one.replace('.', "/"));
        let named = format!("{key} is {value}");
        of.add(key.as_str(), hit(0, r#"echo "$value" >"$at""#, named).with("at", &path).with("value", value));
    }
}

fn exposed(of: &mut Parts) {
    of.add(
        "its addresses",
        undone(
            0,
            "ip address add 203.0.113.9/32 dev lo",
            "203.0.113.9, which lies in no private network",
            "ip address delete 203.0.113.9/32 dev lo",
        ),
    );
    of.add(
        "its routes",
        undone(
            1,
            "ip route add default dev priv0",
            "there is a route to the internet",
            "ip route delete default dev priv0",
        ),
    );
    of.add(
        "what its rules let in",
        hit(
            0,
            "nft insert rule inet palisade input tcp dport 5432 accept",
            "open to everywhere: tcp dport 5432 accept",
        ),
    );
    of.add("that there is a firewall", hit(1, "", "no table inet palisade is loaded"));
    of.add("that others are dropped", hit(2, OPEN, "the firewall drops nothing by itself"));
    of.add(
        "what it routes",
        undone(
            2,
            "echo 1 >/proc/sys/net/ipv4/ip_forward; nft 'chain inet palisade forward { policy accept; }'",
            "it passes packets on between networks, and the firewall does not stop them",
            "echo 0 >/proc/sys/net/ipv4/ip_forward",
        ),
    );
    of.add(
        "what its rules let through",
        hit(
            2,
            "nft insert rule inet palisade forward tcp dport 5432 accept",
            "passed on between networks: tcp dport 5432 accept",
        ),
    );
    of.add(
        "ports that are passed on",
        undone(
            0,
            "nft add table ip theirs; nft 'add chain ip theirs p { type nat hook prerouting priority dstnat; }'; nft add rule ip theirs p tcp dport 5433 dnat to 172.17.0.2:5432",
            "a port is passed on or published: tcp dport 5433 dnat to 172.17.0.2:5432",
            "nft delete table ip theirs",
        ),
    );
    of.add(
        "ports of containers",
        undone(
            0,
            "ln -s \"$(command -v python3)\" /run/docker-proxy; systemd-run -q --unit=published /run/docker-proxy -m http.server 5433 && until ss -Hltnp | grep -q docker-proxy; do sleep 0.1; done",
            "a container's port is published: 0.0.0.0:5433",
            "systemctl stop published.service; rm /run/docker-proxy",
        ),
    );
}

/// An archive of security updates is made up: whose it is, how old its index is, and that it has a newer sudo.
fn updates(of: &mut Parts) {
    of.add("that there is a source", hit(2, "", "apt has no source of security updates"));
    of.add(
        "what is pending",
        undone(
            0,
            r#"machine=$(dpkg --print-architecture)
index=main/binary-$machine/Packages
mkdir -p "/srv/late/dists/late-security/main/binary-$machine"
cd /srv/late/dists/late-security
printf 'Package: sudo\nVersion: 99\nArchitecture: %s\nMaintainer: Nobody <nobody@example.com>\nFilename: ./none.deb\nSize: 1\nSHA256: %064d\nDescription: newer\n' "$machine" 0 >"$index"
{
  printf 'Origin: Strangers\nLabel: Debian-Security\nSuite: late-security\nCodename: late-security\nArchitectures: %s\n' "$machine"
  printf 'Components: main\nDate: %s\nSHA256:\n' "$(LC_ALL=C date -u '+%a, %d %b %Y %T UTC')"
  printf ' %s %s %s\n' "$(sha256sum <"$index" | cut -d' ' -f1)" "$(wc -c <"$index")" "$index"
} >Release
cd /
printf 'deb [trusted=yes] file:/srv/late late-security main\n' >/etc/apt/sources.list.d/late.list
apt-get -qq update -o Dir::Etc::SourceList=/etc/apt/sources.list.d/late.list -o Dir::Etc::SourceParts=/dev/null -o APT::Get::List-Cleanup=0"#,
            "a security update is pending for today or longer: sudo",
            // The next round makes it old, and takes it away.
            ":",
        ),
    );
    of.add(
        "how old its index is",
        undone(
            1,
            r#"sed -i "s/^Date: .*/Date: $(LC_ALL=C date -u -d '9 days ago' '+%a, %d %b %Y %T UTC')/" /srv/late/dists/late-security/Release
rm -f /var/lib/apt/lists/*late-security*
apt-get -qq update -o Dir::Etc::SourceList=/etc/apt/sources.list.d/late.list -o Dir::Etc::SourceParts=/dev/null -o APT::Get::List-Cleanup=0"#,
            "the security archive's index is 9 days old",
            "rm -r /srv/late /etc/apt/sources.list.d/late.list; rm -f /var/lib/apt/lists/*late-security*",
        )
        .said_as("unknown"),
    );
    of.add(
        "what is held",
        undone(0, "apt-mark -q hold sudo >/dev/null", "is held back", "apt-mark -q unhold sudo >/dev/null"),
    );
    // As the packages' own resources break it.
    of.add("what is broken", hit(2, "", "sudo is unpacked"));
    of.add(
        "what runs of what was replaced",
        undone(
            0,
            "cp /bin/sleep /usr/lib/late; systemd-run -q --unit=late /usr/lib/late 7200; until grep -q /usr/lib/late /proc/[0-9]*/maps 2>/dev/null; do sleep 0.1; done; rm /usr/lib/late",
            "what an update replaced still runs: late",
            "systemctl stop late.service",
        ),
    );
    of.spare("whether a reboot is due", KERNEL);
}
