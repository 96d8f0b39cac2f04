//! sshd's configuration as directives in the order in which sshd reads them, so that a finding can name the file and
//! line, and so that a directive which sshd never comes to is not taken for one in force. What is in force for
//! somebody, sshd itself says (`sshd -T`); nothing here replaces its word.
//!
//! `sshd_config(5)`: of a keyword's values the first one counts, outside `Match` blocks and, on their own and above
//! those, within the blocks that match. So the first `Match all` that sets a keyword ends the search for it.

use serde::Serialize;

use crate::text::visible;

/// The main file.
pub(crate) const MAIN: &str = "/etc/ssh/sshd_config";
/// Where Debian's main file includes drop-ins from, before its own first directive.
pub(crate) const DROP_INS: &str = "/etc/ssh/sshd_config.d/*.conf";

/// A file's name and its numbered lines.
type Lines<'a> = (&'a str, Vec<(u32, &'a str)>);

/// One line that says something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Directive {
    /// The file.
    pub file: String,
    /// The line, from 1.
    pub line: u32,
    /// The keyword in lower case.
    pub keyword: String,
    /// Its arguments, unquoted.
    pub arguments: Vec<String>,
    /// The `Match` line that it stands under, in lower case; none outside of any.
    pub within: Option<String>,
}

impl Directive {
    /// The arguments, as `sshd -T` writes them.
    pub(crate) fn value(&self) -> String {
        self.arguments.join(" ")
    }

    /// `/etc/ssh/sshd_config:12`.
    pub(crate) fn place(&self) -> String {
        visible(&format!("{}:{}", self.file, self.line))
    }

    /// Whether it stands under `Match all`.
    fn is_for_all(&self) -> bool {
        self.within.as_deref() == Some("all")
    }
}

/// The whole configuration, as far as it was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Config {
    /// In the order in which sshd reads them.
    pub directives: Vec<Directive>,
    /// Where the drop-ins stand among them: none where the main file does not include them, or for some alone.
    pub drop_ins_at: Option<usize>,
}

/// Text for the reader that defines `configuration()`: it says lines `line TAB FILE:NUMBER:TEXT` of the main file and all
/// drop-ins, in sshd's order, then `lines TAB STATUS`.
pub(crate) const QUESTION: &str = include_str!("config.pl");

impl Config {
    /// From the answer to [`question`]; none where it is not whole.
    pub(crate) fn read(text: &str) -> Option<Self> {
        let status = text.lines().find_map(|line| line.strip_prefix("lines\t"))?;
        // grep exits 1 where there is nothing but comments.
        if status != if text.lines().any(|line| line.starts_with("line\t")) { "0" } else { "1" } {
            return None;
        }
        let mut files: Vec<Lines<'_>> = Vec::new();
        for line in text.lines().filter_map(|line| line.strip_prefix("line\t")) {
            let (file, number, rest) = located(line)?;
            match files.last_mut() {
                Some((last, lines)) if *last == file => lines.push((number, rest)),
                _ => files.push((file, vec![(number, rest)])),
            }
        }
        let mut config = Self { directives: Vec::new(), drop_ins_at: None };
        let (main, drop_ins): (Vec<_>, Vec<_>) = files.into_iter().partition(|(file, _)| *file == MAIN);
        for (file, lines) in &main {
            config.add(file, lines, None, Some(&drop_ins));
        }
        Some(config)
    }

    /// The directives of one file; `drop_ins` is what an `Include` of [`DROP_INS`] stands for.
    fn add(
        &mut self,
        file: &str,
        lines: &[(u32, &str)],
        outer: Option<&str>,
        drop_ins: Option<&[Lines<'_>]>,
    ) {
        let mut within = outer.map(str::to_owned);
        for (line, text) in lines {
            let (keyword, mut arguments) = words(text);
            if keyword == "match" {
                within = Some(arguments.join(" ").to_lowercase());
                continue;
            }
            if keyword == "include" {
                arguments.retain(|pattern| {
                    let known = drop_ins.filter(|_| absolute(pattern) == DROP_INS);
                    if known.is_some() && within.is_none() {
                        self.drop_ins_at.get_or_insert(self.directives.len());
                    }
                    for (name, lines) in known.into_iter().flatten() {
                        self.add(name, lines, within.as_deref(), None);
                    }
                    known.is_none()
                });
                if arguments.is_empty() {
                    continue;
                }
            }
            let (file, line, within) = (file.to_owned(), *line, within.clone());
            self.directives.push(Directive { file, line, keyword, arguments, within });
        }
    }

    /// The directives of `keyword` that somebody's connection may come to, and the `Include`s of files that were not
    /// read and that sshd comes to before the matter is settled.
    pub(crate) fn live(&self, keyword: &str) -> Vec<&Directive> {
        let of_matter = |one: &&Directive| one.keyword == keyword || one.keyword == "include";
        let settled = self.directives.iter().position(|one| one.keyword == keyword && one.is_for_all());
        if let Some(last) = settled {
            // Above it only blocks count: what stands outside of any is overruled.
            return self
                .directives
                .iter()
                .take(last + 1)
                .filter(of_matter)
                .filter(|one| one.within.is_some() || one.keyword == "include")
                .collect();
        }
        let mut first = true;
        self.directives
            .iter()
            .filter(of_matter)
            .filter(|one| {
                let outside = one.within.is_none() && one.keyword == keyword;
                !outside || std::mem::take(&mut first)
            })
            .collect()
    }

    /// The directives that sshd comes to before those of a drop-in called `path`, but for a drop-in `besides` it.
    pub(crate) fn before<'a>(
        &'a self,
        path: &'a str,
        besides: &'a str,
    ) -> impl Iterator<Item = &'a Directive> {
        let at = self.drop_ins_at.unwrap_or(self.directives.len());
        self.directives.iter().enumerate().filter_map(move |(place, one)| {
            let earlier = place < at || (one.file != MAIN && one.file.as_str() < path);
            (earlier && one.file != besides && one.file != path).then_some(one)
        })
    }

    /// The directive that most likely gave `keyword` the value `found`: one with that value, else (sshd may write it
    /// in another way) the first that stands outside of `Match` blocks. None is sshd's default.
    pub(crate) fn origin(&self, keyword: &str, found: &str) -> Option<&Directive> {
        let of = |one: &&Directive| one.keyword == keyword;
        let exact = self.directives.iter().filter(of).find(|one| one.value().eq_ignore_ascii_case(found));
        exact.or_else(|| self.directives.iter().filter(of).find(|one| one.within.is_none()))
    }
}

/// `FILE:NUMBER:TEXT` apart. A file's name may hold colons, so the number is the first part that is one.
fn located(line: &str) -> Option<(&str, u32, &str)> {
    let mut from = 0;
    while let Some(colon) = line.get(from..)?.find(':').map(|at| at + from) {
        let rest = line.get(colon + 1..)?;
        if let Some((number, text)) = rest.split_once(':')
            && let Ok(number) = number.parse()
        {
            return Some((line.get(..colon)?, number, text));
        }
        from = colon + 1;
    }
    None
}

/// An `Include`'s pattern is relative to /etc/ssh (`sshd_config(5)`).
fn absolute(pattern: &str) -> String {
    if pattern.starts_with('/') { pattern.to_owned() } else { format!("/etc/ssh/{pattern}") }
}

/// The keyword in lower case, and the arguments: separated by blanks or by one `=`, with double quotes around what
/// holds blanks, up to a comment.
pub(crate) fn words(text: &str) -> (String, Vec<String>) {
    let mut words: Vec<String> = Vec::new();
    let mut word: Option<String> = None;
    let mut quoted = false;
    let mut characters = text.trim().chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '"' => {
                quoted = !quoted;
                word.get_or_insert_default();
            }
            '\\' if matches!(characters.peek(), Some('"' | '\\')) => {
                word.get_or_insert_default().extend(characters.next());
            }
            '#' if !quoted && word.is_none() => break,
            ' ' | '\t' | '\r' if !quoted => words.extend(word.take()),
            '=' if !quoted && words.is_empty() => words.extend(word.take()),
            '=' if !quoted && words.len() == 1 && word.is_none() => {}
            _ => word.get_or_insert_default().push(character),
        }
    }
    words.extend(word);
    let mut words = words.into_iter();
    (words.next().unwrap_or_default().to_lowercase(), words.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(lines: &[&str]) -> Config {
        let mut text = lines.iter().fold(String::new(), |text, line| text + "line\t" + line + "\n");
        text.push_str("lines\t0\n");
        Config::read(&text).unwrap()
    }

    #[test]
    fn keywords_are_read_as_sshd_reads_them() {
        assert_eq!(
            words("PasswordAuthentication=yes"),
            ("passwordauthentication".into(), vec!["yes".into()])
        );
        assert_eq!(words("\"Match\" User bob # why"), ("match".into(), vec!["User".into(), "bob".into()]));
        assert_eq!(
            words("AuthorizedKeysFile = \"/a b\" c"),
            ("authorizedkeysfile".into(), vec!["/a b".into(), "c".into()])
        );
        assert_eq!(words("SetEnv A=b"), ("setenv".into(), vec!["A=b".into()]));
    }

    #[test]
    fn drop_ins_stand_where_they_are_included() {
        let config = config(&[
            "/etc/ssh/sshd_config:3:UsePAM no",
            "/etc/ssh/sshd_config:12:Include /etc/ssh/sshd_config.d/*.conf",
            "/etc/ssh/sshd_config:13:UsePAM yes",
            "/etc/ssh/sshd_config.d/a:b.conf:1:Match User bob",
            "/etc/ssh/sshd_config.d/a:b.conf:2:UsePAM maybe",
        ]);
        let read: Vec<(String, Option<&str>)> = config
            .directives
            .iter()
            .filter(|one| one.keyword == "usepam")
            .map(|one| (one.place(), one.within.as_deref()))
            .collect();
        assert_eq!(config.drop_ins_at, Some(1));
        assert_eq!(
            read,
            [
                ("/etc/ssh/sshd_config:3".to_owned(), None),
                ("/etc/ssh/sshd_config.d/a:b.conf:2".to_owned(), Some("user bob")),
                ("/etc/ssh/sshd_config:13".to_owned(), None),
            ]
        );
    }

    #[test]
    fn match_all_settles_a_keyword() {
        let lines = [
            "/etc/ssh/sshd_config:1:Include /etc/ssh/sshd_config.d/*.conf",
            "/etc/ssh/sshd_config:2:AuthorizedKeysFile /global",
            "/etc/ssh/sshd_config:3:Include /opt/more.conf",
            "/etc/ssh/sshd_config:4:Match Address 192.0.2.1",
            "/etc/ssh/sshd_config:5:AuthorizedKeysFile /late",
            "/etc/ssh/sshd_config.d/00-a.conf:1:AuthorizedKeysFile /ours",
            "/etc/ssh/sshd_config.d/00-a.conf:2:Match all",
            "/etc/ssh/sshd_config.d/00-a.conf:3:AuthorizedKeysFile /ours",
        ];
        let live = |config: &Config| {
            config.live("authorizedkeysfile").iter().map(|one| one.value()).collect::<Vec<_>>()
        };
        assert_eq!(live(&config(&lines)), ["/ours"]);
        assert_eq!(live(&config(&lines[..6])), ["/ours", "/opt/more.conf", "/late"]);
    }

    #[test]
    fn an_answer_without_its_end_is_none() {
        assert_eq!(Config::read("line\t/etc/ssh/sshd_config:1:Port 22\n"), None);
        assert_eq!(Config::read("lines\t2\n"), None);
        assert_eq!(Config::read("lines\t0\n"), None);
        assert!(Config::read("lines\t1\n").is_some());
    }
}
