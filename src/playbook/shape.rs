//! What a playbook may hold, as data: the fields of a control, and the proofs that it may declare. The kinds bring the
//! fields of their declarations. The readers take names and words from here, and `palisade schema playbook` prints the same.

use super::Framework;
use super::reference::{PROMISES, REFERENCE};
use crate::domain::RoleName;
use crate::domain::pattern::LABEL;
use crate::inventory::SCHEMA;
use crate::kinds::SHAPES;
use crate::source::shape::{Field, Kind, PROSE, Shape, Text, any_of_them, optional, required};

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

const DECLARATIONS: Shape = Shape::List { of: &Shape::Kinds(SHAPES), least: 0 };

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

const fn kind(name: &'static str, about: &'static str, fields: &'static [Field]) -> Kind {
    Kind { name, about, fields: Shape::Fields(fields) }
}
