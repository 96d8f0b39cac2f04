//! Accounts: those that shall be there, those that shall be closed, and every other one that could log in. No password
//! hash is ever read: the host says of each whether it is locked, set, empty or missing, and no more.

pub mod declare;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::domain::{Comment, FoundName, HomePath, RemotePath, UserName};
use crate::resource::{
    AccountAction, Change, Defeated, Frame, Kind, Phase, Question, Reading, Step, Unread, Verdict,
};
use crate::shell::Perl;
use crate::text::visible;

/// What is declared of one account, or of all that are not declared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum User {
    /// It is there, open, with a locked password.
    Present {
        /// Its name.
        user: UserName,
        /// The comment field, where palisade creates it. An existing account keeps its own.
        comment: Comment,
        /// Login shell.
        shell: RemotePath,
        /// Home directory, where palisade creates it. An existing account keeps its own.
        home: HomePath,
    },
    /// It is absent, or locked and expired: the vendor's account.
    Closed {
        /// Its name.
        user: UserName,
    },
    /// Every account that could log in, but root and these, is closed.
    OthersClosed {
        /// The declared accounts.
        declared: Vec<UserName>,
    },
}

/// The accounts that a declaration is about: at most one for one name, all that stand out for [`User::OthersClosed`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Answer {
    /// In the order of passwd(5).
    pub accounts: Vec<Account>,
}

/// One line of passwd(5) with what matters of shadow(5).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
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
    fn is_closed(&self, today: Option<i64>) -> bool {
        self.password == Password::Locked
            && matches!(self.expiry, Expiry::Past(day) if day > 0 && today.is_none_or(|today| day <= today))
    }

    fn has_login_shell(&self) -> bool {
        !matches!(
            self.shell.as_str(),
            "/usr/sbin/nologin" | "/sbin/nologin" | "/bin/false" | "/usr/bin/false"
        )
    }

    /// What lets somebody in who is not declared; none where nothing does.
    fn opening(&self) -> Option<Opening> {
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

    fn describe(&self) -> String {
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

    fn shell(&self) -> String {
        if self.shell.is_empty() { "/bin/sh".to_owned() } else { visible(&self.shell) }
    }

    fn user(&self) -> Result<FoundName, Defeated> {
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

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Opening {
    Login,
    Password,
}

impl Kind for User {
    type Answer = Answer;

    const ACCESS: bool = true;

    fn question(_all: &[&Self]) -> Question {
        let body = Perl::new(include_str!("question.pl")).into();
        Question { label: "user", body, seconds: 30, cap: 4 << 20 }
    }

    fn read(all: &[&Self], frame: &Frame) -> Vec<Reading<Answer>> {
        let everyone = read_accounts(frame);
        all.iter()
            .map(|one| {
                let accounts = everyone.clone()?;
                let accounts = match one {
                    Self::Present { user, .. } | Self::Closed { user } => {
                        accounts.into_iter().filter(|account| account.name == user.as_str()).take(1).collect()
                    }
                    Self::OthersClosed { declared } => accounts
                        .into_iter()
                        .filter(|account| !is_root(account) && account.opening().is_some())
                        .filter(|account| {
                            account.uid == 0 || !declared.iter().any(|user| user.as_str() == account.name)
                        })
                        .collect(),
                };
                Ok(Answer { accounts })
            })
            .collect()
    }

    fn judge(&self, answer: &Answer, now: Timestamp) -> Verdict {
        let today = now.as_second().div_euclid(86_400);
        let account = answer.accounts.first();
        match self {
            Self::Present { user, shell, .. } => {
                let Some(account) = account else {
                    return Verdict::Drift { findings: vec![format!("there is no account {user}")] };
                };
                let findings = shortcomings(user, shell, account);
                match account.expiry {
                    Expiry::Ahead(day) if findings.is_empty() => {
                        Verdict::Compliant { notes: vec![format!("{user} expires on {}", date(day))] }
                    }
                    _ => Verdict::from_findings(findings),
                }
            }
            Self::Closed { user } => match account {
                None => Verdict::Compliant { notes: vec![format!("there is no account {user}")] },
                Some(account) if account.is_closed(Some(today)) => Verdict::compliant(),
                Some(account) => {
                    let mut findings = Vec::new();
                    if account.password != Password::Locked {
                        findings.push(format!("the password of {user} is not locked"));
                    }
                    match account.expiry {
                        Expiry::Past(day) if day > today => findings.push(format!(
                            "{user} expired on {} by the host's clock, which runs ahead",
                            date(day)
                        )),
                        Expiry::Past(day) if day > 0 => {}
                        Expiry::Past(_) => {
                            findings.push(format!("{user} has the expiry 0, which may mean never"));
                        }
                        Expiry::Ahead(day) => findings.push(format!("{user} expires only on {}", date(day))),
                        Expiry::None => {
                            findings.push(format!("{user} has not expired: a key still opens it"));
                        }
                    }
                    Verdict::from_findings(findings)
                }
            },
            Self::OthersClosed { .. } => {
                Verdict::from_findings(answer.accounts.iter().map(Account::describe).collect())
            }
        }
    }

    fn remedy(&self, answer: &Answer) -> Result<Vec<Step>, Defeated> {
        let account = answer.accounts.first();
        match self {
            Self::Present { user, comment, shell, home } => {
                let Some(account) = account else {
                    let action = AccountAction::Create {
                        user: user.clone(),
                        comment: comment.to_string(),
                        shell: shell.clone(),
                        home: home.clone(),
                    };
                    return Ok(vec![widen(format!("create the account {user}"), action)]);
                };
                open(user, shell, account)
            }
            Self::Closed { .. } => match account {
                Some(account) if !account.is_closed(None) => Ok(vec![close(account.user()?, account.uid)]),
                _ => Ok(Vec::new()),
            },
            Self::OthersClosed { declared } => answer
                .accounts
                .iter()
                // One that palisade cannot close is a finding that says how; it is in nobody else's way.
                .filter_map(|account| Some((account, account.user().ok()?)))
                .map(|(account, user)| {
                    if let Some(user) = declared.iter().find(|one| one.as_str() == user.as_str()) {
                        return Err(another_root(user));
                    }
                    Ok(match account.opening() {
                        Some(Opening::Password) => lock(user),
                        _ => close(user, account.uid),
                    })
                })
                .collect(),
        }
    }

    fn name(&self) -> String {
        match self {
            Self::Present { user, .. } => format!("account {user}"),
            Self::Closed { user } => format!("closed account {user}"),
            Self::OthersClosed { .. } => "all other accounts".to_owned(),
        }
    }
}

fn is_root(account: &Account) -> bool {
    account.name == "root" && account.uid == 0
}

fn shortcomings(user: &UserName, shell: &RemotePath, account: &Account) -> Vec<String> {
    let mut findings = Vec::new();
    if account.uid == 0 {
        findings.push(format!("{user} is another name for root (uid 0)"));
    }
    if let Expiry::Past(day) = account.expiry {
        findings.push(format!("{user} expired on {}: no key opens it", date(day)));
    }
    if account.password_due {
        findings.push(format!("{user} must change its password before any login, by key too"));
    }
    if account.shell != shell.as_str() {
        findings.push(format!("{user} has the shell {}, not {shell}", account.shell()));
    }
    match account.password {
        Password::Locked => {}
        Password::Set => findings.push(format!("{user} has a password")),
        Password::Empty => findings.push(format!("{user} needs no password")),
        Password::Missing => findings.push(format!("{user} has no entry in /etc/shadow")),
    }
    findings
}

fn open(user: &UserName, shell: &RemotePath, account: &Account) -> Result<Vec<Step>, Defeated> {
    account.user()?;
    if account.uid == 0 {
        return Err(another_root(user));
    }
    if account.password == Password::Missing {
        return Err(Defeated {
            what: format!("{user} has no entry in /etc/shadow"),
            hint: "run pwconv on the host".to_owned(),
        });
    }
    let mut steps = Vec::new();
    let kept_out = matches!(account.expiry, Expiry::Past(_)) || account.password_due;
    if kept_out || account.shell != shell.as_str() {
        let action = AccountAction::Open { user: user.clone(), shell: shell.clone() };
        steps.push(widen(format!("open the account {user}"), action));
    }
    if account.password != Password::Locked {
        steps.push(lock(user.clone().into()));
    }
    Ok(steps)
}

fn another_root(user: &UserName) -> Defeated {
    Defeated {
        what: format!("{user} is declared, and is another name for root (uid 0) on the host"),
        hint: format!("find out who made it, then give it a uid of its own: usermod -u UID {user}"),
    }
}

fn lock(user: FoundName) -> Step {
    Step {
        phase: Phase::Narrow,
        summary: format!("lock the password of {user}"),
        cuts: vec![format!("{user} can no longer use a password, not even on the console")],
        change: Change::Account { action: AccountAction::Lock { user } },
    }
}

fn close(user: FoundName, uid: u32) -> Step {
    // What runs as root is not told apart by the name that root came by.
    let ends = if uid == 0 { "and runs no cron jobs" } else { "runs no cron jobs, and its sessions end" };
    Step {
        phase: Phase::Narrow,
        summary: format!("close the account {user}"),
        cuts: vec![format!("{user} can no longer log in, neither by key nor by password, {ends}")],
        change: Change::Account { action: AccountAction::Close { user } },
    }
}

fn widen(summary: String, action: AccountAction) -> Step {
    Step { phase: Phase::Widen, summary, change: Change::Account { action }, cuts: Vec::new() }
}

/// A day of shadow(5) as a date.
fn date(day: i64) -> String {
    day.checked_mul(86_400)
        .and_then(|second| Timestamp::from_second(second).ok())
        .map_or_else(|| format!("day {day}"), |day| day.to_zoned(jiff::tz::TimeZone::UTC).date().to_string())
}

fn read_accounts(frame: &Frame) -> Reading<Vec<Account>> {
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
