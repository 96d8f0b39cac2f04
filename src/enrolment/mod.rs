//! First contact with a host, as far as it can be decided without touching one: whether its key may be trusted,
//! whether the machine may be enrolled, what is put on it, and how its rollback is rehearsed. Nothing here connects;
//! `fleet` does, and nothing unknown, changed or revoked is ever accepted without a fingerprint from a person.

mod fingerprints;
mod identity;
mod refusal;
mod survey;
mod trust;

use crate::domain::{Comment, Environment, Mode, PublicKey, UserName};
use crate::resource::{Change, FileContent, FileState, Phase, Step};
use crate::shell::{self, Arg, Nonce, Output, Question, Script};
use crate::text::{Malformed, excerpt};
use crate::transaction::{RECOVER_SCRIPT, RECOVER_UNIT};

pub use fingerprints::parse_fingerprints;
pub use identity::identity_mismatch;
pub use refusal::Refusal;
pub use survey::{Survey, may_enrol, read_survey, survey_script};
pub use trust::{Trust, trust};

const INSTALL: &str = include_str!("install.sh");

const REHEARSAL: &str = "/var/lib/palisade/rehearsal";
const BEFORE: &str = "as before: palisade changes this line at enrolment, and sees the host bring it back";
const AFTER: &str = "changed: the host brings the other line back by itself";

/// The person who enrols, and who connects from then on.
#[derive(Debug, Clone)]
pub struct Newcomer {
    /// The account.
    pub user: UserName,
    /// For the account's comment field.
    pub comment: Comment,
    /// The keys that open it.
    pub keys: Vec<PublicKey>,
}

/// What a host needs so that it can be changed safely; with `newcomer`, the account, keys and sudo of that person too.
/// Apply moves the keys to where it keeps them.
pub fn install_script(nonce: &Nonce, environment: Environment, newcomer: Option<&Newcomer>) -> Script {
    Script::new().framed(nonce, &[install_question(environment, newcomer)])
}

fn install_question(environment: Environment, newcomer: Option<&Newcomer>) -> Question {
    let text = |text: &str| Arg::lossy(text.trim_end_matches('\n'));
    let mut body = Script::new().text(INSTALL).text("begin");
    if let Some(newcomer) = newcomer {
        body = body.call("person", [Arg::from(&newcomer.user), Arg::from(&newcomer.comment)]);
        for key in &newcomer.keys {
            body = body.call("key", [Arg::from(key)]);
        }
        body = body.call("sudo_rule", [Arg::from(&newcomer.user)]);
    }
    body = body
        .call("marker", [Arg::from(&environment)])
        .call("recovery", [text(RECOVER_SCRIPT), text(RECOVER_UNIT)])
        .call("rehearsal", [Arg::word(BEFORE)])
        .text("say end install");
    Question { label: "install", body: body.into(), seconds: 90, cap: 64 << 10 }
}

/// What the installation changed; empty where everything was there. An error says what failed on the host.
pub fn installed(
    nonce: &Nonce,
    output: &Output,
    environment: Environment,
    newcomer: Option<&Newcomer>,
) -> Result<Vec<String>, String> {
    let frame = shell::frame(output, nonce, &install_question(environment, newcomer))
        .map_err(|error| error.to_string())?;
    let text = String::from_utf8_lossy(&frame.stdout);
    let lines: Vec<(&str, &str)> = text.lines().filter_map(|line| line.split_once('\t')).collect();
    if let Some((_, why)) = lines.iter().find(|(word, _)| *word == "failed") {
        return Err(excerpt(why, 400));
    }
    if frame.status != 0 || lines.last() != Some(&("end", "install")) {
        let said = excerpt(&String::from_utf8_lossy(&frame.stderr), 300);
        return Err(format!("the installation ended early (exit {}): {said}", frame.status));
    }
    Ok(lines.iter().filter(|(word, _)| *word == "changed").map(|(_, what)| excerpt(what, 120)).collect())
}

/// The harmless change whose rollback is fired for real.
pub fn rehearsal_step() -> Result<Step, Malformed> {
    let with = |line: &str| -> Result<FileState, Malformed> {
        Ok(FileState::Present(FileContent {
            content: format!("{line}\n"),
            mode: Mode::PRIVATE,
            owner: UserName::root(),
            group: crate::domain::GroupName::root(),
        }))
    };
    Ok(Step {
        phase: Phase::Widen,
        summary: "change a line that means nothing, to see the host bring it back".to_owned(),
        change: Change::File { path: REHEARSAL.parse()?, before: with(BEFORE)?, after: with(AFTER)? },
        cuts: Vec::new(),
    })
}

/// Asks how the line stands.
pub fn rehearsal_question() -> Question {
    Question {
        label: "rehearsal",
        body: Script::new().text("cat /var/lib/palisade/rehearsal").into(),
        seconds: 10,
        cap: 4096,
    }
}

/// How the rehearsed line stands on a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rehearsed {
    /// As before the change.
    Before,
    /// Changed.
    After,
}

/// How the line stands, if the host says so.
pub fn rehearsed(nonce: &Nonce, output: &Output) -> Result<Rehearsed, String> {
    let frame = shell::frame(output, nonce, &rehearsal_question()).map_err(|error| error.to_string())?;
    match String::from_utf8_lossy(&frame.stdout).trim_end_matches('\n') {
        BEFORE => Ok(Rehearsed::Before),
        AFTER => Ok(Rehearsed::After),
        other => Err(format!("{REHEARSAL} holds neither line: {}", excerpt(other, 80))),
    }
}

#[cfg(test)]
mod tests;
