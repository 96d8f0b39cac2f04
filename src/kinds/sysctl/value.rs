//! What a kernel setting may be. A declared value has alternatives, `2|1`: the first is what palisade sets, the others
//! are left where they are. `absent` among them means that a kernel without the setting is fine.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::domain::KernelKey;
use crate::text::Malformed;

/// The values that are accepted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Accepted {
    first: String,
    others: Vec<String>,
    absent: bool,
}

const ABSENT: &str = "absent";

impl Accepted {
    /// What is set where something else is found.
    pub fn first(&self) -> &str {
        &self.first
    }

    /// Whether a kernel that lacks the setting is accepted.
    pub fn absent(&self) -> bool {
        self.absent
    }

    /// Whether `value` is accepted.
    pub fn takes(&self, value: &str) -> bool {
        self.first == value || self.others.iter().any(|other| other == value)
    }
}

impl fmt::Display for Accepted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.first)?;
        self.others.iter().try_for_each(|other| write!(f, " or {other}"))
    }
}

impl FromStr for Accepted {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let wrong = || {
            Malformed::new(
                "not a value of a kernel setting",
                "write what is set, and behind it what is accepted too: \"1\", \"2|1\", \"1|absent\"",
            )
        };
        let sound = |value: &&str| {
            !value.is_empty()
                && value.len() <= 200
                && value.bytes().all(|b| b.is_ascii_graphic() || b == b' ')
        };
        let mut values = text.split('|').map(str::trim);
        let first = values.next().filter(sound).filter(|first| *first != ABSENT).ok_or_else(wrong)?;
        let mut accepted = Self { first: words(first), others: Vec::new(), absent: false };
        for value in values {
            if value == ABSENT {
                accepted.absent = true;
            } else {
                accepted.others.push(words(Some(value).filter(sound).ok_or_else(wrong)?));
            }
        }
        Ok(accepted)
    }
}

impl TryFrom<String> for Accepted {
    type Error = Malformed;

    fn try_from(text: String) -> Result<Self, Malformed> {
        text.parse()
    }
}

impl From<Accepted> for String {
    fn from(accepted: Accepted) -> Self {
        let absent = accepted.absent.then(|| ABSENT.to_owned());
        let values: Vec<Self> = [accepted.first].into_iter().chain(accepted.others).chain(absent).collect();
        values.join("|")
    }
}

/// A value as it is compared: the kernel separates the numbers of a list by tabs, people by spaces.
pub(super) fn words(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Settings that a kernel takes once and never gives up before it is started anew: a change could not be taken back.
/// Documentation/admin-guide/sysctl/kernel.rst and Documentation/admin-guide/LSM/Yama.rst of Linux.
const FINAL: [(&str, &str); 4] = [
    ("kernel.kexec_load_disabled", "1"),
    ("kernel.modules_disabled", "1"),
    ("kernel.unprivileged_bpf_disabled", "1"),
    ("kernel.yama.ptrace_scope", "3"),
];

/// Refuses a value that palisade would set and could not take back.
pub fn check_reversible(key: &KernelKey, accepted: &Accepted) -> Result<(), Malformed> {
    if FINAL.contains(&(key.as_str(), accepted.first())) {
        return Err(Malformed::new(
            "a running kernel never gives this value up, so that the change could not be taken back",
            "declare another value first, or set it at boot in a file of your own",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_is_set_and_the_others_are_left() {
        let accepted: Accepted = "2|1|absent".parse().unwrap();
        assert_eq!((accepted.first(), accepted.absent()), ("2", true));
        assert!(
            accepted.takes("2") && accepted.takes("1") && !accepted.takes("0") && !accepted.takes("absent")
        );
        assert_eq!(accepted.to_string(), "2 or 1");
        assert_eq!(String::from(accepted), "2|1|absent");
        let list: Accepted = "4 4  1 7".parse().unwrap();
        assert!(list.takes(&words("4\t4\t1\t7")));
        for wrong in ["", "|1", "absent", "absent|1", "1|", "1\n2", "é"] {
            assert!(wrong.parse::<Accepted>().is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn what_cannot_be_taken_back_is_not_set_and_may_be_found() {
        let check = |key: &str, value: &str| check_reversible(&key.parse().unwrap(), &value.parse().unwrap());
        assert!(check("kernel.yama.ptrace_scope", "3").is_err());
        assert!(check("kernel.yama.ptrace_scope", "1|3").is_ok());
        assert!(check("kernel.kexec_load_disabled", "1").is_err());
    }
}
