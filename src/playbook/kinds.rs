//! What a playbook may hold, as data: the fields of a control, and the kinds that it may declare with their fields. The
//! readers take their names and words from here, and `palisade schema playbook` prints the same.

use super::Framework;
use super::reference::{PROMISES, REFERENCE};
use crate::domain::pattern::{ACCOUNT, KERNEL_KEY, LABEL, MODE, MODULE, PACKAGE, PATH, TEMPLATE, UNIT};
use crate::domain::{RemotePath, RoleName};
use crate::inventory::SCHEMA;
use crate::resource::sysctl::Accepted;
use crate::source::shape::{
    DATA, Field, Kind, PROSE, Shape, Text, any_of_them, one_of_them, optional, required,
};

/// `playbooks/*.yaml`.
pub const PLAYBOOK: Shape = Shape::List { of: &Shape::Fields(CONTROL), least: 0 };

const CONTROL: &[Field] = &[
    optional("schema", Shape::Version(SCHEMA), "The version of this control's shape."),
    required("id", Shape::Text(&LABEL), "By which it is called, in reports and by --control."),
    required("title", Shape::Text(&PROSE), "What it promises, in one sentence."),
    required("promise", Shape::Word(&PROMISES), "The sentence of the security page that it serves."),
    required("severity", Shape::Word(&["low", "medium", "high", "critical"]), "How bad it is when it fails."),
    required("rationale", Shape::Text(&PROSE), "Why."),
    required(
        "references",
        Shape::Fields(FRAMEWORKS),
        "What frameworks ask for it, or for something it supports.",
    ),
    required("hosts", Shape::Text(&HOSTS), "Where it applies."),
    any_of_them("enforce", DECLARATIONS, "What palisade makes so, and keeps so."),
    any_of_them("check", DECLARATIONS, "What palisade looks at only."),
    any_of_them(
        "prove",
        Shape::List { of: &Shape::Kinds(PROOFS), least: 0 },
        "What is observed from outside.",
    ),
    required("remediation", Shape::Text(&PROSE), "What a person does about a failure."),
];

const DECLARATIONS: Shape = Shape::List { of: &Shape::Kinds(KINDS), least: 0 };

const FRAMEWORKS: &[Field] = &[
    framework(Framework::CisDebian12),
    framework(Framework::AnssiBp028),
    framework(Framework::AnssiOpenssh),
    framework(Framework::AnssiTls),
    framework(Framework::Bsi),
    framework(Framework::Iso27001),
    framework(Framework::PciDss),
    framework(Framework::Gdpr),
];
const _: () = assert!(FRAMEWORKS.len() == Framework::ALL.len(), "every framework may be cited");

const fn framework(framework: Framework) -> Field {
    const ITEMS: Shape = Shape::List { of: &Shape::Text(&REFERENCE), least: 0 };
    any_of_them(framework.as_str(), ITEMS, "Its items, with ~ behind one that the control only supports.")
}

const HOSTS: Text = Text {
    about: "all or role:NAME",
    pattern: "^(all|role:[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)$",
    accepts: |text| {
        text == "all" || text.strip_prefix("role:").is_some_and(|role| role.parse::<RoleName>().is_ok())
    },
    exact: true,
};

/// What is enforced or checked.
pub(super) const KINDS: &[Kind] = &[
    kind("package", "A package is installed.", &[required("name", Shape::Text(&PACKAGE), "Which.")]),
    kind(
        "file",
        "A file stands where it shall, or does not.",
        &[
            required("path", Shape::Text(&MANAGED), "Where."),
            one_of_them("template", Shape::Text(&TEMPLATE), "The template that gives its body."),
            one_of_them("content", Shape::Text(&DATA), "Its body."),
            one_of_them("absent", Shape::Boolean, "That there is no such file: true."),
            optional("owner", Shape::Text(&ACCOUNT), "Whose it is; root where it is left out."),
            optional("group", Shape::Text(&ACCOUNT), "Which group's it is; root where it is left out."),
            optional("mode", Shape::Text(&MODE), "Its permissions; \"0644\" where they are left out."),
        ],
    ),
    kind(
        "service",
        "A unit starts at boot, or runs, or does not.",
        &[
            required("unit", Shape::Text(&UNIT), "Which."),
            any_of_them("enabled", Shape::Boolean, "Whether it starts at boot."),
            any_of_them("active", Shape::Boolean, "Whether it runs."),
        ],
    ),
    kind(
        "user",
        "Accounts are there, or can no longer log in.",
        &[
            one_of_them(
                "for_each",
                Shape::Word(&["people", "automation", "accounts"]),
                "Whose accounts are there.",
            ),
            one_of_them("others", Shape::Word(&["closed"]), "That no other account can log in."),
        ],
    ),
    kind(
        "group",
        "A group has these members and no others.",
        &[
            required("name", Shape::Text(&ACCOUNT), "Which."),
            required("only", Shape::List { of: &Shape::Text(&ACCOUNT), least: 0 }, "Its members."),
        ],
    ),
    kind("authorized-keys", "Exactly the declared keys open exactly the declared accounts.", ONLY_DECLARED),
    kind("sudo", "Exactly the declared accounts may use sudo, for exactly what is declared.", ONLY_DECLARED),
    kind(
        "sshd",
        "sshd's effective settings, for every declared account from every source.",
        &[
            required("for_each", Shape::Word(&["principals"]), "For whom."),
            required(
                "settings",
                Shape::Names { names: &KEYWORD, of: &Shape::Text(&DATA), least: 0, most: None },
                "By keyword, in lower case, as `sshd -T` shows them.",
            ),
        ],
    ),
    kind(
        "nftables",
        "The packet filter's own table, made from the listeners: its file and the live rules.",
        &[
            required("table", Shape::Word(&["palisade"]), "Which."),
            required("from", Shape::Word(&["listeners"]), "Of what it is made."),
        ],
    ),
    kind(
        "lockout",
        "Whoever fails to log in as often as the limits say is blocked.",
        &[required("after", Shape::Word(&["failed-attempts"]), "After what.")],
    ),
    kind(
        "sockets",
        "Who listens beyond loopback is what the listeners declare.",
        &[required("expected", Shape::Word(&["listeners"]), "Who may.")],
    ),
    kind(
        "machine",
        "The hardware is the host's own: no virtual machine, no container.",
        &[required("hardware", Shape::Word(&["dedicated"]), "Whose it is.")],
    ),
    kind(
        "sysctl",
        "Kernel settings, now and after a boot.",
        &[
            optional("file", Shape::Text(&PATH), "The file in /etc/sysctl.d that sets them at boot."),
            required(
                "settings",
                Shape::Names { names: &KERNEL_KEY, of: &Shape::Text(&ACCEPTED), least: 1, most: None },
                "What each may be.",
            ),
        ],
    ),
    kind(
        "modules",
        "Kernel modules that are never loaded, whoever asks for them.",
        &[required("never", Shape::Set { of: &Shape::Text(&MODULE), least: 1 }, "Which.")],
    ),
    kind(
        "mounts",
        "What folders are mounted with, where they are file systems of their own. Looked at only.",
        &[
            required("at", Shape::Set { of: &Shape::Text(&PATH), least: 1 }, "Which."),
            required(
                "options",
                Shape::Set { of: &Shape::Word(&["nodev", "nosuid", "noexec"]), least: 1 },
                "With what.",
            ),
        ],
    ),
    kind(
        "time",
        "The clock is synchronised.",
        &[
            required("clock", Shape::Word(&["synchronised"]), "What it is."),
            optional(
                "servers",
                Shape::List { of: &Shape::Text(&SERVER), least: 1 },
                "The servers that may be asked; any, where it is left out.",
            ),
        ],
    ),
    kind(
        "encryption",
        "Below every file system and every swap area lies strong encryption.",
        &[
            required("disks", Shape::Word(&["encrypted"]), "What they are."),
            optional(
                "except",
                Shape::List { of: &Shape::Text(&PATH), least: 1 },
                "Mount points that need not be: what a boot loader and a firmware read.",
            ),
        ],
    ),
    kind(
        "allowlist",
        "Admin interfaces are reached from the admin addresses alone.",
        &[required("interfaces", Shape::Word(&["admin"]), "Which.")],
    ),
    kind(
        "exposure",
        "What the internet must never reach has no way to it.",
        &[required("internet", Shape::Word(&["never"]), "Who must not.")],
    ),
    kind(
        "separation",
        "Nothing of another environment gets in.",
        &[required("from", Shape::Word(&["environments"]), "From what.")],
    ),
    kind(
        "updates",
        "Security updates are installed, nothing is held back or broken, and no reboot is due.",
        &[required("security", Shape::Word(&["installed"]), "Which.")],
    ),
    kind(
        "releases",
        "No release is overdue: each was completed before its window was over.",
        &[required("overdue", Shape::Word(&["never"]), "Which may be.")],
    ),
    kind(
        "sources",
        "Packages come from signed sources of known origin.",
        &[
            required("signed", Shape::Word(&["always"]), "Whether each has a valid signature."),
            required(
                "origins",
                Shape::List { of: &Shape::Text(&DATA), least: 0 },
                "Whose they may be, as their indexes say it.",
            ),
        ],
    ),
    kind(
        "permissions",
        "What lends its owner's rights, and what everyone may write, is what may.",
        &[
            required(
                "set_id",
                Shape::List { of: &Shape::Text(&PATH), least: 0 },
                "Programs that may, where a package brought them.",
            ),
            required(
                "writable",
                Shape::List { of: &Shape::Text(&PATH), least: 0 },
                "What everyone may write.",
            ),
        ],
    ),
];

const ONLY_DECLARED: &[Field] = &[required("only", Shape::Word(&["declared"]), "Which.")];

/// What is observed from outside.
pub(super) const PROOFS: &[Kind] = &[
    kind(
        "ports",
        "The declared ports answer whom they may, and nothing else answers.",
        &[FROM_EVERY_VANTAGE, required("open", Shape::Word(&["listeners"]), "Which are open.")],
    ),
    kind(
        "ssh-methods",
        "sshd offers these ways to prove who one is, and no other.",
        &[
            FROM_EVERY_VANTAGE,
            required("offered", Shape::List { of: &Shape::Word(&["publickey"]), least: 0 }, "Which."),
        ],
    ),
    kind(
        "ssh-logins",
        "Every declared account gets in with its key, and an undeclared key or account does not.",
        &[required("for_each", Shape::Word(&["principals"]), "For whom.")],
    ),
];

const FROM_EVERY_VANTAGE: Field = required("for_each", Shape::Word(&["vantages"]), "From where.");

/// Where no control may put a file: the kernel's own trees, and what boots the host.
pub(super) const UNMANAGED: [&str; 4] = ["/proc", "/sys", "/dev", "/boot"];
/// Files that hold accounts. They change through `user` and `group` alone.
pub(super) const ACCOUNT_FILES: [&str; 6] =
    ["/etc/passwd", "/etc/shadow", "/etc/group", "/etc/gshadow", "/etc/subuid", "/etc/subgid"];

const MANAGED: Text = Text {
    about: "an absolute path, outside of /proc, /sys, /dev and /boot",
    pattern: r"^(?!/(proc|sys|dev|boot|etc/(passwd|shadow|group|gshadow|subuid|subgid)$)(/|$))(/(?!\.{1,2}(/|$))[^/\u0000-\u001f\u007f-\u009f]+)+$",
    accepts: |text| {
        let managed = |path: RemotePath| {
            !UNMANAGED.iter().any(|tree| path.as_str() == *tree || path.is_below(tree))
                && !ACCOUNT_FILES.contains(&path.as_str())
        };
        text.parse::<RemotePath>().is_ok_and(managed)
    },
    exact: false,
};

const KEYWORD: Text = Text {
    about: "a keyword in lower case",
    pattern: "^[a-z0-9]*$",
    accepts: |text| text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()),
    exact: true,
};

const ACCEPTED: Text = Text {
    about: "what is set, and behind it what is accepted too: \"1\", \"2|1\", \"1|absent\"",
    pattern: r"^(?!\s*absent\s*(\||$))\s*[!-{}~]([ -{}~]*[!-{}~])?\s*(\|\s*[!-{}~]([ -{}~]*[!-{}~])?\s*)*$",
    accepts: |text| text.parse::<Accepted>().is_ok(),
    exact: true,
};

const SERVER: Text = Text {
    about: "a name or address as the daemon has it: ntp.example.com",
    pattern: "^[A-Za-z0-9.:][A-Za-z0-9.:-]*$",
    accepts: super::declaration::is_server,
    exact: true,
};

const fn kind(name: &'static str, about: &'static str, fields: &'static [Field]) -> Kind {
    Kind { name, about, fields: Shape::Fields(fields) }
}
