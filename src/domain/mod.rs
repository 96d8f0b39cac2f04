//! What came from outside, parsed once. A value of these types is well-formed; nothing below checks it again.
//!
//! Every type says in its error what it accepts, so that a refusal can name the fix. Nothing here reads a file, and
//! nothing resolves a name.

mod digest;
mod kernel;
mod keys;
mod mac;
mod names;
mod network;
mod package;
pub mod pattern;

use std::borrow::Cow;

pub use digest::{BootId, Digest, Digesting, Identifier, MachineId, TxId};
pub use kernel::{KernelKey, KernelParameter};
pub use keys::{Fingerprint, KeyAlgorithm, PublicKey};
pub use mac::{Mac, MacKey};
pub use names::{
    Comment, ControlId, Environment, FoundName, GroupName, HomePath, HostName, ListenerName, Mode,
    ModuleName, PackageName, RemotePath, RoleName, SecretName, TemplateName, UnitName, UserName,
};
pub use network::{Address, Cidr, Family, Port, Protocol, Url};
pub use package::{Architecture, PackageVersion, ReleaseId};

pub use crate::text::Malformed;

/// Text that was checked when its type was made, so that it may become an argument of a command.
pub trait Checked {
    /// The text.
    fn text(&self) -> Cow<'_, str>;
}

/// A newtype over checked text: `FromStr`, `Display`, serde as a string, and [`Checked`].
macro_rules! checked_text {
    ($(#[$doc:meta])* $name:ident, $check:path) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, schemars::JsonSchema, serde::Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::domain::Malformed;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                $check(text)?;
                Ok(Self(text.to_owned()))
            }
        }

        impl TryFrom<String> for $name {
            type Error = $crate::domain::Malformed;

            fn try_from(text: String) -> Result<Self, Self::Error> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(checked: $name) -> Self {
                checked.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(&self.0)
            }
        }

        impl $crate::domain::Checked for $name {
            fn text(&self) -> std::borrow::Cow<'_, str> {
                std::borrow::Cow::Borrowed(&self.0)
            }
        }
    };
}
use checked_text;
