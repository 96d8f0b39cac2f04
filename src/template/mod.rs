//! The bodies of files on hosts, from templates. The only user of Tera. A template sees one typed, total context and
//! nothing else: no functions, no includes, no loop over anything but the context's own lists. `check` refuses a name
//! that the context does not have even where Tera would take it for false.

mod names;

use std::collections::BTreeMap;

use serde::Serialize;
use tera::{ErrorKind, Tera};

use crate::domain::TemplateName;
use crate::kinds::lockout::declare::BANS_TEMPLATE;
use crate::kinds::lockout::{BLOCKED_SECONDS, JOURNAL_MATCH};
use crate::kinds::sshd::Algorithms;
use crate::playbook::Origin;
use crate::source::{Refusals, Report, Sources, TextFile};
use crate::text::visible_block;

/// Where a project's templates stand.
pub const DIRECTORY: &str = "templates";

/// The templates that palisade comes with, by their names in [`DIRECTORY`].
pub const BUILTIN: [(&str, &str); 11] = [
    ("sshd.conf.tera", include_str!("../../templates/sshd.conf.tera")),
    ("palisade-firewall.service.tera", include_str!("../../templates/palisade-firewall.service.tera")),
    ("firewall-fallback.nft.tera", include_str!("../../templates/firewall-fallback.nft.tera")),
    ("nftables-dropin.conf.tera", include_str!("../../templates/nftables-dropin.conf.tera")),
    (BANS_TEMPLATE, include_str!("../../templates/bans.nft.tera")),
    ("fail2ban-action.conf.tera", include_str!("../../templates/fail2ban-action.conf.tera")),
    ("fail2ban-filter.conf.tera", include_str!("../../templates/fail2ban-filter.conf.tera")),
    ("fail2ban-jail.local.tera", include_str!("../../templates/fail2ban-jail.local.tera")),
    ("nftables-bans.conf.tera", include_str!("../../templates/nftables-bans.conf.tera")),
    ("sshd-lockout.conf.tera", include_str!("../../templates/sshd-lockout.conf.tera")),
    (NOTICE_TEMPLATE, include_str!("../../templates/notice.txt.tera")),
];

/// The template of the mail that tells administrators of maintenance. It alone sees [`NoticeContext`].
pub const NOTICE_TEMPLATE: &str = "notice.txt.tera";

/// What the notice of a maintenance may use: all of it, always there, often empty.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NoticeContext {
    /// Whose servers they are.
    pub company: String,
    /// `dev`, `test` or `prod`.
    pub environment: String,
    /// The release.
    pub release: String,
    /// When work begins: `Sat 2026-11-28 22:00`.
    pub opens: String,
    /// When it is over at the latest.
    pub closes: String,
    /// The time zone of both.
    pub timezone: String,
    /// The hosts of the environment.
    pub hosts: Vec<String>,
    /// How many packages are replaced, counted for each distribution.
    pub packages: usize,
    /// How many of them come from the security archive.
    pub security: usize,
    /// The services that are restarted.
    pub restarts: Vec<String>,
    /// The packages that ask for a reboot.
    pub reboot: Vec<String>,
    /// Why it does not wait for its turn; often empty.
    pub emergency: String,
}

impl NoticeContext {
    /// A context with something everywhere, against which names are checked.
    pub fn sample() -> Self {
        let one = |text: &str| vec![text.to_owned()];
        Self {
            company: "Example SAS".to_owned(),
            environment: "prod".to_owned(),
            release: "2026-11-28".to_owned(),
            opens: "Sat 2026-11-28 22:00".to_owned(),
            closes: "Sun 2026-11-29 02:00".to_owned(),
            timezone: "Europe/Paris".to_owned(),
            hosts: one("web-1"),
            packages: 12,
            security: 3,
            restarts: one("nginx.service"),
            reboot: one("linux-image-6.1.0-30-amd64"),
            emergency: "a reason".to_owned(),
        }
    }
}

/// What every template of a file on a host may use: all of it, always there, often empty.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HostContext {
    /// The host's name.
    pub host: String,
    /// `dev`, `test` or `prod`.
    pub environment: String,
    /// `debian-12`, as found at enrolment.
    pub distribution: String,
    /// Where sshd listens.
    pub ssh_port: u16,
    /// From where it is managed over IPv4: networks, none within another.
    pub management4: Vec<String>,
    /// The same for IPv6.
    pub management6: Vec<String>,
    /// After how many failed attempts an address is blocked.
    pub failed_attempts: u32,
    /// For how long failures are remembered, and an address is blocked, in seconds.
    pub blocked_seconds: u32,
    /// What fail2ban reads of the journal, as its `journalmatch` takes it.
    pub journal_match: &'static str,
    /// Every declared account of the host, in order.
    pub accounts: Vec<String>,
    /// The SSH ports of the hosts that are reached through this one, each as `address:port`, IPv6 in brackets.
    pub forward_to: Vec<String>,
    /// The algorithms that this host's sshd may use, best first.
    pub algorithms: Algorithms,
}

impl HostContext {
    /// A context with something everywhere, against which names are checked.
    pub fn sample() -> Self {
        let one = |text: &str| vec![text.to_owned()];
        Self {
            host: "web-1".to_owned(),
            environment: "prod".to_owned(),
            distribution: "debian-12".to_owned(),
            ssh_port: 22,
            management4: one("198.51.100.10"),
            management6: one("2001:db8::10"),
            failed_attempts: 5,
            blocked_seconds: BLOCKED_SECONDS,
            journal_match: JOURNAL_MATCH,
            accounts: one("alice"),
            forward_to: one("10.20.0.5:22"),
            algorithms: Algorithms::of("debian-12"),
        }
    }
}

/// Why a template gave no text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// There is none of this name.
    #[error("there is no template `{0}` in templates/, and none is built in")]
    Missing(TemplateName),
    /// The name is none.
    #[error("{0}")]
    Unnamed(String),
    /// It cannot be rendered.
    #[error("template `{name}`: {why}")]
    Failed {
        /// The template.
        name: TemplateName,
        /// What Tera says, made visible.
        why: String,
    },
}

/// A [`HostContext`] as templates take it, or why it is none.
#[derive(Debug)]
pub struct Context(Result<tera::Context, String>);

/// All templates, parsed.
#[derive(Clone)]
pub struct Templates {
    tera: Tera,
    origins: BTreeMap<TemplateName, Origin>,
}

impl std::fmt::Debug for Templates {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Templates").field("origins", &self.origins).finish_non_exhaustive()
    }
}

impl Templates {
    /// The project's templates, with the built-in ones where it has none of the same name. Each is parsed, and its
    /// names are held against [`HostContext`].
    pub fn read(sources: &Sources) -> Result<Self, Refusals> {
        let report = Report::new();
        let mut files: BTreeMap<&str, &[u8]> =
            BUILTIN.iter().map(|(name, text)| (*name, text.as_bytes())).collect();
        for (name, bytes) in sources.in_directory(DIRECTORY) {
            files.insert(name, bytes);
        }
        let of_hosts = serde_json::to_value(HostContext::sample()).unwrap_or_default();
        let of_notices = serde_json::to_value(NoticeContext::sample()).unwrap_or_default();
        let mut templates = Self { tera: engine(), origins: BTreeMap::new() };
        for (name, bytes) in files {
            let path = format!("{DIRECTORY}/{name}");
            let checked = match name.parse::<TemplateName>() {
                Ok(checked) => checked,
                Err(error) => {
                    report.whole(&path, &error.why, &error.fix);
                    continue;
                }
            };
            let Some(file) = TextFile::read(&path, bytes, &report) else { continue };
            let context = if name == NOTICE_TEMPLATE { &of_notices } else { &of_hosts };
            for wrong in names::check(file.text(), context) {
                file.refuse(wrong.at, &wrong.why, &wrong.fix, &report);
            }
            if let Err(error) = engine().add_raw_template(name, file.text()) {
                refuse_error(&file, &error, &report);
                continue;
            }
            // The same text was accepted by an engine of the same kind just above.
            let _ = templates.tera.add_raw_template(name, file.text());
            let origin = match BUILTIN.iter().find(|(builtin, _)| *builtin == name) {
                None => Origin::Project,
                Some((_, text)) if text.as_bytes() == bytes => Origin::Builtin,
                Some(_) => Origin::Changed,
            };
            templates.origins.insert(checked, origin);
        }
        report.finish(Some(templates))
    }

    /// Whose the template is; none where there is none of this name.
    pub fn origin(&self, name: &TemplateName) -> Option<Origin> {
        self.origins.get(name).copied()
    }

    /// The names of all templates.
    pub fn names(&self) -> impl Iterator<Item = &TemplateName> {
        self.origins.keys()
    }

    /// What all templates of a host may use, made once for all of them.
    pub fn context(context: &HostContext) -> Context {
        Context(tera::Context::from_serialize(context).map_err(|error| error.to_string()))
    }

    /// The text of the mail that tells administrators of maintenance.
    pub fn notice(&self, context: &NoticeContext) -> Result<String, TemplateError> {
        let name =
            NOTICE_TEMPLATE.parse::<TemplateName>().map_err(|error| TemplateError::Unnamed(error.why))?;
        self.render(
            &name,
            &Context(tera::Context::from_serialize(context).map_err(|error| error.to_string())),
        )
    }

    /// The text that `name` gives for `context`.
    pub fn render(&self, name: &TemplateName, context: &Context) -> Result<String, TemplateError> {
        if !self.origins.contains_key(name) {
            return Err(TemplateError::Missing(name.clone()));
        }
        let failed = |why: &str| TemplateError::Failed { name: name.clone(), why: visible_block(why.trim()) };
        let context = context.0.as_ref().map_err(|why| failed(why))?;
        self.tera.render(name.as_str(), context).map_err(|error| failed(&error.to_string()))
    }
}

fn engine() -> Tera {
    let mut tera = Tera::new();
    // Bodies of configuration files: nothing in them is HTML.
    tera.autoescape_on(Vec::<&'static str>::new());
    tera
}

fn refuse_error(file: &TextFile, error: &tera::Error, report: &Report) {
    match error.kind() {
        ErrorKind::SyntaxError(found) | ErrorKind::RenderingError(found) => {
            let why = format!("not a template: {}", visible_block(found.message()));
            file.refuse(
                found.span().range.clone(),
                &why,
                "see https://keats.github.io/tera for the syntax",
                report,
            );
        }
        // Includes and parents that are missing: refused by their statements already.
        _ if !report.is_clean() => {}
        _ => file.refuse(0..0, &visible_block(&error.to_string()), "take it out", report),
    }
}
