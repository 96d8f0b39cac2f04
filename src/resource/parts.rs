//! Answers of several tools in one frame, each with its name, its exit status and its digest, so that a line that was
//! lost or changed on the way makes a part unread and not shorter. It judges nothing.

use super::{Frame, Reading, Unread};
use crate::domain::Digest;
use crate::text::{excerpt, visible};

/// Shell text that defines `palisade_part NAME COMMAND [ARGUMENT ...]`: what the command says, line by line behind the
/// name, then its exit status and the digest of it all.
pub(crate) const PART: &str = r#"palisade_part() {
  palisade_name=$1
  shift
  palisade_out=$("$@")
  palisade_status=$?
  palisade_sum=$(printf '%s\n' "$palisade_out" | sha256sum)
  printf '%s\n' "$palisade_out" | sed "s/^/$palisade_name	/"
  printf 'part\t%s\t%s\t%s\n' "$palisade_name" "$palisade_status" "${palisade_sum%% *}"
}"#;

/// One tool's answer, whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Part {
    /// Its exit status.
    pub(crate) status: u32,
    /// What it wrote, without empty lines at its end.
    pub(crate) text: String,
}

impl Part {
    /// Its lines that hold anything.
    pub(crate) fn lines(&self) -> impl Iterator<Item = &str> {
        self.text.lines().filter(|line| !line.trim().is_empty())
    }
}

/// The part called `name`: an error where it is not there exactly once, or not whole.
pub(crate) fn part(frame: &Frame, name: &'static str) -> Reading<Part> {
    let said = || super::package::said(&frame.stderr);
    let mark = format!("{name}\t");
    let (mut body, mut ends) = (Vec::new(), Vec::new());
    let mut rest = frame.stdout.as_slice();
    while !rest.is_empty() {
        let end = memchr::memchr(b'\n', rest).unwrap_or(rest.len());
        let line = rest.get(..end).unwrap_or_default();
        rest = rest.get(end + 1..).unwrap_or_default();
        if let Some(fields) = line.strip_prefix(b"part\t") {
            if let Some(fields) = fields.strip_prefix(mark.as_bytes()) {
                ends.push(String::from_utf8_lossy(fields));
            }
        } else if let Some(said) = line.strip_prefix(mark.as_bytes()) {
            body.extend_from_slice(said);
            body.push(b'\n');
        }
    }
    let [end] = ends.as_slice() else {
        return Err(Unread(format!("the host did not say its {name}{}", said())));
    };
    let Some((status, digest)) = end.split_once('\t').filter(|(_, digest)| !digest.contains('\t')) else {
        return Err(Unread(format!("the host did not say its {name}{}", said())));
    };
    let status = status
        .parse()
        .map_err(|_| Unread(format!("the host did not say how asking for its {name} ended")))?;
    if Digest::of(&body).as_str() != digest {
        return Err(Unread(format!("what the host says of its {name} is not whole{}", said())));
    }
    Ok(Part { status, text: String::from_utf8_lossy(&body).trim_end_matches('\n').to_owned() })
}

/// The same, of a tool that must have succeeded.
pub(crate) fn succeeded(frame: &Frame, name: &'static str) -> Reading<Part> {
    let part = part(frame, name)?;
    if part.status != 0 {
        let why = format!(
            "asking for its {name} failed (exit {}){}",
            part.status,
            super::package::said(&frame.stderr)
        );
        return Err(Unread(why));
    }
    Ok(part)
}

/// `items` for people: the first `most` of them, and how many more there are.
pub(crate) fn listed(items: &[String], most: usize) -> Vec<String> {
    let mut shown: Vec<String> = items.iter().take(most).cloned().collect();
    if items.len() > most {
        shown.push(format!("and {} more", items.len() - most));
    }
    shown
}

/// A line of a tool, for people.
pub(crate) fn line(text: &str) -> String {
    excerpt(&visible(text.trim()), 160)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(stdout: &str) -> Frame {
        Frame { label: "x".into(), status: 0, stdout: stdout.into(), stderr: Vec::new(), cut: false }
    }

    #[test]
    fn a_part_is_whole_or_unread() {
        let digest = Digest::of(b"a\nb\n");
        let whole = format!("x\ta\nx\tb\npart\tx\t3\t{}\ny\tc\n", digest.as_str());
        let read = part(&frame(&whole), "x").unwrap();
        assert_eq!((read.status, read.text.as_str()), (3, "a\nb"));
        assert!(succeeded(&frame(&whole), "x").is_err());
        assert!(part(&frame(&whole), "y").is_err(), "its end is missing");
        for line in whole.lines().filter(|line| line.contains('x')) {
            assert!(
                part(&frame(&whole.replacen(&format!("{line}\n"), "", 1)), "x").is_err(),
                "without {line:?}"
            );
        }
        assert!(part(&frame(&format!("{whole}{whole}")), "x").is_err(), "twice");
    }
}
