//! Answers of several tools in one frame, each with its name, its exit status and its length, so that a line that was
//! lost on the way makes a part unread and not shorter. It judges nothing. That nothing was changed on the way is SSH's
//! to see to.

use super::{Frame, Reading, Unread};
use crate::text::{excerpt, visible};

/// Shell text that defines `palisade_part NAME COMMAND [ARGUMENT ...]`: what the command says, line by line behind the
/// name, then its exit status and the length of it all in bytes (which `${#}` counts, since scripts run under `LC_ALL=C`).
/// A program is started only for several lines: a look at a host has some thirty parts, most of which are short.
pub(crate) const PART: &str = r#"palisade_newline='
'
palisade_part() {
  palisade_name=$1
  shift
  palisade_out=$("$@")
  palisade_status=$?
  case $palisade_out in
  *"$palisade_newline"*) printf '%s\n' "$palisade_out" | sed "s/^/$palisade_name	/" ;;
  *) printf '%s\t%s\n' "$palisade_name" "$palisade_out" ;;
  esac
  printf 'part\t%s\t%s\t%s\n' "$palisade_name" "$palisade_status" "${#palisade_out}"
}"#;

/// A word of the host's as it was, where the reader wrote it with `field`: %XX is a byte that could end the field.
pub(crate) fn field(text: &str) -> String {
    if !text.contains('%') {
        return text.to_owned();
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('%') {
        bytes.extend_from_slice(before.as_bytes());
        let byte = after.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok());
        bytes.push(byte.unwrap_or(b'%'));
        rest = if byte.is_some() { after.get(2..).unwrap_or_default() } else { after };
    }
    bytes.extend_from_slice(rest.as_bytes());
    String::from_utf8_lossy(&bytes).into_owned()
}

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
    let said = || said(&frame.stderr);
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
    let Some((status, length)) = end.split_once('\t').and_then(|(status, length)| {
        let length: usize = length.parse().ok()?;
        Some((status, length))
    }) else {
        return Err(Unread(format!("the host did not say its {name}{}", said())));
    };
    let status = status
        .parse()
        .map_err(|_| Unread(format!("the host did not say how asking for its {name} ended")))?;
    // The last line's end is ours.
    if body.len() != length.saturating_add(1) {
        return Err(Unread(format!("what the host says of its {name} is not whole{}", said())));
    }
    Ok(Part { status, text: String::from_utf8_lossy(&body).trim_end_matches('\n').to_owned() })
}

/// The same, of a tool that must have succeeded.
pub(crate) fn succeeded(frame: &Frame, name: &'static str) -> Reading<Part> {
    let part = part(frame, name)?;
    if part.status != 0 {
        let why = format!("asking for its {name} failed (exit {}){}", part.status, said(&frame.stderr));
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

/// The first line that a tool wrote to standard error, as the end of a sentence.
pub(crate) fn said(stderr: &[u8]) -> String {
    let text = String::from_utf8_lossy(stderr);
    text.lines()
        .find(|line| !line.trim().is_empty())
        .map_or_else(String::new, |line| format!(": {}", excerpt(line, 200)))
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
    fn a_field_is_what_the_host_had() {
        for (written, was) in
            [("/a b", "/a b"), ("/a%09b%0a%25", "/a\tb\n%"), ("/100%", "/100%"), ("%zz", "%zz")]
        {
            assert_eq!(field(written), was);
        }
    }

    #[test]
    fn a_part_is_whole_or_unread() {
        let whole = "x\ta\nx\tb\npart\tx\t3\t3\ny\tc\n".to_owned();
        let read = part(&frame(&whole), "x").unwrap();
        assert_eq!((read.status, read.text.as_str()), (3, "a\nb"));
        assert!(succeeded(&frame(&whole), "x").is_err());
        for length in ["2", "4", "", "-1", "3\t3"] {
            let other = whole.replace("\t3\t3\n", &format!("\t3\t{length}\n"));
            assert!(part(&frame(&other), "x").is_err(), "{length:?}");
        }
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
