//! A record, read back line by line. What cannot be read is an error with its line; nothing is guessed.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Deserialize;

use super::{AsHostEntry, Enrolled, Footer, Header, HostEntry, HostResult, Installed, ReleaseLine, SCHEMA};
use crate::domain::HostName;

/// A run, as its record says; its hosts pass by one after the other.
#[derive(Debug, Clone)]
pub struct RunRecord {
    /// Its beginning.
    pub header: Header,
    /// The release that it installed, if it did.
    pub release: Option<ReleaseLine>,
    /// Its end.
    pub end: Footer,
}

/// What a record has of a host.
#[derive(Debug, Clone, PartialEq)]
pub enum Recorded {
    /// Of an audit, a plan or an apply.
    Judged(Box<HostResult>),
    /// Of the installation of a release.
    Installed(Box<HostResult>, Box<Installed>),
    /// Of an enrolment.
    Enrolled(Box<Enrolled>),
}

impl AsHostEntry for Recorded {
    fn entry(&self) -> HostEntry<'_> {
        match self {
            Self::Judged(result) => HostEntry::Judged(result),
            Self::Installed(result, installed) => HostEntry::Installed(result, installed),
            Self::Enrolled(enrolled) => HostEntry::Enrolled(enrolled),
        }
    }
}

/// Why a record cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Damaged {
    /// A line is no line of a record, or not of this palisade's.
    #[error("line {line}: {why}")]
    Line {
        /// Its number, from 1.
        line: usize,
        /// What is wrong with it.
        why: String,
    },
    /// It has no beginning.
    #[error("it does not begin with the run")]
    NoBeginning,
    /// It has no end: whoever wrote it was stopped, or it was cut.
    #[error("it has no end")]
    NoEnd,
}

/// Reads a record one line at a time, and hands on each host as it comes. It keeps the beginning and the end.
#[derive(Debug, Default)]
pub struct Reader {
    lines: usize,
    header: Option<Header>,
    release: Option<ReleaseLine>,
    /// What was installed on hosts whose outcome has not come yet.
    installed: BTreeMap<HostName, Installed>,
    end: Option<Footer>,
}

/// The name of a line. What else stands in it is passed over.
#[derive(Deserialize)]
struct Named<'a> {
    #[serde(borrow, default)]
    entry: Cow<'a, str>,
}

/// A line of a host.
#[derive(Deserialize)]
struct HostLine<T> {
    result: T,
}

/// A line of what was installed on a host.
#[derive(Deserialize)]
struct InstalledLine {
    host: HostName,
    release: Installed,
}

impl Reader {
    /// Takes the next line. Gives the host whose outcome it is, if it is one.
    pub fn line(&mut self, text: &str) -> Result<Option<Recorded>, Damaged> {
        self.lines += 1;
        let line = self.lines;
        let wrong = |why: String| Damaged::Line { line, why };
        if self.end.is_some() {
            return Err(wrong("it stands behind the end".to_owned()));
        }
        let name: Named<'_> = read(text).map_err(wrong)?;
        let Some(header) = &self.header else {
            if name.entry != "run" {
                return Err(Damaged::NoBeginning);
            }
            let header: Header = read(text).map_err(wrong)?;
            if header.schema > SCHEMA {
                let why = format!("its format is {}, and this palisade reads {SCHEMA}", header.schema);
                return Err(wrong(why));
            }
            self.header = Some(header);
            return Ok(None);
        };
        match name.entry.as_ref() {
            "run" => return Err(wrong("a second beginning".to_owned())),
            "" => return Err(wrong("it does not say what it is".to_owned())),
            "release" => self.release = Some(read(text).map_err(wrong)?),
            "installed" => {
                let InstalledLine { host, release } = read(text).map_err(wrong)?;
                self.installed.insert(host, release);
            }
            "host" => {
                let verb = header.verb.clone();
                return self.host(&verb, text).map(Some).map_err(wrong);
            }
            "end" => self.end = Some(read(text).map_err(wrong)?),
            // what was wanted and answered, and what else a verb keeps
            _ => {}
        }
        Ok(None)
    }

    /// The host of a line of a record of `verb`.
    fn host(&mut self, verb: &str, text: &str) -> Result<Recorded, String> {
        match verb {
            "enrol" => Ok(Recorded::Enrolled(Box::new(read::<HostLine<Enrolled>>(text)?.result))),
            "patch" => {
                let result = read::<HostLine<HostResult>>(text)?.result;
                let installed = self.installed.remove(&result.host);
                let installed =
                    installed.ok_or_else(|| format!("nothing says what was installed on {}", result.host))?;
                Ok(Recorded::Installed(Box::new(result), Box::new(installed)))
            }
            _ => Ok(Recorded::Judged(Box::new(read::<HostLine<HostResult>>(text)?.result))),
        }
    }

    /// The record, once all lines were taken.
    pub fn end(self) -> Result<RunRecord, Damaged> {
        let header = self.header.ok_or(Damaged::NoBeginning)?;
        let end = self.end.ok_or(Damaged::NoEnd)?;
        Ok(RunRecord { header, release: self.release, end })
    }
}

fn read<'t, T: Deserialize<'t>>(text: &'t str) -> Result<T, String> {
    serde_json::from_str(text).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUN: &str = r#"{"entry":"run","schema":1,"run":"20261128t220000123z-1a2b3c4d","tool":"0.1.0","verb":"audit","environment":"prod","by":null,"from":"laptop","began":"2026-11-28T22:00:00Z","inputs":{},"hosts":[]}"#;
    const END: &str = r#"{"entry":"end","ended":"2026-11-28T22:00:01Z","exit":0,"summary":{"hosts":0,"total":0,"evaluated":0,"compliant":0,"drift":0,"unknown":0,"not_applicable":0,"waived":0}}"#;

    fn read(lines: &[&str]) -> Result<RunRecord, String> {
        let mut reader = Reader::default();
        for line in lines {
            reader.line(line).map_err(|why| why.to_string())?;
        }
        reader.end().map_err(|why| why.to_string())
    }

    #[test]
    fn a_record_is_whole_or_says_what_is_wrong() {
        let whole = read(&[RUN, r#"{"entry":"desired","host":"a"}"#, END]).unwrap();
        assert!(whole.release.is_none() && whole.header.controls.is_empty() && !whole.end.interrupted);
        let why = |lines: &[&str]| read(lines).map(drop).unwrap_err();
        assert_eq!(why(&[]), "it does not begin with the run");
        assert_eq!(why(&[END]), "it does not begin with the run");
        assert_eq!(why(&[RUN]), "it has no end");
        assert_eq!(why(&[RUN, RUN]), "line 2: a second beginning");
        assert_eq!(why(&[RUN, END, END]), "line 3: it stands behind the end");
        assert_eq!(why(&[RUN, "{}", END]), "line 2: it does not say what it is");
        let newer = RUN.replace("\"schema\":1", "\"schema\":9");
        assert_eq!(why(&[&newer]), "line 1: its format is 9, and this palisade reads 1");
        let cut = why(&[RUN, r#"{"entry":"host","result":{"host":"a"}}"#]);
        assert!(cut.starts_with("line 2: missing field"), "{cut}");
        let half = why(&[RUN, r#"{"entry":"ho"#]);
        assert!(half.starts_with("line 2: EOF"), "{half}");
    }
}
