//! The language of kinds. A kind asks one read-only question for all its resources on a host, reads the answer into one
//! typed reading per resource, judges each, and gives the steps that would mend it; and it says how a playbook declares
//! it. Kinds decide; they run nothing. No kind lives here: those are in [`crate::kinds`].

pub mod declare;
pub mod parts;
pub mod sections;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::domain::{
    FoundName, GroupName, HomePath, KernelParameter, Mac, Mode, PackageName, RemotePath, SecretName,
    UnitName, UserName,
};
pub use crate::shell::Question;
pub use crate::shell::{Frame, FrameError};
pub use declare::{Declare, Unresolved};

/// One kind of resource.
pub trait Kind: Sized {
    /// What a host answers about one resource of this kind.
    type Answer: Clone + std::fmt::Debug + Serialize;

    /// Whether no step of any kind changes what it is about, and asking takes long, such as a walk through all files: a
    /// change is verified without it, within the time that the host waits for confirmation.
    const STAYS: bool = false;

    /// Whether it is asked of the staged tree too, before anything is switched.
    const STAGED: bool = false;

    /// Whether it bears on who gets in. Where one such thing cannot be read or mended none of them is changed: together they
    /// let somebody in, or nobody.
    const ACCESS: bool = false;

    /// One read-only question for all resources of this kind on a host.
    fn question(all: &[&Self]) -> Question;

    /// The answer as one reading per resource, in the order of `all`. What cannot be read is `Err`, with the reason:
    /// it becomes [`Verdict::Unknown`]. An answer that lacks what was asked is unknown too, however the tool exited.
    fn read(all: &[&Self], frame: &Frame) -> Vec<Reading<Self::Answer>>;

    /// What the answer means.
    fn judge(&self, answer: &Self::Answer, now: Timestamp) -> Verdict;

    /// The changes that would make it compliant. Empty where it is, or where nothing can be done.
    fn remedy(&self, answer: &Self::Answer) -> Result<Vec<Step>, Defeated>;

    /// Which resource this is, for people: `file /etc/motd`.
    fn name(&self) -> String;
}

/// An answer, or why there is none.
pub type Reading<A> = Result<A, Unread>;

/// Why a question has no answer. Always shown, never compliant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema, Deserialize, thiserror::Error)]
#[error("{0}")]
pub struct Unread(pub String);

impl From<FrameError> for Unread {
    fn from(error: FrameError) -> Self {
        Self(error.to_string())
    }
}

/// What a control or a resource amounts to on a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema, Deserialize)]
#[serde(tag = "verdict", rename_all = "kebab-case")]
pub enum Verdict {
    /// As declared. Notes say what is worth knowing all the same.
    Compliant {
        /// Notes for people; often empty.
        notes: Vec<String>,
    },
    /// Not as declared.
    Drift {
        /// Differences, each on its own; never empty.
        findings: Vec<String>,
    },
    /// The question does not arise here.
    NotApplicable {
        /// The reason.
        reason: String,
    },
    /// It could not be read. Never counted as compliant.
    Unknown {
        /// Obstacle to reading it.
        reason: String,
    },
    /// Not as declared, and accepted for now. Only ever a control's: no kind judges so.
    Waived {
        /// Differences that are accepted.
        findings: Vec<String>,
        /// Person who answers for it.
        owner: String,
        /// Reason for which it is accepted.
        reason: String,
        /// Last day on which it is accepted.
        expires: jiff::civil::Date,
    },
}

impl Verdict {
    /// Compliant, nothing to add.
    pub fn compliant() -> Self {
        Self::Compliant { notes: Vec::new() }
    }

    /// Drift where `findings` holds anything, else compliant.
    pub fn from_findings(findings: Vec<String>) -> Self {
        if findings.is_empty() { Self::compliant() } else { Self::Drift { findings } }
    }

    /// The word used in reports: `compliant`, `drift`, `not-applicable`, `unknown`, `waived`.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Compliant { .. } => "compliant",
            Self::Drift { .. } => "drift",
            Self::NotApplicable { .. } => "not-applicable",
            Self::Unknown { .. } => "unknown",
            Self::Waived { .. } => "waived",
        }
    }
}

/// When a change is made. In this order, each only where it has steps.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, schemars::JsonSchema, Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// Installs what the controls need. Forward only, never inside a transaction.
    Package,
    /// Adds: accounts, keys, sudo rules; sshd and firewall for old and new alike. A transaction.
    Widen,
    /// Makes it exactly as declared. A transaction, over a connection as a declared account.
    Narrow,
}

/// One change, with what it expects to find.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema, Deserialize)]
pub struct Step {
    /// The phase in which it is made.
    pub phase: Phase,
    /// Summary of the change, for people.
    pub summary: String,
    /// What, exactly. It carries what must be there before, so that its inverse is known.
    pub change: Change,
    /// Access that will stop working for somebody: an undeclared listener, account, key, rule.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cuts: Vec<String>,
}

/// A change that the transaction knows how to stage, switch and take back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum Change {
    /// Install a package. Phase package only.
    Package {
        /// Its name in the distribution.
        name: PackageName,
    },
    /// Put a file in place, change its owner or mode, or take it away. Missing directories above it are made
    /// (root, 0755) and taken back with it.
    File {
        /// Its path.
        path: RemotePath,
        /// State of the file now; the transaction refuses to begin where something else is.
        before: FileState,
        /// Desired state of the file.
        after: FileState,
    },
    /// Put a secret into a file, or change the file's owner or mode. What the file holds stands here only as a keyed digest;
    /// the value itself is given to the transaction apart. Missing directories above it are made and taken back with it.
    Secret {
        /// The file's path.
        path: RemotePath,
        /// The secret's name.
        name: SecretName,
        /// State of the file now; the transaction refuses to begin where something else is.
        before: SecretState,
        /// Desired state of the file.
        after: SecretFile,
    },
    /// Create or modify an account. Before every other change, since what is validated depends on it.
    Account {
        /// Action on the account.
        action: AccountAction,
    },
    /// Enable, start, stop or mask a unit.
    Unit {
        /// The unit.
        unit: UnitName,
        /// State of the unit now.
        before: UnitState,
        /// Desired state of the unit.
        after: UnitState,
    },
    /// Give settings of the running kernel another value. What they are at boot is for a file to say.
    Kernel {
        /// Settings, in the order in which they are written.
        values: Vec<KernelValue>,
    },
    /// Start fail2ban anew, so that it reads its files and loads the table `inet palisade-bans`.
    Bans,
    /// Load nftables text. It touches one table of ours, `inet palisade`.
    Ruleset {
        /// `nft -s -t list table inet palisade` as observed, or none where there is no such table.
        before: Option<String>,
        /// Text that `nft -f` loads.
        load: String,
    },
}

/// Folders in which nobody but root writes, on any host.
const OF_ROOT: [&str; 5] = ["/etc", "/usr", "/boot", "/root", "/var/lib/palisade"];

impl Change {
    /// Whether it takes a file away from a place where an account may put it back in the same moment: then whether it is
    /// gone says nothing of the change.
    pub(crate) fn is_at_anothers_mercy(&self) -> bool {
        match self {
            Self::File { path, after: FileState::Absent, .. } => {
                !OF_ROOT.iter().any(|root| path.is_below(root))
            }
            _ => false,
        }
    }
}

/// A setting of the running kernel, and what it is given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema, Deserialize)]
pub struct KernelValue {
    /// The setting.
    pub parameter: KernelParameter,
    /// Value now, the words of a list joined by one space.
    pub before: String,
    /// Desired value.
    pub after: String,
}

/// What stands at a path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema, Deserialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum FileState {
    /// Nothing.
    Absent,
    /// A regular file.
    Present(FileContent),
    /// Something else: a directory, a symbolic link, a device. Only ever a "before".
    Other {
        /// Type of the file, in `stat`'s words.
        kind: String,
    },
}

/// What stands at the path of a secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema, Deserialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum SecretState {
    /// Nothing.
    Absent,
    /// A regular file.
    Present(SecretFile),
}

/// A regular file that holds a secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema, Deserialize)]
pub struct SecretFile {
    /// The keyed digest of its bytes. The key is derived for the host and the plan, and stands in neither.
    pub mac: Mac,
    /// Permission bits.
    pub mode: Mode,
    /// Owner.
    pub owner: UserName,
    /// Group.
    pub group: GroupName,
}

/// How a regular file is called whose bytes are no text.
const NOT_TEXT: &str = "regular file that is not UTF-8 text";
/// How one is called, before `OWNER:GROUP`, that belongs to somebody without a name that a declaration could hold.
const STRANGE_OWNER: &str = "regular file of ";

impl FileState {
    /// A regular file whose bytes are no text.
    pub(crate) fn not_text() -> Self {
        Self::Other { kind: NOT_TEXT.to_owned() }
    }

    /// A regular file of `OWNER:GROUP`, of which one is no name that a declaration could hold.
    pub(crate) fn of_strange_owner(whose: &str) -> Self {
        Self::Other { kind: format!("{STRANGE_OWNER}{whose}, which are no usable names") }
    }

    /// Whether it is a regular file that was not read, of which a transaction can keep a copy all the same.
    pub(crate) fn is_unread_file(&self) -> bool {
        matches!(self, Self::Other { kind } if kind == NOT_TEXT || kind.starts_with(STRANGE_OWNER))
    }
}

/// A regular file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema, Deserialize)]
pub struct FileContent {
    /// Its bytes as text. Files that are not UTF-8 are of the state `other`.
    pub content: String,
    /// Permission bits.
    pub mode: Mode,
    /// Owner.
    pub owner: UserName,
    /// Group.
    pub group: GroupName,
}

/// What is done to an account. The journal keeps passwd, shadow, group, gshadow, subuid and subgid whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema, Deserialize)]
#[serde(tag = "action", rename_all = "kebab-case")]
pub enum AccountAction {
    /// `useradd`: a locked password, a home of its own, a primary group of the same name.
    Create {
        /// Its name.
        user: UserName,
        /// The comment field: the person's name and title.
        comment: String,
        /// Login shell.
        shell: RemotePath,
        /// Home directory.
        home: HomePath,
    },
    /// Lift an expiry and password ageing, set the shell (`usermod -e ''`, `chage -d -1 -M -1 -I -1`): an account that a declared person or machine needs.
    Open {
        /// Its name.
        user: UserName,
        /// Login shell.
        shell: RemotePath,
    },
    /// Lock the password and nothing else (`usermod -L`): keys and jobs go on.
    Lock {
        /// Its name.
        user: FoundName,
    },
    /// Lock the password and expire the account (`usermod -L -e 1`): no login by key either (PAM). Never deleted.
    Close {
        /// Its name.
        user: FoundName,
    },
    /// Add to a group.
    Join {
        /// Its name.
        user: UserName,
        /// The group.
        group: GroupName,
    },
    /// Take out of a group.
    Leave {
        /// Its name.
        user: FoundName,
        /// The group.
        group: GroupName,
    },
}

/// How a unit is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema, Deserialize)]
pub struct UnitState {
    /// `systemctl is-enabled`: enabled, disabled, masked, static ... `not-found` where there is no such unit.
    pub enabled: String,
    /// `systemctl is-active`: active, inactive, failed ...
    pub active: String,
}

/// Something of somebody else's defeats the declaration, and palisade will not rewrite it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct Defeated {
    /// What it is, with file and line where there is one.
    pub what: String,
    /// What to do.
    pub hint: String,
}
