//! `mail:` of `inventories/fleet.yaml`: how administrators are written to. It names the password and never says what or where
//! it is, and knows of no way without encryption.

use serde::Serialize;

use crate::domain::{Port, RemotePath, SecretName};
use crate::source::Value;
use crate::text::Malformed;

/// An SMTP server, and the account that is used there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct MailServer {
    /// The name that its certificate bears.
    pub server: String,
    /// Its port.
    pub port: Port,
    /// How the connection is encrypted.
    pub tls: Tls,
    /// From whom mail comes.
    pub from: String,
    /// The account.
    pub user: String,
    /// What its password is called.
    pub password: SecretName,
    /// The certificates that the server's is held against; none for the system's.
    pub ca: Option<RemotePath>,
}

/// How a connection is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Tls {
    /// By the command STARTTLS, without which nothing is sent (RFC 3207).
    Starttls,
    /// From its first byte (RFC 8314).
    Implicit,
}

/// Whether `text` is a name that a certificate may bear.
pub(super) fn is_server_name(text: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
    };
    text.len() <= 253 && text.split('.').all(label)
}

/// The name of a secret, as a file writes it: `secret:NAME`. Where it is taken from is not for a project to say.
pub(super) fn secret(text: &str) -> Option<SecretName> {
    text.strip_prefix("secret:")?.parse().ok()
}

/// The server that stands here.
pub(super) fn server(value: &Value<'_>) -> Option<MailServer> {
    let map = value.map()?;
    let server = map.required("server").and_then(|value| {
        let text = value.text()?;
        value.checked(is_server_name(text).then(|| text.to_owned()).ok_or_else(|| {
            Malformed::new(
                "not a host's name",
                "write the name that its certificate bears, such as smtp.example.com",
            )
        }))
    });
    let tls = match map.field("tls") {
        Some(value) => value.one_of(&[("starttls", Tls::Starttls), ("implicit", Tls::Implicit)]),
        None => Some(Tls::Starttls),
    };
    let usual = if tls == Some(Tls::Implicit) { 465 } else { 587 };
    let port = match map.field("port") {
        Some(value) => value.number(),
        None => Some(usual),
    };
    let from = map.required("from").and_then(|value| mail_address(&value));
    let user = map.required("user").and_then(|value| Some(value.text()?.to_owned()));
    let password = map.required("password").and_then(|value| {
        let text = value.text()?;
        if !text.starts_with("secret:") {
            return None; // refused already, as a secret in a file
        }
        value.checked(secret(text).ok_or_else(|| {
            Malformed::new(
                "not the name of a secret",
                "write secret: and a name of lower-case letters, digits and dashes, such as secret:smtp-password",
            )
        }))
    });
    let ca = match map.field("ca") {
        Some(value) => Some(value.parse::<RemotePath>()?),
        None => None,
    };
    Some(MailServer {
        server: server?,
        port: Port::try_from(port?).ok()?,
        tls: tls?,
        from: from?,
        user: user?,
        password: password?,
        ca,
    })
}

pub(super) fn mail_address(value: &Value<'_>) -> Option<String> {
    let text = value.text()?;
    value.checked(
        is_mail_address(text)
            .then(|| text.to_owned())
            .ok_or_else(|| Malformed::new("not an e-mail address", "write it bare, such as ops@example.com")),
    )
}

/// Whether `text` is an address without a name beside it.
pub(super) fn is_mail_address(text: &str) -> bool {
    text.len() <= 254
        && text.split_once('@').is_some_and(|(local, domain)| {
            !local.is_empty() && !domain.contains('@') && domain.contains('.') && !domain.starts_with('.')
        })
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "@.!#%&'*+/=?^_{|}~-".contains(c))
}
