//! What a host is found to be before anything is changed on it, and whether it may be enrolled.

use super::Refusal;
use crate::domain::{Environment, HostName};
use crate::inventory::Identities;
use crate::probe::{self, Facts};
use crate::resource::{Reading, Unread};
use crate::shell::{self, Nonce, Output, Question, Script};
use crate::text::excerpt;

/// Distributions that are supported, by `ID` and `VERSION_ID` of os-release(5).
const SUPPORTED: [&str; 2] = ["debian-12", "debian-13"];

/// Programs that palisade's scripts call on a host. All but the last two belong to packages that Debian calls
/// essential or required; sudo's come with sudo.
const SURVEY: &str = r#"fact() { printf '%s\t%s\n' "$1" "$(printf '%s' "$2" | tr '\n\t' '  ')"; }
if [ -d /run/systemd/system ]; then fact systemd yes; fi
for tool in systemd-run systemctl flock unshare setpriv timeout perl sha256sum base64 stat sync tac cmp getent useradd usermod \
  chage gpasswd visudo sshd; do
  command -v "$tool" >/dev/null || fact missing "$tool"
done
if [ -e /etc/palisade/environment ]; then fact marker "$(head -c 100 /etc/palisade/environment)"; fi
fact end survey
"#;

/// What a host is found to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Survey {
    /// What every look asks.
    pub facts: Facts,
    /// Whether systemd runs it.
    pub systemd: bool,
    /// Programs that are not there.
    pub missing: Vec<String>,
    /// What the environment marker holds, whatever its owner and mode; none where there is no such file.
    pub marker: Option<String>,
}

fn survey_question() -> Question {
    Question { label: "survey", body: Script::new().text(SURVEY).into(), seconds: 20, cap: 16 << 10 }
}

/// Read-only.
pub fn survey_script(nonce: &Nonce) -> Script {
    Script::new().framed(nonce, &[probe::facts_question(), survey_question()])
}

/// The survey in `output`.
pub fn read_survey(nonce: &Nonce, output: &Output) -> Reading<Survey> {
    let facts = probe::read_facts(nonce, output)?;
    let frame = shell::frame(output, nonce, &survey_question())?;
    let text = String::from_utf8_lossy(&frame.stdout);
    let lines: Vec<(&str, &str)> = text.lines().filter_map(|line| line.split_once('\t')).collect();
    if lines.last() != Some(&("end", "survey")) {
        return Err(Unread("the host's survey ends early".to_owned()));
    }
    let all =
        |name: &'static str| lines.iter().filter(move |(word, _)| *word == name).map(|(_, value)| *value);
    Ok(Survey {
        facts,
        systemd: all("systemd").any(|value| value == "yes"),
        missing: all("missing").map(|tool| excerpt(tool, 40)).collect(),
        marker: all("marker").next().map(|marker| excerpt(marker, 40)),
    })
}

/// Whether the machine behind `host` may be enrolled into `environment`. `replace` allows another machine than the one
/// that is enrolled under the name; nothing allows a machine of another environment.
pub fn may_enrol(
    survey: &Survey,
    host: &HostName,
    environment: Environment,
    identities: &Identities,
    replace: bool,
) -> Result<(), Refusal> {
    let facts = &survey.facts;
    if facts.uid != 0 {
        return Err(Refusal::new(
            format!("the account is not root and got no root by sudo (uid {})", facts.uid),
            "give it sudo without a password, or connect as root with --bootstrap-user root",
        ));
    }
    if !SUPPORTED.contains(&facts.distribution.as_str()) {
        return Err(Refusal::new(
            format!("it runs {}, which is not supported", facts.distribution),
            "install Debian 12 or 13 on it",
        ));
    }
    if !survey.systemd {
        return Err(Refusal::new(
            "it does not run under systemd, on whose timers the rollback stands",
            "boot it with systemd as init",
        ));
    }
    if !survey.missing.is_empty() {
        return Err(Refusal::new(
            format!("programs are missing on it: {}", survey.missing.join(", ")),
            "install the packages that they belong to (passwd, sudo, openssh-server, util-linux, coreutils)",
        ));
    }
    if let Some(marker) = &survey.marker
        && marker != environment.as_str()
    {
        return Err(Refusal::new(
            format!("it is marked as a machine of `{marker}` (/etc/palisade/environment), not {environment}"),
            "check the address in the inventory; to move a machine between environments, install it anew",
        ));
    }
    if let Some((other, _)) =
        identities.hosts.iter().find(|(name, known)| *name != host && known.machine_id == facts.machine_id)
    {
        return Err(Refusal::new(
            format!("this machine ({}) is enrolled as {other}", facts.machine_id),
            "check the address in the inventory; if it is a copy, give it a new /etc/machine-id; if it was renamed, \
             `palisade retire` the old name first",
        ));
    }
    if let Some(known) = identities.hosts.get(host)
        && known.machine_id != facts.machine_id
        && !replace
    {
        return Err(Refusal::new(
            format!(
                "another machine ({}) is enrolled under this name; it shows {}",
                known.machine_id, facts.machine_id
            ),
            format!(
                "if it was installed anew, run `palisade enrol` with --replace {host} and its new fingerprint"
            ),
        ));
    }
    if let Some(point) = facts.read_only.first() {
        return Err(Refusal::new(
            format!("{point} is mounted read-only"),
            "remount it for writing, and find out why",
        ));
    }
    if let Some(pending) = &facts.pending {
        return Err(Refusal::new(
            format!("a change is pending on it ({pending})"),
            "wait until it is confirmed or taken back: `palisade status` shows it",
        ));
    }
    Ok(())
}
