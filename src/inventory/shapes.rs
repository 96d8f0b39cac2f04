//! What the files of `inventories/` may hold, as data: the readers take their fields, bounds and words from here, and
//! `palisade schema` prints the same. What several values show together is refused in [`super::cross`].

use super::Limits;
use super::country::ASSIGNED;
use super::parts::SCHEMA;
use crate::domain::pattern::{ACCOUNT, ADDRESS, COMMENT, LABEL, MACHINE_ID, NETWORK, PATH, PUBLIC_KEY};
use crate::domain::{HostName, RoleName};
use crate::source::shape::{DATA, Field, Shape, Text, any_of_them, optional, required};

const VERSION: Field = optional("schema", Shape::Version(SCHEMA), "The version of this file's shape.");
const ENVIRONMENT: Shape = Shape::Word(&["dev", "test", "prod"]);
const ENVIRONMENTS: Shape = Shape::Set { of: &ENVIRONMENT, least: 0 };
const KEYS: Shape = Shape::Set { of: &Shape::Text(&PUBLIC_KEY), least: 1 };
const NETWORKS: Shape = Shape::Set { of: &Shape::Text(&NETWORK), least: 1 };
const ADDRESSES: Shape = Shape::Set { of: &Shape::Text(&ADDRESS), least: 0 };
const PORT: Shape = Shape::Number { least: 1, most: 65535 };

const fn up_to(most: u32) -> Shape {
    Shape::Number { least: 1, most }
}

/// `inventories/fleet.yaml`.
pub const FLEET: Shape = Shape::Fields(&[
    VERSION,
    required("company", Shape::Text(&COMMENT), "Whose servers they are."),
    optional("limits", Shape::Fields(LIMITS), "The numbers that promises name. Nothing else holds them."),
    required(
        "people",
        Shape::Names { names: &ACCOUNT, of: &Shape::Fields(PERSON), least: 0, most: None },
        "Everyone with access to servers, and everyone who had it, by the name of the account.",
    ),
    optional("contacts", Shape::Fields(CONTACTS), "Who is told."),
    optional("mail", Shape::Fields(MAIL_SERVER), "How mail to administrators is sent."),
    optional("release", Shape::Fields(RELEASE), "When releases come, and how they travel."),
]);

const LIMITS: &[Field] = &[
    optional("people", up_to(Limits::PROMISED.people), "Most people with server access at one time."),
    optional(
        "admin_addresses",
        up_to(Limits::PROMISED.admin_addresses),
        "Most addresses from where admin interfaces can be reached, in each environment.",
    ),
    optional(
        "failed_attempts",
        up_to(Limits::PROMISED.failed_attempts),
        "Failed attempts before an address is blocked.",
    ),
    optional("patch_cycle", Shape::Duration, "Time between releases; four weeks at most."),
    optional(
        "rollback_timeout",
        Shape::Duration,
        "How long a host waits for confirmation before it takes a change back; 60s to 30min.",
    ),
];

const PERSON: &[Field] = &[
    required("name", Shape::Text(&COMMENT), "The person's name."),
    required("title", Shape::Text(&COMMENT), "Such as CTO."),
    optional("approver", Shape::Boolean, "Whether this person may approve what goes to production."),
    optional("keys", KEYS, "The public keys that open the account."),
    required("access", ENVIRONMENTS, "The environments that this person may enter."),
    optional("since", Shape::Day, "First day of access; always, where it is left out."),
    optional("until", Shape::Day, "Last day of access; open-ended, where it is left out."),
];

const CONTACTS: &[Field] = &[required(
    "administrators",
    Shape::List { of: &Shape::Text(&MAIL), least: 0 },
    "Where administrators are told of maintenance.",
)];

const MAIL: Text = Text {
    about: "a bare e-mail address, such as ops@example.com",
    pattern: r"^[^@\s]+@[^@\s.][^@\s]*\.[^@\s]*$",
    accepts: |text| super::mail::is_mail_address(text),
    exact: false,
};

const MAIL_SERVER: &[Field] = &[
    required("server", Shape::Text(&SERVER_NAME), "The SMTP server, by the name that its certificate bears."),
    optional("port", PORT, "Its port; 587 for starttls and 465 for implicit, where it is left out."),
    optional(
        "tls",
        Shape::Word(&["starttls", "implicit"]),
        "How the connection is encrypted; starttls where it is left out. Never not at all.",
    ),
    required("from", Shape::Text(&MAIL), "From whom mail comes."),
    required("user", Shape::Text(&DATA), "The account on the server."),
    required("password", Shape::Text(&SECRET), "What its password is called."),
    optional(
        "ca",
        Shape::Text(&PATH),
        "A file with the certificates that the server's is held against; the system's, where it is left out.",
    ),
];

const SERVER_NAME: Text = Text {
    about: "a host's full name, such as smtp.example.com",
    pattern: "^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$",
    accepts: super::mail::is_server_name,
    exact: false,
};

const SECRET: Text = Text {
    about: "secret:NAME, which each user has in a file or a variable of that name",
    pattern: "^secret:[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$",
    accepts: |text| super::mail::secret(text).is_some(),
    exact: false,
};

const RELEASE: &[Field] = &[
    required(
        "first",
        Shape::Day,
        "The day of the first release's window in prod; the others follow every `patch_cycle`.",
    ),
    required("timezone", Shape::Text(&crate::calendar::ZONE), "The time zone of all times here."),
    required("window", Shape::Fields(WINDOW), "When planned work is done."),
    required("notice", Shape::Duration, "How long before it administrators are told; 48h or more."),
    required("order", ENVIRONMENTS, "Through which environments it goes: [dev, test, prod]."),
    optional("ahead", Shape::Fields(AHEAD), "How long before prod dev and test have their windows."),
    optional(
        "soak",
        Shape::Duration,
        "How long a release stands in test before prod takes it; 48h where it is left out.",
    ),
    optional("holidays", Shape::Set { of: &Shape::Day, least: 0 }, "Days without planned work."),
    optional(
        "freezes",
        Shape::List { of: &Shape::Fields(FREEZE), least: 0 },
        "Days on which environments stay as they are.",
    ),
    optional(
        "deny_restart",
        Shape::Set { of: &Shape::Text(&SERVICE), least: 0 },
        "Services that no release restarts; they are named where they run what was replaced.",
    ),
    optional(
        "mirror",
        Shape::Text(&URL),
        "Where releases/ is published: test and prod download packages from URL/RELEASE/pool/SHA256.",
    ),
    optional(
        "keyrings",
        Shape::List { of: &Shape::Fields(KEYRING), least: 0 },
        "Whose signatures count for archives other than Debian's.",
    ),
];

const KEYRING: &[Field] = &[
    required("origin", Shape::Text(&DATA), "Who runs the archive: the Origin of its InRelease."),
    required("file", Shape::Text(&DATA), "The keyring, within the project: keyrings/postgresql.gpg."),
];

const SERVICE: Text = Text {
    about: "a service, such as nginx.service, or postgresql@.service for all instances of a template",
    pattern: r"^(?![-.])[A-Za-z0-9:_.\\@-]+\.service$",
    accepts: |text| super::release::is_service(text),
    exact: true,
};

const AHEAD: &[Field] = &[
    required("dev", Shape::Duration, "Of dev, in weeks; 2 weeks where `ahead` is left out."),
    required("test", Shape::Duration, "Of test, in weeks; 1 week where `ahead` is left out."),
];

const FREEZE: &[Field] = &[
    required("from", Shape::Day, "The first day."),
    required("to", Shape::Day, "The last day."),
    required("reason", Shape::Text(&COMMENT), "Why, in a line."),
    optional("environments", ENVIRONMENTS, "Where; prod alone where it is left out."),
];

const WINDOW: &[Field] = &[
    required("start", Shape::Text(&START), "When it opens."),
    required("duration", Shape::Duration, "How long it stays open; 30min to 48h."),
];

const START: Text = Text {
    about: "a day at the weekend and a time, such as \"Sat 22:00\"",
    pattern: "^(Sat|Sun) ([01][0-9]|2[0-3]):[0-5][0-9]$",
    accepts: |text| super::release::start(text).is_some(),
    exact: true,
};

/// `inventories/ENV.yaml`.
pub const ENVIRONMENT_INVENTORY: Shape = Shape::Fields(&[
    VERSION,
    required("environment", ENVIRONMENT, "Which one: as the file is called."),
    required(
        "networks",
        Shape::Fields(BOTH_NETWORKS),
        "From where administrators come, and what hosts share.",
    ),
    optional(
        "ssh",
        Shape::Fields(SSH_FROM),
        "Who may reach SSH beside the management sources, which always may.",
    ),
    optional(
        "automation",
        Shape::Names { names: &ACCOUNT, of: &Shape::Fields(AUTOMATION), least: 0, most: Some(1) },
        "The machine account that CI uses, by its name. It stands in every access report beside the people.",
    ),
    optional(
        "accounts",
        Shape::Names { names: &ACCOUNT, of: &Shape::Fields(ACCOUNT_FIELDS), least: 0, most: None },
        "Service accounts with a login, by their names.",
    ),
    optional(
        "packages",
        Shape::Fields(PACKAGES),
        "Where hosts get packages that cannot reach the internet. Read and checked, and not applied to any host yet.",
    ),
    required(
        "roles",
        Shape::Names { names: &LABEL, of: &Shape::Fields(ROLE), least: 0, most: None },
        "Named sets of listeners. The firewall, its audit and the test from outside all follow from them.",
    ),
    required(
        "hosts",
        Shape::Names { names: &LABEL, of: &Shape::Fields(HOST), least: 1, most: None },
        "The servers, by their names, which are unique over all environments.",
    ),
]);

const BOTH_NETWORKS: &[Field] = &[
    required("admin", NETWORKS, "The addresses of administrators; at most three."),
    optional("private", NETWORKS, "The private networks that hosts share."),
    optional(
        "gateways",
        ADDRESSES,
        "Routers on these networks, through which hosts without a public address reach the internet.",
    ),
];

const SSH_FROM: &[Field] = &[required("from", FROM, "Who.")];

const FROM: Shape = Shape::Text(&SOURCE);

const SOURCE: Text = Text {
    about: "internet, admin, private, or role:NAME",
    pattern: "^(internet|admin|private|role:[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)$",
    accepts: |text| {
        matches!(text, "internet" | "admin" | "private")
            || text.strip_prefix("role:").is_some_and(|role| role.parse::<RoleName>().is_ok())
    },
    exact: true,
};

const AUTOMATION: &[Field] = &[
    required("keys", KEYS, "The public keys that open the account."),
    required("from", NETWORKS, "From where it comes. These are management sources."),
];

const ACCOUNT_FIELDS: &[Field] = &[
    required("purpose", Shape::Text(&COMMENT), "What it is for."),
    optional("keys", KEYS, "The public keys that open it; left out where it never logs in."),
    optional("shell", Shape::Text(&PATH), "Its login shell; /bin/sh where it is left out."),
    optional(
        "sudo",
        Shape::List { of: &Shape::Text(&SUDO), least: 0 },
        "Commands that it may run as root, and no others.",
    ),
    optional(
        "roles",
        Shape::List { of: &Shape::Text(&LABEL), least: 0 },
        "The roles whose hosts have it; all hosts where it is left out.",
    ),
];

const SUDO: Text = Text {
    about: "an absolute path and arguments, without wildcards, commas, quotes or ALL",
    pattern: "^/[A-Za-z0-9 /_.@+-]*[A-Za-z0-9/_.@+-]$",
    accepts: |text| super::environment::is_sudo_command(text),
    exact: false,
};

const PACKAGES: &[Field] = &[
    optional("mirror", Shape::Text(&URL), "The address of a mirror."),
    optional("proxy", Shape::Text(&URL), "The address of an HTTP proxy."),
];

const URL: Text = Text {
    about: "http:// or https://, a host and a path, without a login",
    pattern: r"^https?://[A-Za-z0-9._~:/\[\]%+-]+$",
    accepts: |text| super::environment::is_url(text),
    exact: true,
};

const ROLE: &[Field] = &[
    required("listeners", Shape::List { of: &Shape::Fields(LISTENER), least: 0 }, "What its hosts serve."),
    optional(
        "internet",
        Shape::Word(&["never"]),
        "That the internet must never reach it. A role called `database` has it always.",
    ),
    optional(
        "check",
        Shape::Text(&PATH),
        "A program on its hosts that exits 0 where they do their work: asked before and after a release.",
    ),
];

const LISTENER: &[Field] = &[
    required("name", Shape::Text(&LABEL), "What it is called."),
    required("port", PORT, "The port."),
    optional("protocol", Shape::Word(&["tcp", "udp"]), "tcp where it is left out."),
    required("from", FROM, "Who may reach it."),
    optional(
        "container",
        Shape::Boolean,
        "That a container publishes it: connections to it are passed on to where its engine sends them.",
    ),
];

const HOST: &[Field] = &[
    required("addresses", Shape::Fields(BOTH_ADDRESSES), "Where it is."),
    optional("ssh", Shape::Fields(SSH_PORT), "Where its sshd listens."),
    optional("jump", Shape::Text(&HOST_NAME), "The host through which it is reached."),
    required("roles", Shape::Set { of: &Shape::Text(&LABEL), least: 0 }, "What it serves."),
    required("provider", Shape::Text(&PLACE), "Who rents it out: ovh."),
    required("datacenter", Shape::Text(&PLACE), "The provider's name of the data centre: gra3."),
    required("country", Shape::Word(&ASSIGNED), "Where it stands, by the two letters of ISO 3166-1: FR."),
    optional("replica_of", Shape::Text(&HOST_NAME), "The host whose data it replicates."),
    optional(
        "unlock",
        Shape::Word(super::unlock::WORDS),
        "How its encrypted root is opened at boot. Without it, a host with one is not rebooted.",
    ),
];

const HOST_NAME: Text = Text {
    about: "the name of another host of this environment",
    pattern: LABEL.pattern,
    accepts: |text| text.parse::<HostName>().is_ok(),
    exact: true,
};

const BOTH_ADDRESSES: &[Field] = &[
    any_of_them("public", ADDRESSES, "Addresses that the internet routes."),
    any_of_them("private", ADDRESSES, "Addresses on private networks."),
];

const SSH_PORT: &[Field] = &[required("port", PORT, "The port; 22 unless it is declared.")];

const PLACE: Text = Text {
    about: "lower-case letters, digits and dashes",
    pattern: "^[a-z0-9][a-z0-9._-]{0,63}$",
    accepts: |text| super::hosts::is_place(text),
    exact: true,
};

/// `inventories/identities.yaml`, which `enrol` writes.
pub(super) const IDENTITIES: Shape = Shape::Fields(&[required(
    "hosts",
    Shape::Names { names: &LABEL, of: &Shape::Fields(IDENTITY), least: 0, most: None },
    "Every host that was enrolled.",
)]);

const IDENTITY: &[Field] = &[
    required("machine_id", Shape::Text(&MACHINE_ID), "/etc/machine-id as it was then."),
    required("environment", ENVIRONMENT, "Where it belongs."),
    required("distribution", Shape::Text(&DATA), "Its distribution and version: debian-12."),
    optional("vendor", Shape::Text(&ACCOUNT), "The account with which its provider delivered it."),
    required("enrolled", Shape::Text(&DATA), "When."),
    required("by", Shape::Text(&ACCOUNT), "Who did it."),
];

/// `inventories/lab.yaml`, which the lab writes.
pub(super) const LAB: Shape = Shape::Fields(&[required("subnets", NETWORKS, "The lab's own subnets.")]);
