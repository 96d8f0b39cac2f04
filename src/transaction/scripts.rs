//! The scripts of a transaction: the host's library, and calls into it with quoted arguments.

use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::state::{
    Armed, Ending, Operator, Prepared, Staged, Transaction, Verified, is_sshd_config, is_unit_file, margin,
    rank,
};
use crate::domain::{Digest, Identifier, ReleaseId, TxId};
use crate::kinds::secret::MAC;
use crate::resource::{
    AccountAction, Change, FileContent, FileState, KernelValue, SecretFile, SecretState, UnitState,
};
use crate::shell::{self, Arg, Nonce, Question, Script};

const LIBRARY: &str = concat!(
    include_str!("host.sh"),
    include_str!("kernel.sh"),
    include_str!("secret.sh"),
    "\n",
    include_str!("rollback.sh")
);

/// What the recovery unit runs at boot: the pending transaction's own rollback.
pub const RECOVER_SCRIPT: &str = include_str!("recover.sh");

/// Takes back, at boot and before the firewall and sshd, what was armed when the host went down.
pub const RECOVER_UNIT: &str = include_str!("palisade-recover.service");

/// The writer with what it stands behind, as one program.
static WRITER: LazyLock<String> =
    LazyLock::new(|| shell::reader_with(&["package reader;\n", MAC, include_str!("writer.pl")].concat()));

fn library(script: Script) -> Script {
    script.set("palisade_writer_text", Arg::word(&WRITER)).text(LIBRARY)
}

fn with_library(nonce: &Nonce) -> Script {
    library(Script::new().set("palisade_nonce", nonce.as_arg()))
}

pub(super) fn arm(tx: &Transaction<Prepared>, nonce: &Nonce) -> Script {
    let timeout = tx.timeout.as_secs();
    // The lease outlives the rollback, so that nobody comes in between the two.
    let lease = timeout.saturating_mul(2).saturating_add(120);
    let operator = &tx.operator;
    let mut script = with_library(nonce).call(
        "palisade_begin",
        [
            Arg::from(&tx.id),
            Arg::from(&operator.run),
            Arg::from(&operator.who),
            Arg::lossy(operator.from.clone()),
            lease.into(),
        ],
    );
    let files: Vec<Arg> = tx
        .changes
        .iter()
        .filter_map(|change| match change {
            Change::File { path, .. } | Change::Secret { path, .. } => Some(Arg::from(path)),
            _ => None,
        })
        .collect();
    if !files.is_empty() {
        script = script.call("palisade_paths", files);
    }
    for (number, change) in tx.changes.iter().enumerate() {
        script = match change {
            Change::Secret { path, before, .. } => {
                let head = [number.into(), Arg::from(path), key(tx, change)];
                script.call("palisade_expect_secret", head.into_iter().chain(seen(before)))
            }
            change => journal(script, number, change),
        };
    }
    if tx.changes.iter().any(|change| matches!(change, Change::File { path, .. } if is_unit_file(path))) {
        script = script.call("palisade_step", [Arg::word("reload-units")]);
    }
    if tx.changes.iter().any(|change| matches!(change, Change::File { path, .. } if is_sshd_config(path))) {
        script = script.call("palisade_step", [Arg::word("reload-sshd")]);
    }
    script
        .call_with_script("palisade_library", [], &library(Script::new()))
        .call("palisade_arm", [timeout.into()])
}

fn journal(script: Script, number: usize, change: &Change) -> Script {
    match change {
        // Packages are never part of a transaction: `fleet` installs them before. Secrets are `arm`'s own.
        Change::Package { .. } | Change::Secret { .. } => script,
        Change::File { path, before, after } => {
            let goes = if matches!(after, FileState::Absent) { "yes" } else { "no" };
            let script = script.set("palisade_goes", Arg::word(goes));
            let script = match before {
                FileState::Absent => script.call("palisade_expect_absent", [number.into(), Arg::from(path)]),
                FileState::Present(FileContent { content, mode, owner, group }) => script.call(
                    "palisade_expect_file",
                    [
                        number.into(),
                        Arg::from(path),
                        Arg::from(&Digest::of(content.as_bytes())),
                        Arg::from(mode),
                        Arg::from(owner),
                        Arg::from(group),
                    ],
                ),
                FileState::Other { .. } => {
                    let kind = if before.is_unread_file() { "file" } else { "link" };
                    script.call("palisade_expect_other", [number.into(), Arg::from(path), Arg::word(kind)])
                }
            };
            match after {
                FileState::Present(FileContent { content, mode, owner, group }) => script.call(
                    "palisade_new_file",
                    [
                        number.into(),
                        Arg::from(mode),
                        Arg::from(owner),
                        Arg::from(group),
                        Arg::lossy(BASE64.encode(content)),
                    ],
                ),
                FileState::Absent | FileState::Other { .. } => script,
            }
        }
        Change::Account { action } => script.call("palisade_account", account(action)),
        Change::Unit { unit, before: UnitState { enabled, active }, .. } => script.call(
            "palisade_expect_unit",
            [Arg::from(unit), Arg::lossy(enabled.clone()), Arg::lossy(active.clone())],
        ),
        Change::Kernel { values } => {
            script.call("palisade_expect_kernel", kernel(values, |value| &value.before))
        }
        Change::Bans => script.text("palisade_expect_bans"),
        Change::Ruleset { before, load } => {
            let digest = match before {
                // `nft -s -t list` as the shell compares it: with exactly one line break at its end.
                Some(text) => Arg::from(&Digest::of(format!("{}\n", text.trim_end_matches('\n')).as_bytes())),
                None => Arg::word("absent"),
            };
            script
                .call("palisade_expect_ruleset", [digest])
                .call("palisade_new_ruleset", [Arg::lossy(load.clone())])
        }
    }
}

/// Each setting with the value of it that is meant.
fn kernel(values: &[KernelValue], value: fn(&KernelValue) -> &String) -> Vec<Arg> {
    values.iter().flat_map(|one| [Arg::from(&one.parameter), Arg::lossy(value(one).clone())]).collect()
}

fn account(action: &AccountAction) -> Vec<Arg> {
    match action {
        AccountAction::Create { user, comment, shell, home } => vec![
            Arg::word("create"),
            Arg::from(user),
            Arg::from(shell),
            Arg::from(home),
            Arg::lossy(comment.clone()),
        ],
        AccountAction::Open { user, shell } => vec![Arg::word("open"), Arg::from(user), Arg::from(shell)],
        AccountAction::Lock { user } => vec![Arg::word("lock"), Arg::from(user)],
        AccountAction::Close { user } => vec![Arg::word("close"), Arg::from(user)],
        AccountAction::Join { user, group } => vec![Arg::word("join"), Arg::from(user), Arg::from(group)],
        AccountAction::Leave { user, group } => vec![Arg::word("leave"), Arg::from(user), Arg::from(group)],
    }
}

pub(super) fn stage(tx: &Transaction<Armed>, nonce: &Nonce, staged: &[Question]) -> Script {
    let mut script = with_library(nonce)
        .call("palisade_use", [Arg::from(&tx.id)])
        .text("palisade_mine\npalisade_run_accounts");
    for (number, change) in tx.changes.iter().enumerate() {
        if let Change::Secret { path, before, after, .. } = change {
            let SecretFile { mode, owner, group, .. } = after;
            let value = tx.value(change).map(|value| BASE64.encode(value.bytes())).unwrap_or_default();
            let head = [
                number.into(),
                Arg::from(path),
                Arg::from(owner),
                Arg::from(group),
                Arg::from(mode),
                Arg::lossy(value),
                key(tx, change),
            ];
            script = script.call("palisade_stage_secret", head.into_iter().chain(seen(before)));
        }
    }
    script.text("palisade_stage\npalisade_validate\npalisade_done staged\nexec 9>&-").framed(nonce, staged)
}

/// The key by which the host compares a secret's file; nothing in a preview, with which the host begins nothing.
fn key<State>(tx: &Transaction<State>, change: &Change) -> Arg {
    Arg::lossy(tx.value(change).map(|value| value.key().digits()).unwrap_or_default())
}

/// What was seen at a secret's path, as words: none for no file.
fn seen(before: &SecretState) -> Vec<Arg> {
    match before {
        SecretState::Absent => Vec::new(),
        SecretState::Present(SecretFile { mac, mode, owner, group }) => {
            vec![Arg::from(mode), Arg::from(owner), Arg::from(group), Arg::from(mac)]
        }
    }
}

/// `question`, asked of the staged tree: in a mount namespace where /etc/ssh is as it would be. Its first line is
/// `sshd-t ok`, or what `sshd -t` has against it.
pub fn staged_question(id: &TxId, question: &Question) -> Question {
    let inner = Script::new()
        .text("umask 077")
        .set("palisade_this", Arg::from(id))
        .text(". /var/lib/palisade/tx/\"$palisade_this\"/library\npalisade_staged_ssh \"$palisade_this\"")
        .then(&question.body.script(question.cap));
    Question {
        label: "staged",
        body: Script::new()
            .call_with_script("exec unshare -m --propagation private /bin/sh -c", [], &inner)
            .into(),
        seconds: question.seconds.saturating_add(10),
        cap: question.cap,
    }
}

pub(super) fn switch(tx: &Transaction<Staged>, nonce: &Nonce) -> Script {
    let mut script = with_library(nonce)
        .call("palisade_use", [Arg::from(&tx.id)])
        .text("palisade_mine\npalisade_switch_begin");
    let mut units_stale =
        tx.changes.iter().any(|change| matches!(change, Change::File { path, .. } if is_unit_file(path)));
    let mut sshd_stale =
        tx.changes.iter().any(|change| matches!(change, Change::File { path, .. } if is_sshd_config(path)));
    for (number, change) in tx.changes.iter().enumerate() {
        let rank = rank(change);
        if units_stale && rank > 2 {
            units_stale = false;
            script = script.text("palisade_switch_reload_units");
        }
        if sshd_stale && rank > 6 {
            sshd_stale = false;
            script = script.text("palisade_switch_sshd");
        }
        script = match change {
            Change::Package { .. } | Change::Account { .. } => script,
            Change::File { path, after, .. } => {
                let what = if matches!(after, FileState::Absent) { "absent" } else { "present" };
                script.call("palisade_switch_file", [number.into(), Arg::from(path), Arg::word(what)])
            }
            Change::Secret { path, .. } => {
                script.call("palisade_switch_file", [number.into(), Arg::from(path), Arg::word("present")])
            }
            Change::Unit { unit, before, after } => {
                let differs = |from: &str, to: &str| if from == to { "-".to_owned() } else { to.to_owned() };
                script.call(
                    "palisade_switch_unit",
                    [
                        Arg::from(unit),
                        Arg::lossy(differs(&before.enabled, &after.enabled)),
                        Arg::lossy(differs(&before.active, &after.active)),
                    ],
                )
            }
            Change::Kernel { values } => {
                script.call("palisade_switch_kernel", kernel(values, |value| &value.after))
            }
            Change::Bans => script.text("palisade_switch_bans"),
            Change::Ruleset { .. } => script.text("palisade_switch_ruleset"),
        };
    }
    if units_stale {
        script = script.text("palisade_switch_reload_units");
    }
    if sshd_stale {
        script = script.text("palisade_switch_sshd");
    }
    script.text("palisade_switch_end")
}

pub(super) fn confirm(tx: &Transaction<Verified>, ending: Ending<'_>, nonce: &Nonce) -> Script {
    let script = with_library(nonce).call("palisade_confirm", [Arg::from(&tx.id), margin(tx.timeout).into()]);
    if ending.keep_sessions {
        return script;
    }
    // What is committed stays so, whatever becomes of the rest.
    let mut script = script.text("exec 9>&-");
    let closed: Vec<Arg> = tx.closed().map(Arg::from).collect();
    if !closed.is_empty() {
        script = script.call("palisade_end_access", closed);
    }
    let ports = tx.closed_ports(ending);
    if !ports.is_empty() {
        script = script.call("palisade_end_connections", ports.iter().copied().map(Arg::from));
    }
    script
}

/// Takes a transaction back at once, instead of waiting for its timer.
pub fn roll_back(id: &TxId, nonce: &Nonce) -> Script {
    with_library(nonce).call("palisade_rollback", [Arg::from(id), Arg::word("asked")])
}

/// Takes back the pending transaction, or the lease of the run, that `id` names; anything else is refused.
pub fn unlock(id: &Identifier, nonce: &Nonce) -> Script {
    with_library(nonce).call("palisade_unlock", [Arg::from(id)])
}

/// Asks how a transaction stands.
pub fn outcome(id: &TxId, nonce: &Nonce) -> Script {
    with_library(nonce).call("palisade_outcome", [Arg::from(id)])
}

/// Takes back what `run` left pending, and asks how each of its transactions ended.
pub fn settle(run: &Identifier, nonce: &Nonce) -> Script {
    with_library(nonce).call("palisade_settle", [Arg::from(run)])
}

/// Takes the host, or keeps it, for `seconds`: for work on `release`, which is no transaction. Refused where somebody else
/// has it, or where the host's own unit installs another release.
pub fn take_lease(operator: &Operator, release: &ReleaseId, seconds: u32, nonce: &Nonce) -> Script {
    let from = Arg::lossy(operator.from.clone());
    with_library(nonce).call(
        "palisade_hold",
        [Arg::from(&operator.run), Arg::from(&operator.who), from, seconds.into(), Arg::from(release)],
    )
}

/// Gives the host free, where `run` holds it.
pub fn release(run: &Identifier, nonce: &Nonce) -> Script {
    with_library(nonce).call("palisade_release", [Arg::from(run)])
}

/// Takes a transaction back, if it is pending, and says how it stands then.
pub fn roll_back_and_outcome(id: &TxId, nonce: &Nonce) -> Script {
    roll_back(id, nonce).call("palisade_outcome", [Arg::from(id)])
}
