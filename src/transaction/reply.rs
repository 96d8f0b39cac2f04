//! What the host's half of a transaction answers: lines that begin with the script's nonce.

use crate::domain::Checked;
use crate::probe::Holder;
use crate::shell::{Exit, Nonce, Output};
use crate::text::{excerpt, visible};

/// The lines of an answer that are ours, as words.
#[derive(Debug, Clone)]
pub struct Replies {
    lines: Vec<Vec<String>>,
    exit: Exit,
    stderr: String,
}

/// Why a host did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct Refused {
    /// One word: `leased`, `pending`, `changed`, `arm`, `invalid`, `late` ...
    pub code: String,
    /// For people.
    pub text: String,
    /// Who holds the host, where that is why.
    pub holder: Option<Box<Holder>>,
}

impl Refused {
    pub(super) fn garbled(what: &str) -> Self {
        Self {
            code: "garbled".to_owned(),
            text: format!("the host's answer is not whole: {what}"),
            holder: None,
        }
    }

    pub(super) fn unverified(what: impl Into<String>) -> Self {
        Self { code: "unverified".to_owned(), text: what.into(), holder: None }
    }

    /// Whether this is a gate that stood in the way before anything was changed, rather than a failure.
    pub fn is_gate(&self) -> bool {
        matches!(
            self.code.as_str(),
            "leased" | "pending" | "installing" | "changed" | "not-enrolled" | "went-back"
        )
    }
}

impl Replies {
    /// The lines that begin with `nonce`. A last line without its end may be cut, and does not count.
    pub fn read(output: &Output, nonce: &Nonce) -> Self {
        let text = String::from_utf8_lossy(&output.stdout);
        let lines = text
            .split_inclusive('\n')
            .filter_map(|line| line.strip_prefix(nonce.as_str())?.strip_prefix(' ')?.strip_suffix('\n'))
            .map(|line| line.split(' ').map(str::to_owned).collect())
            .collect();
        Self { lines, exit: output.exit, stderr: excerpt(&String::from_utf8_lossy(&output.stderr), 300) }
    }

    /// The words after `word id`, which must be answered; else why not.
    pub fn expect(&self, word: &str, id: &impl Checked) -> Result<Vec<String>, Refused> {
        let mut holder = None;
        for line in &self.lines {
            match line.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
                ["refused", code, text @ ..] => {
                    return Err(Refused { code: visible(code), text: visible(&text.join(" ")), holder });
                }
                ["holder", run, left, since, who, "from", from @ ..] => {
                    holder = Some(Box::new(Holder {
                        run: visible(run),
                        who: visible(who),
                        from: visible(&from.join(" ")),
                        since: visible(since),
                        seconds_left: left.parse().unwrap_or(0),
                        pending: None,
                        release: None,
                    }));
                }
                _ => {}
            }
        }
        self.words(word, &id.text()).ok_or_else(|| {
            let how = match self.exit {
                Exit::Status(status) => format!("exit {status}"),
                Exit::Unknown => "no exit status".to_owned(),
            };
            let said = if self.stderr.is_empty() { String::new() } else { format!(": {}", self.stderr) };
            Refused::garbled(&format!("`{word}` was expected; {how}{said}"))
        })
    }

    /// The words after `word subject`, if there is such a line.
    pub fn words(&self, word: &str, subject: &str) -> Option<Vec<String>> {
        self.lines.iter().find_map(|line| match line.as_slice() {
            [first, second, rest @ ..] if first == word && second == subject => Some(rest.to_vec()),
            _ => None,
        })
    }

    /// How the host says that a transaction stands.
    pub fn outcome(&self) -> Option<Outcome> {
        self.outcomes().next()
    }

    /// How the host says that each of several transactions stands.
    pub fn outcomes(&self) -> impl Iterator<Item = Outcome> {
        self.lines.iter().filter_map(|line| {
            match line.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
                ["outcome", "pending", left] => {
                    Some(Outcome::Pending { seconds_left: left.parse().unwrap_or(0) })
                }
                ["outcome", "rollback-failed", ..] => Some(Outcome::RollbackFailed),
                ["outcome", "confirmed", ..] => Some(Outcome::Confirmed),
                ["outcome", "rolled-back", ..] => Some(Outcome::RolledBack),
                ["outcome", "none", ..] => Some(Outcome::None),
                _ => None,
            }
        })
    }
}

/// How a transaction stands on its host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case", tag = "outcome")]
pub enum Outcome {
    /// Armed; the host goes back in so many seconds unless it is confirmed.
    Pending {
        /// Seconds until then.
        seconds_left: i64,
    },
    /// It went back, but something could not be restored.
    RollbackFailed,
    /// Committed.
    Confirmed,
    /// Taken back.
    RolledBack,
    /// The host does not know it.
    None,
}
