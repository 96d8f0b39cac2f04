//! The time zone of a host: where /etc/localtime leads, and what /etc/timezone says where there is one. It only looks: a
//! link is no file that a transaction can put back, and services keep the zone with which they started.

mod declare;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::calendar::Zone;
use crate::resource::{Defeated, Frame, Kind, Question, Reading, Step, Unread, Verdict, parts};
use crate::shell::{Arg, Perl};
use crate::text::visible;

/// Where Debian's tzdata keeps the zones. Other names of a zone are links to it.
const ZONES: &str = "/usr/share/zoneinfo/";

/// The names of the zone that a host without /etc/localtime is in (localtime(5)).
const UTC: [&str; 2] = ["Etc/UTC", "UTC"];

/// The time zone of a host. One per host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TimeZone {
    /// The zone.
    pub zone: Zone,
}

/// What the host says of its time zone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Answer {
    /// The file that /etc/localtime leads to; none where it leads to nothing.
    pub localtime: Option<String>,
    /// The file of the declared zone; none where the host does not know the zone.
    pub declared: Option<String>,
    /// The first line of /etc/timezone; none where there is no such file, as on Debian 13.
    pub timezone: Option<String>,
}

impl Kind for TimeZone {
    type Answer = Answer;

    fn question(all: &[&Self]) -> Question {
        let zones = all.iter().map(|one| Arg::lossy(format!("{ZONES}{}", one.zone.name())));
        let body = Perl::new(include_str!("question.pl")).given("zones", zones).into();
        Question { label: "time-zone", body, seconds: 20, cap: 64 << 10 }
    }

    fn read(all: &[&Self], frame: &Frame) -> Vec<Reading<Answer>> {
        let host = || Ok::<_, Unread>((found(frame, "localtime")?, found(frame, "timezone")?, zones(frame)?));
        let host = host();
        let answer = |one: &&Self| {
            let (localtime, timezone, zones) = host.clone()?;
            let path = format!("{ZONES}{}", one.zone.name());
            let declared = zones.into_iter().find(|(zone, _)| *zone == path);
            let (_, declared) = declared.ok_or_else(|| {
                Unread(format!("the host did not say whether it knows {}", one.zone.name()))
            })?;
            Ok(Answer { localtime, declared, timezone })
        };
        all.iter().map(answer).collect()
    }

    fn judge(&self, answer: &Answer, _now: Timestamp) -> Verdict {
        let wanted = self.zone.name();
        let mut findings = Vec::new();
        match &answer.localtime {
            None if UTC.contains(&wanted) => {}
            None => findings
                .push(format!("/etc/localtime leads to no time zone: the time zone is UTC, not {wanted}")),
            Some(_) if answer.localtime == answer.declared => {}
            Some(place) => findings.push(match place.strip_prefix(ZONES) {
                Some(zone) => format!("the time zone is {}, not {wanted}", visible(zone)),
                None => {
                    format!("/etc/localtime is not a link to {ZONES}{wanted}: the file is {}", visible(place))
                }
            }),
        }
        if answer.declared.is_none() && !findings.is_empty() {
            findings.push(format!("the host does not know {wanted}: tzdata lacks it"));
        }
        if let Some(name) = &answer.timezone
            && name != wanted
            && answer.declared != Some(format!("{ZONES}{name}"))
        {
            findings.push(format!("/etc/timezone says {}, not {wanted}", visible(name)));
        }
        Verdict::from_findings(findings)
    }

    fn remedy(&self, _answer: &Answer) -> Result<Vec<Step>, Defeated> {
        Ok(Vec::new())
    }

    fn name(&self) -> String {
        "time zone".to_owned()
    }
}

/// What the host found under a name: its text, or that there is nothing.
fn found(frame: &Frame, name: &'static str) -> Reading<Option<String>> {
    let part = parts::part(frame, name)?;
    match (part.status, part.text.as_str()) {
        (0, text) => Ok(Some(parts::field(text))),
        (1, "") => Ok(None),
        _ => Err(Unread(format!("the host cannot read its {name}{}", parts::said(&frame.stderr)))),
    }
}

/// The path of each declared zone, and the file that it leads to; none where there is no such path.
fn zones(frame: &Frame) -> Reading<Vec<(String, Option<String>)>> {
    let part = parts::succeeded(frame, "zones")?;
    let zone = |line: &str| {
        let strange = || Unread(format!("the host says of a time zone: {}", parts::line(line)));
        let (zone, place) = line.split_once('\t').ok_or_else(strange)?;
        Ok((parts::field(zone), Some(parts::field(place)).filter(|place| !place.is_empty())))
    };
    part.lines().map(zone).collect()
}
