//! Names of accounts, hosts, roles, paths, packages, units. Which characters they may hold, and no more.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{Malformed, checked_text};

checked_text!(
    /// An account's name: `^[a-z_][a-z0-9_-]{0,31}$`, what Debian's useradd accepts (useradd(8)).
    UserName,
    check_account
);
checked_text!(
    /// An account as a host has it, by whatever name somebody gave it (`useradd --badname`): 1 to 256 visible characters of
    /// ASCII, without what separates fields in passwd(5) and group(5), and none that a program takes for an option.
    FoundName,
    check_found
);
checked_text!(
    /// What a secret is called: lower-case letters, digits and dashes, 1 to 63 characters, as `HostName`.
    SecretName,
    check_label
);
checked_text!(
    /// A group's name, by the same rule as `UserName`.
    GroupName,
    check_account
);
checked_text!(
    /// A host of the inventory: lower-case letters, digits and dashes, 1 to 63 characters, as one DNS label (RFC 1123 2.1).
    HostName,
    check_label
);
checked_text!(
    /// A role of the inventory, by the same rule as `HostName`.
    RoleName,
    check_label
);
checked_text!(
    /// A listener of a role, by the same rule as `HostName`.
    ListenerName,
    check_label
);
checked_text!(
    /// A control's id, by the same rule as `HostName`.
    ControlId,
    check_label
);
checked_text!(
    /// A template: a file's name in `templates/`, ending in `.tera`.
    TemplateName,
    check_template
);
checked_text!(
    /// An absolute path on a host, without `..`, empty components, control characters or a trailing slash.
    RemotePath,
    check_path
);
checked_text!(
    /// A home directory: a `RemotePath` without `:` (it stands in passwd(5)).
    HomePath,
    check_home
);
checked_text!(
    /// A Debian package: lower-case letters, digits, `+`, `-`, `.`, at least two characters (Debian Policy 5.6.1).
    PackageName,
    check_package
);
checked_text!(
    /// A kernel module as modprobe(8) takes it: lower-case letters, digits, `-` and `_`, at most 55 characters (the kernel's
    /// `MODULE_NAME_LEN` on 64 bits, without its end).
    ModuleName,
    check_module
);
checked_text!(
    /// A systemd unit with its suffix, such as `ssh.service` (systemd.unit(5)).
    UnitName,
    check_unit
);
checked_text!(
    /// The comment field of an account: no colon, no line break (passwd(5)).
    Comment,
    check_comment
);

impl ModuleName {
    /// As the kernel writes it: with underscores.
    pub fn in_kernel(&self) -> String {
        self.0.replace('-', "_")
    }
}

impl UnitName {
    /// The template that it is an instance of: `postgresql@.service` of `postgresql@15-main.service` (systemd.unit(5)).
    pub fn template(&self) -> Option<Self> {
        let (name, instance) = self.0.split_once('@')?;
        let (instance, suffix) = instance.rsplit_once('.')?;
        (!instance.is_empty()).then(|| Self(format!("{name}@.{suffix}")))
    }

    /// Whether `units` holds it, or the template that it is an instance of.
    pub fn is_among(&self, units: &BTreeSet<Self>) -> bool {
        units.contains(self) || self.template().is_some_and(|template| units.contains(&template))
    }
}

impl From<UserName> for FoundName {
    fn from(name: UserName) -> Self {
        Self(name.0)
    }
}

impl UserName {
    /// The superuser.
    pub fn root() -> Self {
        Self("root".to_owned())
    }
}

impl GroupName {
    /// The superuser's group.
    pub fn root() -> Self {
        Self("root".to_owned())
    }
}

impl RemotePath {
    /// Where the firewall's rules stand, from which they are loaded at boot.
    pub fn firewall() -> Self {
        Self("/etc/palisade/firewall.nft".to_owned())
    }

    /// The login shell that people and machine accounts get.
    pub fn bash() -> Self {
        Self("/bin/bash".to_owned())
    }

    /// The last component.
    pub fn file_name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or_default()
    }

    /// The directory above; `/` for a path directly below it.
    pub fn parent(&self) -> &str {
        match self.0.rfind('/') {
            None | Some(0) => "/",
            Some(at) => self.0.get(..at).unwrap_or("/"),
        }
    }

    /// Whether it lies below `directory`.
    pub fn is_below(&self, directory: &str) -> bool {
        self.0.strip_prefix(directory).is_some_and(|rest| rest.starts_with('/'))
    }

    /// The path of `name` directly below this one.
    pub fn join(&self, name: &str) -> Result<Self, Malformed> {
        format!("{}/{name}", self.0).parse()
    }
}

fn check_account(text: &str) -> Result<(), Malformed> {
    let fix = "use a lower-case letter or _, then up to 31 lower-case letters, digits, - or _";
    let mut characters = text.chars();
    let Some(first) = characters.next() else { return Err(Malformed::new("an empty account name", fix)) };
    if !(first.is_ascii_lowercase() || first == '_') {
        return Err(Malformed::new("an account name starts with a lower-case letter or _", fix));
    }
    if text.len() > 32 {
        return Err(Malformed::new("an account name has at most 32 characters", fix));
    }
    if !characters.all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_') {
        return Err(Malformed::new("an account name holds lower-case letters, digits, - and _ only", fix));
    }
    Ok(())
}

fn check_found(text: &str) -> Result<(), Malformed> {
    let fix = "close or rename it by hand";
    if text.is_empty() || text.len() > 256 {
        return Err(Malformed::new("an account name has 1 to 256 characters", fix));
    }
    if !text.chars().all(|c| c.is_ascii_graphic() && !matches!(c, ':' | ',' | '/'))
        || text.starts_with(['-', '+'])
    {
        return Err(Malformed::new("an account name that no command is given", fix));
    }
    Ok(())
}

fn check_label(text: &str) -> Result<(), Malformed> {
    let fix = "use 1 to 63 lower-case letters, digits and dashes, with a letter or digit first and last";
    if text.is_empty() {
        return Err(Malformed::new("an empty name", fix));
    }
    if text.len() > 63 {
        return Err(Malformed::new("a name has at most 63 characters", fix));
    }
    if !text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-') {
        return Err(Malformed::new("a name holds lower-case letters, digits and dashes only", fix));
    }
    if text.starts_with('-') || text.ends_with('-') {
        return Err(Malformed::new("a name neither starts nor ends with a dash", fix));
    }
    Ok(())
}

fn check_template(text: &str) -> Result<(), Malformed> {
    let good = (6..=80).contains(&text.len())
        && text.strip_suffix(".tera").is_some_and(|stem| !stem.is_empty())
        && text.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
        && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '-' | '_'));
    if good {
        Ok(())
    } else {
        Err(Malformed::new(
            "not a template's name",
            "write the name of a file in templates/, such as motd.tera",
        ))
    }
}

fn check_path(text: &str) -> Result<(), Malformed> {
    let fix = "write an absolute path such as /etc/motd";
    if !text.starts_with('/') || text.len() < 2 {
        return Err(Malformed::new("a path on a host is absolute", fix));
    }
    if text.len() > 1024 {
        return Err(Malformed::new("a path has at most 1024 bytes", fix));
    }
    if text.chars().any(char::is_control) {
        return Err(Malformed::new("a path holds no control characters", fix));
    }
    if text.split('/').skip(1).any(|part| part.is_empty() || part == "." || part == "..") {
        return Err(Malformed::new("a path has no empty, `.` or `..` component and no trailing slash", fix));
    }
    Ok(())
}

fn check_home(text: &str) -> Result<(), Malformed> {
    check_path(text)?;
    if text.contains(':') {
        Err(Malformed::new("a home directory holds no colon", "leave the colon out"))
    } else {
        Ok(())
    }
}

fn check_module(text: &str) -> Result<(), Malformed> {
    let known = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_');
    let begins = text.bytes().next().is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    if begins && text.len() <= 55 && text.bytes().all(known) {
        return Ok(());
    }
    Err(Malformed::new("not the name of a kernel module", "write it as modinfo(8) shows it, such as dccp"))
}

fn check_package(text: &str) -> Result<(), Malformed> {
    let fix = "write the package's name as apt shows it, without version or architecture";
    let good = text.len() >= 2
        && text.len() <= 128
        && text.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
        && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '+' | '-' | '.'));
    if good { Ok(()) } else { Err(Malformed::new("not a Debian package name", fix)) }
}

fn check_unit(text: &str) -> Result<(), Malformed> {
    const SUFFIXES: [&str; 7] = [".service", ".socket", ".timer", ".target", ".mount", ".path", ".slice"];
    let good = text.len() <= 255
        && !text.starts_with(['-', '.'])
        && SUFFIXES.iter().any(|suffix| text.len() > suffix.len() && text.ends_with(suffix))
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, ':' | '-' | '_' | '.' | '\\' | '@'));
    if good {
        Ok(())
    } else {
        Err(Malformed::new("not a systemd unit", "write it with its suffix, such as ssh.service"))
    }
}

fn check_comment(text: &str) -> Result<(), Malformed> {
    if text.len() > 256 || text.contains(':') || text.chars().any(char::is_control) {
        return Err(Malformed::new(
            "an account's comment holds no colon, no control characters and at most 256 bytes",
            "shorten the name or title, and leave out colons",
        ));
    }
    Ok(())
}

/// Where a host belongs. They are kept apart (promise `separation`).
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, schemars::JsonSchema, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Environment {
    /// Development.
    Dev,
    /// Test.
    Test,
    /// Production.
    Prod,
}

impl Environment {
    /// All of them, in the order of promotion.
    pub const ALL: [Self; 3] = [Self::Dev, Self::Test, Self::Prod];

    /// `dev`, `test` or `prod`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Dev => "dev",
            Self::Test => "test",
            Self::Prod => "prod",
        }
    }
}

impl fmt::Display for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Environment {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        Self::ALL
            .into_iter()
            .find(|environment| environment.as_str() == text)
            .ok_or_else(|| Malformed::new("no such environment", "use dev, test or prod"))
    }
}

impl super::Checked for Environment {
    fn text(&self) -> std::borrow::Cow<'_, str> {
        std::borrow::Cow::Borrowed(self.as_str())
    }
}

/// Permission bits, 0 to 0o7777. Written as text in octal, `"0640"`, since YAML reads a bare 0640 as a number.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, schemars::JsonSchema, Deserialize,
)]
#[serde(try_from = "String", into = "String")]
pub struct Mode(u16);

impl Mode {
    /// rw-r--r--
    pub const PUBLIC: Self = Self(0o644);
    /// rw-------
    pub const PRIVATE: Self = Self(0o600);
    /// r--r-----, what visudo gives the files it writes.
    pub const SUDOERS: Self = Self(0o440);
}

impl FromStr for Mode {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let wrong = || {
            Malformed::new("not a file mode", "write three or four octal digits in quotes, such as \"0640\"")
        };
        if !(3..=4).contains(&text.len()) || !text.bytes().all(|b| b.is_ascii_digit()) {
            return Err(wrong());
        }
        u16::from_str_radix(text, 8).map(Self).map_err(|_| wrong())
    }
}

impl TryFrom<String> for Mode {
    type Error = Malformed;

    fn try_from(text: String) -> Result<Self, Malformed> {
        text.parse()
    }
}

impl From<Mode> for String {
    fn from(mode: Mode) -> Self {
        mode.to_string()
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04o}", self.0)
    }
}

impl super::Checked for Mode {
    fn text(&self) -> std::borrow::Cow<'_, str> {
        std::borrow::Cow::Owned(self.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_stands_for_its_instances() {
        let unit = |text: &str| text.parse::<UnitName>().unwrap();
        let units: BTreeSet<UnitName> = ["nginx.service", "postgresql@.service"].map(unit).into();
        for (name, is) in [
            ("nginx.service", true),
            ("postgresql@15-main.service", true),
            ("postgresql@.service", true),
            ("postgresql.service", false),
            ("nginx@.service", false),
            ("nginx@1.service", false),
            ("postgresql@15-main.socket", false),
            ("a@b.c@d.service", false),
        ] {
            assert_eq!(unit(name).is_among(&units), is, "{name}");
        }
        assert_eq!(unit("a@b.c@d.service").template(), Some(unit("a@.service")));
        assert_eq!(unit("postgresql@.service").template(), None);
    }
}
