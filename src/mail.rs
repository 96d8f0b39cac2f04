//! Mail to administrators, over SMTP with TLS and an account. Nothing is sent without encryption, to a server whose
//! certificate does not bear its name, or without a login; there is no setting that changes this. It decides nothing.
#![expect(clippy::disallowed_methods, reason = "certificates are read here, when they are needed")]

use std::time::Duration;

use jiff::Timestamp;
use lettre::message::header::ContentType;
use lettre::message::{Attachment, Mailbox, MultiPart, SinglePart};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, CertificateStore, Tls as Encryption, TlsParameters};
use lettre::{Message, SmtpTransport, Transport as _};

use crate::inventory::{MailServer, Tls};
use crate::text::{excerpt, visible};

/// For each step of the conversation with a server: RFC 5321 4.5.3.2 gives a server minutes, a person at a terminal less.
const PATIENCE: Duration = Duration::from_mins(1);

/// One mail.
#[derive(Debug, Clone)]
pub struct Mail {
    /// To whom, each bare.
    pub to: Vec<String>,
    /// In one line.
    pub subject: String,
    /// What it says.
    pub text: String,
    /// An iCalendar file that goes with it.
    pub calendar: String,
    /// Its name in the world, without angle brackets.
    pub id: String,
    /// When it is sent.
    pub sent: Timestamp,
}

/// Why a mail was not sent. Never holds the password.
#[derive(Debug, thiserror::Error)]
pub enum MailError {
    /// A certificate could not be read.
    #[error("the certificates in {path} cannot be used: {why}")]
    Certificates {
        /// The file.
        path: String,
        /// Why not.
        why: String,
    },
    /// It is no mail.
    #[error("the mail could not be written: {0}")]
    Unwritten(String),
    /// The server, or the way to it.
    #[error("{server} did not take the mail: {why}")]
    Refused {
        /// The server.
        server: String,
        /// What it said, or what went wrong.
        why: String,
    },
}

/// Sends `mail` to all its recipients at once, and gives what the server answered. Where the server refuses one of them
/// nothing is sent to any.
pub fn send(server: &MailServer, password: &str, mail: &Mail) -> Result<String, MailError> {
    let transport = transport(server, password)?;
    let message = message(server, mail)?;
    let refused = |why: String| MailError::Refused {
        server: format!("{}:{}", server.server, server.port),
        why: excerpt(&visible(&why), 300),
    };
    let response = transport.send(&message).map_err(|error| {
        let causes = std::iter::successors(std::error::Error::source(&error), |cause| cause.source());
        let said: Vec<String> =
            std::iter::once(error.to_string()).chain(causes.map(ToString::to_string)).collect();
        // Each error repeats its cause.
        refused(said.into_iter().max_by_key(String::len).unwrap_or_default())
    })?;
    if !response.is_positive() {
        return Err(refused(response.code().to_string()));
    }
    let lines: Vec<&str> = response.message().collect();
    Ok(excerpt(&visible(&format!("{} {}", response.code(), lines.join(" "))), 300))
}

fn transport(server: &MailServer, password: &str) -> Result<SmtpTransport, MailError> {
    let mut parameters = TlsParameters::builder(server.server.clone());
    if let Some(path) = &server.ca {
        let wrong = |why: String| MailError::Certificates { path: path.to_string(), why };
        let text = std::fs::read(path.as_str()).map_err(|error| wrong(error.to_string()))?;
        let certificate = Certificate::from_pem(&text).map_err(|error| wrong(error.to_string()))?;
        parameters = parameters.certificate_store(CertificateStore::None).add_root_certificate(certificate);
    }
    let parameters = parameters.build_rustls().map_err(|error| MailError::Certificates {
        path: server.ca.as_ref().map_or_else(|| "the system's store".to_owned(), ToString::to_string),
        why: error.to_string(),
    })?;
    let encryption = match server.tls {
        Tls::Starttls => Encryption::Required(parameters),
        Tls::Implicit => Encryption::Wrapper(parameters),
    };
    // The dangerous builder is the one without encryption, which is set here.
    Ok(SmtpTransport::builder_dangerous(&server.server)
        .port(server.port.number())
        .tls(encryption)
        .credentials(Credentials::new(server.user.clone(), password.to_owned()))
        .timeout(Some(PATIENCE))
        .build())
}

fn message(server: &MailServer, mail: &Mail) -> Result<Message, MailError> {
    let unwritten = |why: String| MailError::Unwritten(why);
    let mailbox = |address: &String| {
        let parsed = address.parse().map_err(|error| unwritten(format!("{}: {error}", visible(address))))?;
        Ok(Mailbox::new(None, parsed))
    };
    let mut builder = Message::builder()
        .from(mailbox(&server.from)?)
        .subject(&mail.subject)
        .message_id(Some(format!("<{}>", mail.id)))
        .date(mail.sent.into());
    for address in &mail.to {
        builder = builder.to(mailbox(address)?);
    }
    let kind = ContentType::parse("text/calendar; method=PUBLISH; charset=utf-8")
        .map_err(|error| unwritten(error.to_string()))?;
    let parts = MultiPart::mixed()
        .singlepart(SinglePart::plain(mail.text.clone()))
        .singlepart(Attachment::new("maintenance.ics".to_owned()).body(mail.calendar.clone(), kind));
    builder.multipart(parts).map_err(|error| unwritten(error.to_string()))
}
