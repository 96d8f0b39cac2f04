//! What a host says of its accounts, and how that is read. A list that is not whole, or was read by somebody who may not
//! read shadow(5), is unknown. It decides nothing of what is declared.

use serde::Serialize;

use crate::domain::FoundName;
use crate::resource::{Defeated, Frame, Reading, Unread};
use crate::text::visible;

/// The accounts that a declaration is about: at most one for one name, all that stand out for [`User::OthersClosed`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Answer {
    /// In the order of passwd(5).
    pub accounts: Vec<Account>,
}

/// One line of passwd(5) with what matters of shadow(5).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Account {
    /// As the host writes it; it may break our own rules for names.
    pub name: String,
    /// User id.
    pub uid: u32,
    /// Id of the primary group.
    pub gid: u32,
    /// Login shell; empty stands for /bin/sh.
    pub shell: String,
    /// What its password is.
    pub password: Password,
    /// Its expiry.
    pub expiry: Expiry,
    /// Whether the age of its password keeps it out, key or not (PAM asks for a new one first).
    pub password_due: bool,
    /// Whether it stands in /etc/passwd; others come from a directory service and are not ours to change.
    pub local: bool,
}

/// What an account's password is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Password {
    /// No password matches (`!` or `*`).
    Locked,
    /// One is set.
    Set,
    /// None is needed.
    Empty,
    /// shadow(5) has no entry for it.
    Missing,
}

/// When an account ends, by the host's own clock, since that is what PAM asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Expiry {
    /// Never.
    None,
    /// On this day since 1970-01-01, which lies ahead.
    Ahead(i64),
    /// Since this day. Day 0 does not count as an end: shadow(5) leaves open what it means.
    Past(i64),
}

impl Account {
    /// Neither password nor key opens it: the host refuses it, and our clock agrees that its day has come.
    pub(super) fn is_closed(&self, today: Option<i64>) -> bool {
        self.password == Password::Locked
            && matches!(self.expiry, Expiry::Past(day) if day > 0 && today.is_none_or(|today| day <= today))
    }

    pub(super) fn has_login_shell(&self) -> bool {
        !matches!(
            self.shell.as_str(),
            "/usr/sbin/nologin" | "/sbin/nologin" | "/bin/false" | "/usr/bin/false"
        )
    }

    /// What lets somebody in who is not declared; none where nothing does.
    pub(super) fn opening(&self) -> Option<Opening> {
        const NOBODY: u32 = 65_534;
        let person = self.uid >= 1000 && self.uid != NOBODY && self.has_login_shell();
        if (self.uid == 0 || person) && !self.is_closed(None) {
            Some(Opening::Login)
        } else if self.has_login_shell() && matches!(self.password, Password::Set | Password::Empty) {
            Some(Opening::Password)
        } else {
            None
        }
    }

    pub(super) fn describe(&self) -> String {
        let name = visible(&self.name);
        let what = match (self.uid, self.opening()) {
            (0, _) => format!("{name} is another name for root (uid 0)"),
            (_, Some(Opening::Password)) => {
                format!("the system account {name} has a password and the shell {}", self.shell())
            }
            _ => format!(
                "the account {name} (uid {}, shell {}) is not declared and not closed",
                self.uid,
                self.shell()
            ),
        };
        // What a person has to do, where palisade does not close it.
        match self.user() {
            Ok(_) => what,
            Err(defeated) => format!("{what}; {}", defeated.hint),
        }
    }

    pub(super) fn shell(&self) -> String {
        if self.shell.is_empty() { "/bin/sh".to_owned() } else { visible(&self.shell) }
    }

    pub(super) fn user(&self) -> Result<FoundName, Defeated> {
        let name = visible(&self.name);
        if !self.local {
            return Err(Defeated {
                what: format!("the account {name} comes from a directory service, not from /etc/passwd"),
                hint:
                    "take the service out of the line `passwd:` of /etc/nsswitch.conf, or declare the account"
                        .to_owned(),
            });
        }
        self.name.parse().map_err(|_| Defeated {
            what: format!("the account {name} has a name that palisade does not pass to any command"),
            hint: "close or rename it by hand: usermod -L -e 1".to_owned(),
        })
    }
}

/// What lets somebody in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Opening {
    /// A login, by key or password.
    Login,
    /// A password alone.
    Password,
}

/// Whether it is root itself.
pub(super) fn is_root(account: &Account) -> bool {
    account.name == "root" && account.uid == 0
}

/// Every account of the host. A list that is not whole, or that lacks root, is unread.
pub(super) fn read_accounts(frame: &Frame) -> Reading<Vec<Account>> {
    let unread = |what: &str| {
        Unread(format!("{what} (exit {}){}", frame.status, crate::resource::parts::said(&frame.stderr)))
    };
    let text = String::from_utf8_lossy(&frame.stdout);
    let value = |key: &str| text.lines().find_map(|line| line.strip_prefix(key));
    let count: usize = value("accounts:")
        .and_then(|count| count.parse().ok())
        .ok_or_else(|| unread("the list of accounts has no end"))?;
    let today: i64 = value("now:")
        .and_then(|now| now.parse::<i64>().ok())
        .map(|now| now.div_euclid(86_400))
        .ok_or_else(|| unread("the host did not say what day it is"))?;
    let accounts: Vec<Account> = text
        .lines()
        .filter_map(|line| line.strip_prefix("account:"))
        .map(|line| {
            read_account(line, today).ok_or_else(|| {
                unread(&format!("an account has another form: {}", crate::text::excerpt(line, 120)))
            })
        })
        .collect::<Result<_, _>>()?;
    if accounts.len() != count {
        return Err(unread("the list of accounts is not whole"));
    }
    // Root stands in every passwd and shadow: a list without it was read by somebody who may not, or not at all.
    match accounts.iter().find(|account| is_root(account)) {
        None => Err(unread("the list of accounts lacks root")),
        Some(root) if root.password == Password::Missing => Err(unread("/etc/shadow could not be read")),
        Some(_) => Ok(accounts),
    }
}

fn read_account(line: &str, today: i64) -> Option<Account> {
    let fields: Vec<&str> = line.split(':').collect();
    let [name, uid, gid, shell, password, expires, changed, most, local] = fields.as_slice() else {
        return None;
    };
    let days = |text: &str| if text.is_empty() { Some(None) } else { text.parse::<i64>().ok().map(Some) };
    let expiry = match days(expires)? {
        None | Some(..0) => Expiry::None,
        Some(day) if day > today => Expiry::Ahead(day),
        Some(day) => Expiry::Past(day),
    };
    // shadow(5): 0 asks for a new password at the next login; beyond `most` days after the change it is due as well.
    let password_due = match (days(changed)?, days(most)?) {
        (Some(0), _) => true,
        (Some(changed), Some(most)) if changed > 0 && most >= 0 => changed.saturating_add(most) < today,
        _ => false,
    };
    Some(Account {
        name: (*name).to_owned(),
        uid: uid.parse().ok()?,
        gid: gid.parse().ok()?,
        shell: (*shell).to_owned(),
        password: match *password {
            "locked" => Password::Locked,
            "set" => Password::Set,
            "empty" => Password::Empty,
            "missing" => Password::Missing,
            _ => return None,
        },
        expiry,
        password_due,
        local: *local == "1",
    })
}
