//! Answers that several programs give one after the other: each line stands behind the name of its section, and a section
//! ends with the exit status of its program.

use super::parts::said;
use super::{Frame, Reading, Unread};

/// The sections of an answer, and the lines between them.
#[derive(Debug, Clone)]
pub struct Sections {
    named: Vec<(String, u32, String)>,
    lines: Vec<String>,
}

impl Sections {
    /// `NAME: LINE` belongs to a section, `NAME exit STATUS` ends it. A line that begins with a path is none of either.
    pub fn read(frame: &Frame) -> Self {
        let text = String::from_utf8_lossy(&frame.stdout);
        let mut sections = Self { named: Vec::new(), lines: Vec::new() };
        let mut body: Vec<&str> = Vec::new();
        for line in text.lines() {
            let ends = line.split_once(" exit ").filter(|(name, _)| !name.contains(':'));
            if let Some((name, status)) = ends.and_then(|(name, status)| Some((name, status.parse().ok()?))) {
                sections.named.push((name.to_owned(), status, body.join("\n")));
                body.clear();
            } else if let Some((_, rest)) = line.split_once(": ").filter(|_| !line.starts_with('/')) {
                body.push(rest);
            } else {
                sections.lines.push(line.to_owned());
            }
        }
        sections
    }

    /// The output of the section `name`, the `number`th of that name from 0, if it succeeded.
    pub fn output(&self, frame: &Frame, name: &str, number: usize) -> Reading<&str> {
        match self.named.iter().filter(|(section, ..)| section == name).nth(number) {
            None => Err(Unread(format!("the host did not say its {name}{}", said(&frame.stderr)))),
            Some((_, 0, body)) => Ok(body),
            Some((_, status, _)) => {
                Err(Unread(format!("asking for {name} failed (exit {status}){}", said(&frame.stderr))))
            }
        }
    }

    /// What stands behind `start` on a line of no section, the first such line.
    pub fn line(&self, start: &str) -> Option<&str> {
        self.lines.iter().find_map(|line| line.strip_prefix(start))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_counts_only_with_its_end_and_a_status_of_zero() {
        let said = "nft is present\nlive: table a\nlive: table b\nlive exit 0\nheld: x\nheld exit 1\nlive exit 0\ntables: t\n";
        let frame = Frame {
            label: String::new(),
            status: 0,
            stdout: said.as_bytes().to_vec(),
            stderr: Vec::new(),
            cut: false,
        };
        let sections = Sections::read(&frame);
        assert_eq!(sections.output(&frame, "live", 0).unwrap(), "table a\ntable b");
        assert_eq!(sections.output(&frame, "live", 1).unwrap(), "");
        assert!(sections.output(&frame, "held", 0).unwrap_err().to_string().contains("exit 1"));
        assert!(sections.output(&frame, "tables", 0).is_err(), "it has no end");
        assert_eq!(sections.line("nft is "), Some("present"));
        assert_eq!(sections.line("fail2ban is "), None);
    }
}
