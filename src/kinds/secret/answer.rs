//! What a host is asked about its secrets, and what it answers: owner, mode and a keyed digest. Neither the question nor the
//! answer holds a value.

use serde::Serialize;

use super::held::{Held, Secret};
use crate::domain::{Mac, Mode};
use crate::resource::{Frame, Question, Reading, SecretFile, SecretState, Unread, parts};
use crate::shell::{Arg, Perl};
use crate::text::visible;

/// Perl for both sides of a comparison on a host: the question here, and the transaction's writer.
pub const MAC: &str = include_str!("mac.pl");

/// What stands at the path of a secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// A regular file, or nothing.
    Found {
        /// The file, or that there is none.
        state: SecretState,
        /// Whether nobody but root may write any folder above it.
        folder_is_roots: bool,
    },
    /// Something that is not replaced: a folder, a link, a file that is too large. What, with its article.
    Other(String),
}

/// Where no value is held nothing is asked: there is nothing to compare with.
pub(super) fn question(all: &[&Secret]) -> Question {
    let held = all.iter().filter_map(|secret| match &secret.held {
        Held::Read(value) => Some((&secret.path, value)),
        Held::Unread(_) => None,
    });
    let (paths, values): (Vec<_>, Vec<_>) = held.unzip();
    let mut body =
        Perl::new(MAC).then(include_str!("question.pl")).given("paths", paths.into_iter().map(Arg::from));
    // one key for all secrets of a host
    if let Some(value) = values.first() {
        body = body.unseen("mac-key", Arg::lossy(value.key().digits()));
    }
    Question { label: "secret", body: body.into(), seconds: 20, cap: 1 << 20 }
}

pub(super) fn read(all: &[&Secret], frame: &Frame) -> Vec<Reading<Answer>> {
    let text = String::from_utf8_lossy(&frame.stdout);
    all.iter().map(|secret| one(secret, &text, frame)).collect()
}

fn one(secret: &Secret, text: &str, frame: &Frame) -> Reading<Answer> {
    if let Held::Unread(why) = &secret.held {
        return Err(Unread(why.clone()));
    }
    let path = &secret.path;
    let about = text.lines().filter_map(|line| line.split_once('\t'));
    let mut about = about.filter(|(name, _)| parts::field(name) == path.as_str());
    match (about.next(), about.next()) {
        (Some((_, rest)), None) => {
            answer(rest).map_err(|why| Unread(format!("{}: {why}", visible(path.as_str()))))
        }
        (None, _) => {
            let (status, said) = (frame.status, parts::said(&frame.stderr));
            Err(Unread(format!("{path} could not be read (exit {status}){said}")))
        }
        (Some(_), Some(_)) => Err(Unread("the host answered twice about one file".to_owned())),
    }
}

/// The fields behind the path.
fn answer(rest: &str) -> Result<Answer, &'static str> {
    let fields: Vec<&str> = rest.split('\t').collect();
    let folder_is_roots = match fields.first() {
        Some(&"root") => true,
        Some(&"other") => false,
        _ => return Err("the answer does not say who may write the folders above it"),
    };
    let found = |state| Answer::Found { state, folder_is_roots };
    match fields.get(1..).unwrap_or_default() {
        ["absent"] => Ok(found(SecretState::Absent)),
        ["file", mode, owner, group, mac] => {
            let mac = mac.parse::<Mac>().map_err(|_| "the keyed digest is not whole")?;
            let mode: Mode = format!("{mode:0>4}").parse().map_err(|_| "the mode is not octal")?;
            // an account that is gone, or whose name is none that Debian would give
            let (Ok(owner_name), Ok(group_name)) = (owner.parse(), group.parse()) else {
                let whose = visible(&parts::field(&format!("{owner}:{group}")));
                return Ok(Answer::Other(format!("a file of {whose}, which are no usable names")));
            };
            Ok(found(SecretState::Present(SecretFile { mac, mode, owner: owner_name, group: group_name })))
        }
        ["other", kind] => Ok(Answer::Other(format!("a {}", visible(&parts::field(kind))))),
        _ => Err("the answer has not the expected fields"),
    }
}
