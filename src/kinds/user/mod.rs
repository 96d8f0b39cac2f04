//! Accounts: those that shall be there, those that shall be closed, and every other one that could log in. No password
//! hash is ever read: the host says of each whether it is locked, set, empty or missing, and no more.

mod answer;
pub mod declare;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::domain::{Comment, FoundName, HomePath, RemotePath, UserName};
use crate::resource::{
    AccountAction, Change, Defeated, Frame, Kind, Phase, Question, Reading, Step, Verdict,
};
use crate::shell::Perl;

pub use self::answer::{Account, Answer, Expiry, Password};
use self::answer::{Opening, is_root, read_accounts};

/// What is declared of one account, or of all that are not declared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema, Deserialize)]
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
