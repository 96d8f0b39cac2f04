//! A secret's file as it is wanted, and the value of the secret while a run needs it, with the key by which it is compared. It is never shown and never written:
//! what holds it has no way to be serialized.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::domain::{GroupName, Mac, MacKey, Mode, RemotePath, SecretName, UserName};
use crate::resource::SecretFile;

/// A file that holds a secret. Its mode is 0600, and its group root, to whom that gives nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Secret {
    /// The file's path.
    pub path: RemotePath,
    /// The secret's name.
    pub name: SecretName,
    /// The account that may read it.
    pub owner: UserName,
    /// The value, or why there is none. It is read back from a case of the tests, and never written.
    #[serde(default, skip_serializing)]
    #[schemars(skip)]
    pub held: Held,
}

impl Secret {
    /// What shall stand there.
    pub(super) fn wanted(&self, value: &Value) -> SecretFile {
        SecretFile {
            mac: value.mac(),
            mode: Mode::PRIVATE,
            owner: self.owner.clone(),
            group: GroupName::root(),
        }
    }
}

/// What a run holds of a secret.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(from = "Case")]
pub enum Held {
    /// Nothing; why, and what to do.
    Unread(String),
    /// Its value.
    Read(Arc<Value>),
}

impl Default for Held {
    fn default() -> Self {
        Self::Unread("secrets are not read for this".to_owned())
    }
}

impl Held {
    /// Why there is no value.
    pub fn why(&self) -> &str {
        match self {
            Self::Unread(why) => why,
            Self::Read(_) => "",
        }
    }
}

/// A value, and the key of one host and one plan.
#[derive(PartialEq, Eq)]
pub struct Value {
    key: MacKey,
    bytes: Arc<Zeroizing<Vec<u8>>>,
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Value(not shown)")
    }
}

impl Value {
    /// Of these bytes, compared by this key.
    pub fn new(key: MacKey, bytes: Arc<Zeroizing<Vec<u8>>>) -> Self {
        Self { key, bytes }
    }

    /// What stands for a value where a script is shown: a key that was never used, and no bytes.
    pub fn in_preview() -> Self {
        Self::new(MacKey::new([0; 32]), Arc::default())
    }

    /// Its keyed digest.
    pub fn mac(&self) -> Mac {
        self.key.mac(&self.bytes)
    }

    /// The key by which the host makes the same digest.
    pub fn key(&self) -> &MacKey {
        &self.key
    }

    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// How a case of the tests says what is held.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
enum Case {
    Unread(String),
    Value(String),
}

impl From<Case> for Held {
    fn from(case: Case) -> Self {
        match case {
            Case::Unread(why) => Self::Unread(why),
            Case::Value(text) => {
                let bytes = Arc::new(Zeroizing::new(text.into_bytes()));
                Self::Read(Arc::new(Value::new(MacKey::new([7; 32]), bytes)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_not_shown() {
        let held = Held::from(Case::Value("hunter2".to_owned()));
        assert_eq!(format!("{held:?}"), "Read(Value(not shown))");
    }
}
