//! A package that must be installed. It asks dpkg, and never installs anything itself.

mod declare;

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::domain::PackageName;
use crate::resource::{
    Change, Defeated, Frame, Kind, Phase, Question, Reading, Step, Unread, Verdict, parts,
};
use crate::shell::{Arg, Perl};

/// A package that the controls need.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Package {
    /// Its name in the distribution.
    pub name: PackageName,
}

/// What dpkg knows of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Answer {
    /// `db:Status-Status`: `installed`, `config-files`, `half-configured` ...; none where dpkg never heard of it.
    pub status: Option<String>,
    /// The installed version, where there is one.
    pub version: Option<String>,
}

impl Kind for Package {
    type Answer = Answer;

    fn question(all: &[&Self]) -> Question {
        let packages = all.iter().map(|package| Arg::from(&package.name));
        let body = Perl::new(include_str!("question.pl")).given("packages", packages).into();
        Question { label: "package", body, seconds: 20, cap: 1 << 20 }
    }

    fn read(all: &[&Self], frame: &Frame) -> Vec<Reading<Answer>> {
        let text = String::from_utf8_lossy(&frame.stdout);
        // dpkg knows itself: a query that does not say so was not answered by dpkg.
        let answered = text.lines().any(|line| line == "self dpkg")
            && text.lines().any(|line| line == "status 0" || line == "status 1");
        if !answered {
            let why =
                format!("dpkg-query gave no answer (exit {}){}", frame.status, parts::said(&frame.stderr));
            return all.iter().map(|_| Err(Unread(why.clone()))).collect();
        }
        let mut known = BTreeMap::new();
        for line in text.lines() {
            let mut words = line.split(' ');
            if let (Some(name), Some(status), version) = (words.next(), words.next(), words.next()) {
                known.insert(name.to_owned(), (status.to_owned(), version.map(str::to_owned)));
            }
        }
        all.iter()
            .map(|package| {
                Ok(known.get(package.name.as_str()).map_or(
                    Answer { status: None, version: None },
                    |(status, version)| Answer {
                        status: Some(status.clone()),
                        version: version.clone().filter(|version| !version.is_empty()),
                    },
                ))
            })
            .collect()
    }

    fn judge(&self, answer: &Answer, _now: Timestamp) -> Verdict {
        match answer.status.as_deref() {
            Some("installed") => Verdict::compliant(),
            Some(other) => {
                Verdict::Drift { findings: vec![format!("{} is {}", self.name, crate::text::visible(other))] }
            }
            None => Verdict::Drift { findings: vec![format!("{} is not installed", self.name)] },
        }
    }

    fn remedy(&self, answer: &Answer) -> Result<Vec<Step>, Defeated> {
        if answer.status.as_deref() == Some("installed") {
            return Ok(Vec::new());
        }
        Ok(vec![Step {
            phase: Phase::Package,
            summary: format!("install {}", self.name),
            change: Change::Package { name: self.name.clone() },
            cuts: Vec::new(),
        }])
    }

    fn name(&self) -> String {
        format!("package {}", self.name)
    }
}
