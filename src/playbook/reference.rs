//! Which promise a control serves and what frameworks ask for it: closed lists, so that a typo cannot cite what is not
//! there. Ids and our own words only.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

use crate::source::shape::Text;
use crate::text::{Malformed, nearest};

/// The sentences of the security page; and what stands under no sentence of its own, because several of them rest on it:
/// the kernel's settings, the clock, and what lies about on a host.
pub(super) const PROMISES: [&str; 27] = [
    "hosting",
    "separation",
    "replica",
    "backup",
    "patching",
    "firewall",
    "key-only",
    "lockout",
    "encryption",
    "private-data",
    "admin-allowlist",
    "monitoring",
    "escalation",
    "runbooks",
    "failover",
    "https",
    "server-access",
    "offboarding",
    "review",
    "maintenance",
    "status",
    "pentest",
    "app-auth",
    "data-access",
    "kernel",
    "time",
    "baseline",
];

/// One sentence of the security page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Promise(&'static str);

impl Promise {
    /// Its id.
    pub fn as_str(self) -> &'static str {
        self.0
    }
}

impl fmt::Display for Promise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.0)
    }
}

impl FromStr for Promise {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        PROMISES.into_iter().find(|id| *id == text).map(Self).ok_or_else(|| {
            let fix = match nearest(text, PROMISES) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("use one of: {}", PROMISES.join(", ")),
            };
            Malformed::new("no such promise", fix)
        })
    }
}

/// A framework in one version. Ids of another version mean something else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Framework {
    /// CIS Debian Linux 12 Benchmark v1.1.0.
    CisDebian12,
    /// ANSSI-BP-028 v2.0, configuration of a GNU/Linux system.
    AnssiBp028,
    /// ANSSI's note on OpenSSH v1.3; its ids start with `SSH-`, since both count from R1.
    AnssiOpenssh,
    /// ANSSI's guide on TLS v1.2; its ids start with `TLS-`.
    AnssiTls,
    /// BSI IT-Grundschutz, edition 2023.
    Bsi,
    /// ISO/IEC 27001:2022, annex A.
    Iso27001,
    /// PCI DSS 4.0.1.
    PciDss,
    /// Regulation (EU) 2016/679, by article.
    Gdpr,
}

/// An item of a framework. Which shape an id has there, the parser says.
pub(super) const REFERENCE: Text = Text {
    about: "an id as the framework writes it, with ~ behind it where the control only supports it",
    pattern: "^[A-Za-z0-9.()-]+~?$",
    accepts: |text| Framework::ALL.into_iter().any(|framework| Reference::parse(framework, text).is_ok()),
    exact: false,
};

impl Framework {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::CisDebian12,
        Self::AnssiBp028,
        Self::AnssiOpenssh,
        Self::AnssiTls,
        Self::Bsi,
        Self::Iso27001,
        Self::PciDss,
        Self::Gdpr,
    ];

    /// Its id in playbooks and reports, with the version.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::CisDebian12 => "cis-debian12-v1.1.0",
            Self::AnssiBp028 => "anssi-bp-028-v2.0",
            Self::AnssiOpenssh => "anssi-openssh-v1.3",
            Self::AnssiTls => "anssi-tls-v1.2",
            Self::Bsi => "bsi-2023",
            Self::Iso27001 => "iso27001-2022",
            Self::PciDss => "pci-dss-4.0.1",
            Self::Gdpr => "gdpr",
        }
    }

    /// Whether `id` is of the shape that the framework's ids have.
    fn has_shape(self, id: &str) -> bool {
        let numbers = |text: &str, least: usize| {
            let parts: Vec<&str> = text.split('.').collect();
            parts.len() >= least && parts.iter().all(|part| is_number(part))
        };
        let recommendation = |prefix: &str| id.strip_prefix(prefix).is_some_and(is_number);
        match self {
            Self::CisDebian12 | Self::PciDss => numbers(id, 2),
            Self::AnssiBp028 => recommendation("R"),
            Self::AnssiOpenssh => recommendation("SSH-R"),
            Self::AnssiTls => recommendation("TLS-R"),
            Self::Bsi => id.split_once('.').is_some_and(|(layer, rest)| {
                layer.len() >= 2
                    && layer.bytes().all(|b| b.is_ascii_uppercase())
                    && rest
                        .rsplit_once(".A")
                        .is_some_and(|(module, item)| numbers(module, 1) && is_number(item))
            }),
            Self::Iso27001 => id.strip_prefix("A.").is_some_and(|rest| numbers(rest, 2)),
            Self::Gdpr => {
                let article = id.split('(').next().unwrap_or_default();
                let rest = id.get(article.len()..).unwrap_or_default();
                let closed = rest.is_empty() || rest.starts_with('(') && rest.ends_with(')');
                is_number(article)
                    && closed
                    && rest.split(['(', ')']).all(|part| {
                        part.is_empty()
                            || is_number(part)
                            || part.len() == 1 && part.bytes().all(|b| b.is_ascii_lowercase())
                    })
            }
        }
    }
}

fn is_number(text: &str) -> bool {
    (1..=3).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit())
}

impl FromStr for Framework {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        Self::ALL.into_iter().find(|framework| framework.as_str() == text).ok_or_else(|| {
            let all = Self::ALL.map(Self::as_str);
            let fix = match nearest(text, all) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("use one of: {}", all.join(", ")),
            };
            Malformed::new("no such framework and version", fix)
        })
    }
}

impl fmt::Display for Framework {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl Serialize for Framework {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// One item of a framework.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Reference {
    /// Its id there.
    pub id: String,
    /// Whether the control does what the item asks. If not, it supports it: related, or a part. Written with a `~`.
    pub satisfies: bool,
}

impl Reference {
    /// From a playbook: the id, with a `~` behind it where the control only supports the item.
    pub fn parse(framework: Framework, text: &str) -> Result<Self, Malformed> {
        let (id, satisfies) = text.strip_suffix('~').map_or((text, true), |id| (id, false));
        if framework.has_shape(id) {
            return Ok(Self { id: id.to_owned(), satisfies });
        }
        Err(Malformed::new(
            format!("not an id of {framework}"),
            "write it as the framework does, with ~ behind it where the control only supports it",
        ))
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.id, if self.satisfies { "" } else { "~" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_have_their_frameworks_shape() {
        let good = [
            (Framework::CisDebian12, "5.1.20"),
            (Framework::AnssiBp028, "R80~"),
            (Framework::AnssiOpenssh, "SSH-R17"),
            (Framework::Bsi, "SYS.1.3.A8"),
            (Framework::Bsi, "OPS.1.1.2.A21"),
            (Framework::Iso27001, "A.8.20"),
            (Framework::PciDss, "1.2.1"),
            (Framework::Gdpr, "32(1)(b)~"),
            (Framework::Gdpr, "44~"),
        ];
        for (framework, id) in good {
            assert_eq!(Reference::parse(framework, id).unwrap().to_string(), id);
        }
        let bad = [
            (Framework::CisDebian12, "R80"),
            (Framework::AnssiBp028, "SSH-R17"),
            (Framework::Bsi, "SYS.1.3"),
            (Framework::Iso27001, "8.20"),
            (Framework::Gdpr, "32(1"),
            (Framework::Gdpr, ""),
        ];
        for (framework, id) in bad {
            assert!(Reference::parse(framework, id).is_err(), "{framework} {id}");
        }
    }
}
