//! The lines of a sudoers file (sudoers(5)), told apart by what they do. What is not known to be harmless is a rule.

use std::ops::Range;

/// A line with its continuations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line<'a> {
    /// Where it begins, from 1.
    pub(super) number: usize,
    /// Which of the file's lines it takes, from 0.
    pub(super) lines: Range<usize>,
    /// Its text on one line, without comment.
    pub(super) text: String,
    /// What it does.
    pub(super) kind: LineKind<'a>,
}

/// What a line does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LineKind<'a> {
    /// Sets options.
    Defaults,
    /// Names users, commands, hosts.
    Alias,
    /// Reads another file there and then.
    Include(&'a str),
    /// Reads all files of a directory there and then, in the order of their names.
    IncludeDirectory(&'a str),
    /// Anything else: somebody may do something.
    Rule,
}

/// The lines of `content` that say something.
pub(super) fn lines(content: &str) -> Vec<Line<'_>> {
    let physical: Vec<&str> = content.lines().collect();
    let mut lines = Vec::new();
    let mut at = 0;
    while let Some(first) = physical.get(at) {
        let from = at;
        at += 1;
        if let Some(kind) = include(first) {
            let text = first.trim().to_owned();
            lines.push(Line { number: from + 1, lines: from..at, text, kind });
            continue;
        }
        let (mut text, mut more) = without_comment(first);
        while more {
            let Some(next) = physical.get(at) else { break };
            let (part, further) = without_comment(next);
            text = text.trim_end().to_owned() + " " + part.trim();
            more = further;
            at += 1;
        }
        let text = text.trim().to_owned();
        if !text.is_empty() {
            let kind = kind(&text);
            lines.push(Line { number: from + 1, lines: from..at, text, kind });
        }
    }
    lines
}

fn kind(text: &str) -> LineKind<'static> {
    let word = text.split([' ', '\t']).next().unwrap_or_default();
    let aliases = ["User_Alias", "Runas_Alias", "Host_Alias", "Cmnd_Alias", "Cmd_Alias"];
    if aliases.contains(&word) {
        LineKind::Alias
    } else if word
        .strip_prefix("Defaults")
        .is_some_and(|rest| rest.is_empty() || rest.starts_with(['@', ':', '!', '>']))
    {
        LineKind::Defaults
    } else {
        LineKind::Rule
    }
}

/// `@include FILE`, `#includedir DIRECTORY` and the like.
fn include(line: &str) -> Option<LineKind<'_>> {
    let rest = line.trim_start().strip_prefix(['@', '#'])?;
    let (word, target) = rest.split_once([' ', '\t'])?;
    match word {
        "include" => Some(LineKind::Include(target.trim())),
        "includedir" => Some(LineKind::IncludeDirectory(target.trim())),
        _ => None,
    }
}

/// The line up to its comment, and whether the next one continues it. `#` before a number is a user's or group's id.
fn without_comment(line: &str) -> (String, bool) {
    let mut quoted = false;
    let mut escaped = false;
    for (at, character) in line.char_indices() {
        match character {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => quoted = !quoted,
            '#' if !quoted => {
                let rest = line.get(at + 1..).unwrap_or_default();
                let number = rest.strip_prefix('-').unwrap_or(rest);
                if !number.starts_with(|c: char| c.is_ascii_digit()) {
                    return (line.get(..at).unwrap_or_default().to_owned(), false);
                }
            }
            _ => {}
        }
    }
    let end = line.trim_end_matches([' ', '\t', '\r']);
    match end.strip_suffix('\\') {
        Some(text) => (text.to_owned(), true),
        None => (end.to_owned(), false),
    }
}

/// A rule written in one way: single blanks, and none around what separates.
pub(super) fn canonical(rule: &str) -> String {
    let mut text = String::with_capacity(rule.len());
    let mut escaped = false;
    let separates = |c: char| matches!(c, '=' | '(' | ')' | ':' | ',');
    let mut behind_one = true;
    for character in rule.trim().chars() {
        let blank = matches!(character, ' ' | '\t');
        if escaped {
            text.push(character);
            (escaped, behind_one) = (false, false);
        } else if blank {
            if !behind_one {
                text.push(' ');
            }
            behind_one = true;
        } else {
            if separates(character) && text.ends_with(' ') {
                text.pop();
            }
            text.push(character);
            escaped = character == '\\';
            behind_one = separates(character);
        }
    }
    text
}

/// The parameters of a `Defaults` line, and for whom they are: the text behind `Defaults`, such as `:alice`.
pub(super) fn defaults(text: &str) -> (&str, Vec<&str>) {
    let rest = text.strip_prefix("Defaults").unwrap_or(text);
    // A list of scopes may hold blanks behind its commas.
    let mut end = 0;
    let mut open = !rest.starts_with([' ', '\t']);
    for (at, character) in rest.char_indices() {
        let blank = matches!(character, ' ' | '\t');
        if blank
            && open
            && !rest.get(..at).unwrap_or_default().trim_end().ends_with([',', '@', ':', '!', '>'])
        {
            open = false;
        }
        if !open {
            end = at;
            break;
        }
        end = rest.len();
    }
    let (scope, parameters) = rest.split_at_checked(end).unwrap_or((rest, ""));
    let mut quoted = false;
    let split = parameters.split(|c: char| {
        quoted ^= c == '"';
        c == ',' && !quoted
    });
    (scope.trim(), split.map(str::trim).filter(|one| !one.is_empty()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_told_apart() {
        let content = "# note \\\nDefaults:alice !requiretty\nroot ALL=(ALL:ALL) ALL # \\\n#1000 ALL=(ALL) \\\n  ALL\n\
            #includedir /etc/sudoers.d\n@include local\nUser_Alias OPS = eve,\\  \n mallory\n";
        let found: Vec<(usize, String, LineKind<'_>)> =
            lines(content).into_iter().map(|line| (line.number, canonical(&line.text), line.kind)).collect();
        assert_eq!(
            found,
            [
                (2, "Defaults:alice !requiretty".to_owned(), LineKind::Defaults),
                (3, "root ALL=(ALL:ALL)ALL".to_owned(), LineKind::Rule),
                (4, "#1000 ALL=(ALL)ALL".to_owned(), LineKind::Rule),
                (6, "#includedir /etc/sudoers.d".to_owned(), LineKind::IncludeDirectory("/etc/sudoers.d")),
                (7, "@include local".to_owned(), LineKind::Include("local")),
                (8, "User_Alias OPS=eve,mallory".to_owned(), LineKind::Alias),
            ]
        );
    }

    #[test]
    fn a_rule_written_in_two_ways_is_one() {
        assert_eq!(canonical("root\tALL = ( ALL : ALL )  ALL"), canonical("root ALL=(ALL:ALL) ALL"));
        assert_ne!(canonical("a ALL=/bin/x a \\= b"), canonical("a ALL=/bin/x a\\=b"));
    }

    #[test]
    fn defaults_come_apart() {
        assert_eq!(defaults("Defaults\tenv_reset, !x"), ("", vec!["env_reset", "!x"]));
        assert_eq!(defaults("Defaults:alice, bob  a=\"b,c\",d"), (":alice, bob", vec!["a=\"b,c\"", "d"]));
        assert_eq!(defaults("Defaults!/bin/x noexec"), ("!/bin/x", vec!["noexec"]));
    }

    proptest::proptest! {
        /// Whatever a file holds, each of its lines is told apart once, in order, and none with text in it is left out.
        #[test]
        fn no_file_breaks_the_reader(content in "([ -~\t\r\\\\\"#@:,=\u{1b}é]{0,20}\n|@include ?[a-z\"]{0,4}\n|Defaults[!:@>]?[a-z, \"]{0,9}\n|\\\\\n){0,8}") {
            let found = lines(&content);
            let mut end = 0;
            for line in &found {
                proptest::prop_assert!(line.lines.start >= end && line.number == line.lines.start + 1);
                end = line.lines.end;
                proptest::prop_assert_eq!(canonical(&canonical(&line.text)), canonical(&line.text));
                defaults(&line.text);
            }
            proptest::prop_assert!(end <= content.lines().count());
            let letters = |line: &str| line.split('#').next().is_some_and(|text| text.contains(|c: char| c.is_ascii_alphanumeric()));
            for (at, line) in content.lines().enumerate().filter(|(_, line)| letters(line)) {
                let taken = found.iter().any(|one| one.lines.contains(&at));
                proptest::prop_assert!(taken, "{line:?}");
            }
        }
    }
}
