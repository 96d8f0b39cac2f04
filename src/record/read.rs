//! A record, read back line by line. What cannot be read is an error with its line; nothing is guessed.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{Footer, Header, HostResult, SCHEMA};

/// A run, as its record says.
#[derive(Debug, Clone)]
pub struct RunRecord {
    /// What it was about.
    pub header: Header,
    /// What came of each host, in the order of the record.
    pub hosts: Vec<HostResult>,
    /// How it ended.
    pub end: Footer,
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

/// Reads a record one line at a time, and keeps of it what reports show.
#[derive(Debug, Default)]
pub struct Reader {
    lines: usize,
    header: Option<Header>,
    hosts: Vec<HostResult>,
    end: Option<Footer>,
}

/// A line of a host.
#[derive(Deserialize)]
struct HostLine {
    result: HostResult,
}

impl Reader {
    /// Takes the next line.
    pub fn line(&mut self, text: &str) -> Result<(), Damaged> {
        self.lines += 1;
        let line = self.lines;
        let wrong = |why: String| Damaged::Line { line, why };
        if self.end.is_some() {
            return Err(wrong("it stands behind the end".to_owned()));
        }
        let entry: Value = serde_json::from_str(text).map_err(|error| wrong(error.to_string()))?;
        let name = entry.get("entry").and_then(Value::as_str).unwrap_or_default().to_owned();
        match (name.as_str(), self.header.is_some()) {
            ("run", false) => {
                let header: Header = read(entry).map_err(wrong)?;
                if header.schema > SCHEMA {
                    let why = format!("its format is {}, and this palisade reads {SCHEMA}", header.schema);
                    return Err(wrong(why));
                }
                self.header = Some(header);
            }
            (_, false) => return Err(Damaged::NoBeginning),
            ("run", true) => return Err(wrong("a second beginning".to_owned())),
            // an enrolment's hosts are of another form
            ("host", true) if self.header.as_ref().is_some_and(|header| header.verb == "enrol") => {}
            ("host", true) => self.hosts.push(read::<HostLine>(entry).map_err(wrong)?.result),
            ("end", true) => self.end = Some(read(entry).map_err(wrong)?),
            ("", true) => return Err(wrong("it does not say what it is".to_owned())),
            // what was wanted and answered, and what else a verb keeps
            (_, true) => {}
        }
        Ok(())
    }

    /// The record, once all lines were taken.
    pub fn end(self) -> Result<RunRecord, Damaged> {
        let header = self.header.ok_or(Damaged::NoBeginning)?;
        let end = self.end.ok_or(Damaged::NoEnd)?;
        Ok(RunRecord { header, hosts: self.hosts, end })
    }
}

fn read<T: DeserializeOwned>(entry: Value) -> Result<T, String> {
    serde_json::from_value(entry).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUN: &str = r#"{"entry":"run","schema":1,"run":"20261128t220000123z-1a2b3c4d","tool":"0.1.0","verb":"audit","environment":"prod","by":null,"from":"laptop","began":"2026-11-28T22:00:00Z","inputs":{},"hosts":[]}"#;
    const END: &str = r#"{"entry":"end","ended":"2026-11-28T22:00:01Z","exit":0,"summary":{}}"#;

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
        assert!(whole.hosts.is_empty() && whole.header.controls.is_empty() && !whole.end.interrupted);
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
