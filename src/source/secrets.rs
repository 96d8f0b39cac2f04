//! What looks like a secret in a line of text: private keys, and fields that are called after one.

/// How an OpenSSH private key's base64 begins, with or without its armour ("openssh-key-v1").
const KEY_BODY: &str = "b3BlbnNzaC1rZXktdjE";

const SECRET_WORDS: [&str; 12] = [
    "password",
    "passwd",
    "passphrase",
    "secret",
    "token",
    "api_key",
    "apikey",
    "api-key",
    "credential",
    "credentials",
    "private_key",
    "private-key",
];

/// Whether a private key begins in `text`, which need not be YAML.
pub fn holds_private_key(text: &str) -> bool {
    (text.contains("BEGIN") && text.contains("PRIVATE KEY"))
        || text.contains(KEY_BODY)
        || text.contains("PuTTY-User-Key-File")
}

/// Whether a field of this name holds a secret.
pub(super) fn is_secret_name(key: &str) -> bool {
    let key = key.to_lowercase();
    SECRET_WORDS
        .iter()
        .any(|word| key == *word || key.ends_with(&format!("_{word}")) || key.ends_with(&format!("-{word}")))
}

/// `line` of a file with anything that looks like a secret replaced, so that it may be shown. None where it may as it is.
pub(super) fn masked(line: &str) -> Option<String> {
    const NOT_SHOWN: &str = "(not shown)";
    let trimmed = line.trim();
    let is_base64 = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'=');
    if holds_private_key(line) || trimmed.len() >= 40 && trimmed.bytes().all(is_base64) {
        return Some(NOT_SHOWN.to_owned());
    }
    let lower = line.to_lowercase();
    let ends = |at: &usize| {
        lower.get(*at..).is_some_and(|rest| !rest.starts_with(|c: char| c.is_ascii_alphanumeric()))
    };
    let found = SECRET_WORDS.iter().flat_map(|word| lower.match_indices(word).map(|(at, _)| at + word.len()));
    let secret = found.filter(ends).min();
    let colon = secret.and_then(|from| lower.get(from..)?.find(':').map(|at| from + at + 1));
    if let Some(head) = colon.and_then(|colon| line.get(..colon)) {
        return Some(format!("{head} {NOT_SHOWN}"));
    }
    let (head, rest) = line.split_once("://")?;
    let (login, tail) = rest.rsplit_once('@')?;
    (!login.contains('/')).then(|| format!("{head}://{NOT_SHOWN}@{tail}"))
}
