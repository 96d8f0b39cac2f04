//! From where a host takes packages: signed sources of known origin, and an apt that insists on signatures. It reads what
//! apt itself makes of its files. What a signed source delivers is its owner's to answer for.

mod declare;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::resource::{Defeated, Frame, Kind, Question, Reading, Step, Unread, Verdict, parts};
use crate::shell::Perl;
use crate::text::visible;

/// The sources of packages. One per host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PackageSources {
    /// The origins that sources may have, as their own signed indexes say it: `Debian`.
    pub origins: Vec<String>,
}

/// What the host says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Answer {
    /// Each source that apt knows.
    pub sources: Vec<Source>,
    /// Lines of source files that are not comments: place and text.
    pub lines: Vec<(String, String)>,
    /// Settings of apt that weaken it.
    pub settings: Vec<String>,
}

/// One source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Source {
    /// The host or folder that it comes from.
    pub site: String,
    /// Which release of it.
    pub release: String,
    /// The origin that its index says; none where there is none, or it was never fetched.
    pub origin: Option<String>,
    /// Where it is declared: `/etc/apt/sources.list:1`.
    pub place: String,
}

/// What makes apt take packages that nobody signed, or signatures that ran out (apt-secure(8), sources.list(5)), in lower
/// case.
const OPTIONS: [&str; 5] =
    ["trusted", "allow-insecure", "allow-weak", "allow-downgrade-to-insecure", "check-valid-until"];

impl Kind for PackageSources {
    type Answer = Answer;

    fn question(_all: &[&Self]) -> Question {
        let body = Perl::new(include_str!("question.pl")).into();
        Question { label: "sources", body, seconds: 20, cap: 1 << 20 }
    }

    fn read(all: &[&Self], frame: &Frame) -> Vec<Reading<Answer>> {
        let reading = answer(frame);
        all.iter().map(|_| reading.clone()).collect()
    }

    fn judge(&self, answer: &Answer, _now: Timestamp) -> Verdict {
        let mut findings = Vec::new();
        for (place, text) in &answer.lines {
            findings.extend(weakens(text).map(|option| {
                format!("{} takes packages without a valid signature: {option}", visible(place))
            }));
        }
        findings.extend(
            answer
                .settings
                .iter()
                .map(|setting| format!("apt takes packages without a valid signature: {setting}")),
        );
        for source in &answer.sources {
            let shown = visible(&format!("{} {} ({})", source.site, source.release, source.place));
            match &source.origin {
                Some(origin) if self.origins.contains(origin) => {}
                Some(origin) => findings.push(format!("{shown} is {}'s, and not declared", visible(origin))),
                None => findings.push(format!("{shown} does not say whose it is, or was never fetched")),
            }
        }
        if !answer.sources.is_empty() {
            return Verdict::from_findings(findings);
        }
        // apt names the sources that it fetched alone: whose the others are is not known.
        let known =
            "apt knows nothing of the sources that its files declare: run `apt-get update` on the host";
        if !answer.lines.iter().any(|(_, text)| declares(text)) {
            findings.push("apt has no source of packages".to_owned());
        } else if findings.is_empty() {
            return Verdict::Unknown { reason: known.to_owned() };
        } else {
            findings.push(known.to_owned());
        }
        Verdict::Drift { findings }
    }

    fn remedy(&self, _answer: &Answer) -> Result<Vec<Step>, Defeated> {
        Ok(Vec::new())
    }

    fn name(&self) -> String {
        "sources of packages".to_owned()
    }
}

/// Whether a line of a source's file declares one, in either form (sources.list(5)).
fn declares(text: &str) -> bool {
    let text = text.trim_start().to_ascii_lowercase();
    text.starts_with("deb ") || text.starts_with("deb\t") || text.starts_with("uris:")
}

/// apt's words for yes and no (apt.conf(5)).
fn is_on(word: &str) -> bool {
    matches!(word.to_ascii_lowercase().as_str(), "yes" | "true" | "with" | "on" | "enable" | "1")
}

/// The option of a line of a source's file that takes its signature's worth: `[trusted=yes]`, `Trusted: yes`.
fn weakens(text: &str) -> Option<String> {
    let lower = text.to_ascii_lowercase();
    let words = lower.split(['[', ']', ' ', '\t']).filter_map(|word| word.split_once('='));
    let field = lower.split_once(':').map(|(name, value)| (name.trim(), value.trim()));
    words.chain(field).find_map(|(name, value)| {
        let known = OPTIONS.contains(&name);
        let weak = if name == "check-valid-until" { !is_on(value) } else { is_on(value) };
        (known && weak).then(|| parts::line(&format!("{name}={value}")))
    })
}

fn answer(frame: &Frame) -> Reading<Answer> {
    let targets = parts::succeeded(frame, "targets")?;
    let lines = parts::succeeded(frame, "lines")?;
    let settings = parts::succeeded(frame, "settings")?;
    if lines.lines().last() != Some("looked") {
        return Err(Unread("the host did not say which sources it has".to_owned()));
    }
    if !settings.lines().any(|line| line.starts_with("APT::Architecture ")) {
        return Err(Unread("apt-config did not say how apt is set".to_owned()));
    }
    let mut sources: Vec<Source> = Vec::new();
    for line in targets.lines() {
        let fields: Vec<&str> = line.split('|').collect();
        let [kind, origin, release, site, place, "end"] = fields.as_slice() else {
            return Err(Unread(format!("apt wrote a line of another form: {}", parts::line(line))));
        };
        let origin = (!origin.is_empty() && !origin.starts_with("$(")).then(|| (*origin).to_owned());
        let source = Source {
            site: (*site).to_owned(),
            release: (*release).to_owned(),
            origin,
            place: (*place).to_owned(),
        };
        if *kind == "Packages" && !sources.contains(&source) {
            sources.push(source);
        }
    }
    let mut file = String::new();
    let mut declared = Vec::new();
    for line in lines.lines() {
        if let Some(path) = line.strip_prefix("file ") {
            path.clone_into(&mut file);
        } else if let Some((number, text)) = line.split_once(':') {
            declared.push((format!("{file}:{number}"), text.to_owned()));
        }
    }
    let settings = settings
        .lines()
        .filter_map(|line| line.trim_end_matches(';').split_once(' '))
        .filter(|(name, value)| {
            let on = is_on(value.trim_matches('"'));
            match *name {
                "APT::Architecture" => false,
                "Acquire::Check-Valid-Until" | "Acquire::Check-Date" => !on,
                _ => on,
            }
        })
        .map(|(name, value)| parts::line(&format!("{name} {value}")))
        .collect();
    Ok(Answer { sources, lines: declared, settings })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_weakens_a_source_is_found_in_both_forms() {
        assert_eq!(weakens("deb [arch=amd64 trusted=yes] file:/srv ./").as_deref(), Some("trusted=yes"));
        assert_eq!(weakens("Allow-Insecure: Yes").as_deref(), Some("allow-insecure=yes"));
        assert_eq!(
            weakens("deb [check-valid-until=no] http://x y main").as_deref(),
            Some("check-valid-until=no")
        );
        assert_eq!(weakens("deb [trusted=no signed-by=/x] http://x y main"), None);
        assert_eq!(weakens("Suites: trusted yes"), None);
    }
}
