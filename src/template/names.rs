//! The names that a template uses, held against its context. Tera is strict only where it prints: in a condition a
//! name that does not exist is false, and a typo takes the other branch. Here every name must exist, and statements
//! and calls that could read more than the context, or run without end, are refused.

use std::ops::Range;

use serde_json::Value;

use crate::text::{excerpt, nearest};

/// Something that a template may not do.
pub(super) struct Wrong {
    pub(super) at: Range<usize>,
    pub(super) why: String,
    pub(super) fix: String,
}

/// Words of the language, which name nothing.
const WORDS: [&str; 12] =
    ["and", "or", "not", "in", "is", "if", "else", "true", "false", "none", "True", "False"];
/// Statements that a file's body may need.
const STATEMENTS: [&str; 11] =
    ["if", "elif", "else", "endif", "for", "endfor", "set", "break", "continue", "raw", "endraw"];

/// Everything wrong in `template`, whose names are those of `context`.
pub(super) fn check(template: &str, context: &Value) -> Vec<Wrong> {
    let mut checker = Checker { scopes: vec![vec![]], context, wrong: Vec::new() };
    let mut rest = template;
    let mut raw = false;
    while let Some(open) = rest.find(['{']) {
        let from = template.len() - rest.len() + open;
        let tail = template.get(from..).unwrap_or_default();
        let close = match tail.get(..2) {
            Some("{{") => "}}",
            Some("{%") => "%}",
            Some("{#") => "#}",
            _ => {
                rest = tail.get(1..).unwrap_or_default();
                continue;
            }
        };
        let Some(length) = end_of(tail, close) else { break };
        let body = tail.get(2..length).unwrap_or_default();
        let trimmed = body.trim_matches(['-', ' ', '\n', '\t', '\r']);
        let at = from + 2 + body.find(trimmed).unwrap_or(0);
        match close {
            "%}" if raw => raw = trimmed != "endraw",
            "%}" => {
                checker.statement(trimmed, at);
                raw = trimmed == "raw";
            }
            "}}" if !raw => checker.expression(trimmed, at),
            _ => {}
        }
        rest = tail.get(length + 2..).unwrap_or_default();
    }
    checker.wrong
}

/// Where `close` stands in `tag` outside quotes.
fn end_of(tag: &str, close: &str) -> Option<usize> {
    let mut quote = None;
    for (at, character) in tag.char_indices() {
        match quote {
            Some(open) => quote = Some(open).filter(|open| *open != character),
            None if close != "#}" && matches!(character, '"' | '\'' | '`') => quote = Some(character),
            None if at > 1 && tag.get(at..).is_some_and(|rest| rest.starts_with(close)) => return Some(at),
            None => {}
        }
    }
    None
}

struct Checker<'c> {
    /// What `for` and `set` name, innermost last. None is known to exist, and no more.
    scopes: Vec<Vec<(String, Option<&'c Value>)>>,
    context: &'c Value,
    wrong: Vec<Wrong>,
}

impl<'c> Checker<'c> {
    fn statement(&mut self, body: &str, at: usize) {
        let word = body.split_whitespace().next().unwrap_or_default();
        let rest = body.get(word.len()..).unwrap_or_default();
        let rest_at = at + word.len();
        match word {
            "for" => self.enter_loop(rest, rest_at),
            "endfor" => {
                self.scopes.pop();
            }
            "set" => {
                let (name, value) = rest.split_once('=').unwrap_or((rest, ""));
                self.expression(value, rest_at + name.len() + 1);
                if let Some(scope) = self.scopes.last_mut() {
                    scope.push((name.trim().to_owned(), None));
                }
            }
            "if" | "elif" => self.expression(rest, rest_at),
            _ if STATEMENTS.contains(&word) => {}
            _ => self.wrong.push(Wrong {
                at: at..at + word.len(),
                why: format!("`{}` in a template of a file on a host", excerpt(word, 40)),
                fix: format!("use one of: {}", STATEMENTS.join(", ")),
            }),
        }
    }

    fn enter_loop(&mut self, rest: &str, at: usize) {
        let Some((names, list)) = rest.split_once(" in ") else { return };
        let list_at = at + names.len() + 4;
        self.expression(list, list_at);
        let list = list.trim();
        let item = self.find(list).ok().flatten().and_then(|found| match found {
            Value::Array(items) => items.first(),
            _ => None,
        });
        if self.find(list).is_err() && !list.starts_with(|c: char| c.is_alphabetic() || c == '_') {
            self.wrong.push(Wrong {
                at: list_at..list_at + list.len(),
                why: "a loop over something else than a list of the context".to_owned(),
                fix: "loop over a list that the context has, so that the loop ends".to_owned(),
            });
        }
        let mut scope = vec![("loop".to_owned(), None)];
        let names: Vec<&str> = names.split(',').map(str::trim).collect();
        let item = item.filter(|_| names.len() == 1);
        scope.extend(names.into_iter().map(|name| (name.to_owned(), item)));
        self.scopes.push(scope);
    }

    /// Every name in `text`, which stands at byte `at` of the template.
    fn expression(&mut self, text: &str, at: usize) {
        let bytes = text.as_bytes();
        let byte = |index: usize| bytes.get(index).copied().unwrap_or(b' ');
        let mut index = 0;
        let mut before = b' ';
        let mut after_is = false;
        while index < bytes.len() {
            let this = byte(index);
            if matches!(this, b'"' | b'\'' | b'`') {
                index += 1;
                while index < bytes.len() && byte(index) != this {
                    index += 1;
                }
            } else if this.is_ascii_alphabetic() || this == b'_' {
                let start = index;
                let part = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
                while part(byte(index))
                    || byte(index) == b'.' && byte(index + 1) != b'.'
                    || byte(index) == b'?' && byte(index + 1) == b'.'
                {
                    index += 1;
                }
                let name = text.get(start..index).unwrap_or_default();
                let next = text.get(index..).unwrap_or_default().trim_start();
                let argument = next.starts_with('=') && !next.starts_with("==");
                let filter_or_test = before == b'|' || after_is;
                let place = at + start..at + index;
                if next.starts_with('(') && !filter_or_test {
                    self.wrong.push(Wrong {
                        at: place,
                        why: format!("a call of `{}`", excerpt(name, 40)),
                        fix: "templates of files call nothing: the context has what they need".to_owned(),
                    });
                } else if !WORDS.contains(&name)
                    && !argument
                    && !filter_or_test
                    && before != b'.'
                    && let Err((why, fix)) = self.find(name)
                {
                    self.wrong.push(Wrong { at: place, why, fix });
                }
                after_is = name == "is" || after_is && name == "not";
                before = b'a';
                continue;
            } else if this.is_ascii_digit() {
                while byte(index).is_ascii_alphanumeric() || byte(index) == b'_' {
                    index += 1;
                }
                before = b'0';
                continue;
            }
            if !this.is_ascii_whitespace() {
                before = this;
                after_is = false;
            }
            index += 1;
        }
    }

    /// What the dotted `path` stands for; none where it exists but is not followed further.
    fn find(&self, path: &str) -> Result<Option<&'c Value>, (String, String)> {
        let mut parts = path.split('.').map(|part| part.trim_end_matches('?'));
        let first = parts.next().unwrap_or_default();
        let local =
            self.scopes.iter().rev().flat_map(|scope| scope.iter().rev()).find(|(name, _)| name == first);
        let mut found = match (local, self.context.get(first)) {
            (Some((_, value)), _) => *value,
            (None, Some(value)) => Some(value),
            (None, None) => return Err(unknown(first, self.context)),
        };
        for part in parts {
            let Some(value) = found else { return Ok(None) };
            found = match value.get(part) {
                Some(inner) => Some(inner),
                None => return Err(unknown(part, value)),
            };
        }
        Ok(found)
    }
}

fn unknown(name: &str, within: &Value) -> (String, String) {
    let known: Vec<&str> =
        within.as_object().map(|map| map.keys().map(String::as_str).collect()).unwrap_or_default();
    let fix = match nearest(name, known.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None if known.is_empty() => "it has no fields".to_owned(),
        None => format!("there is: {}", known.join(", ")),
    };
    (format!("undefined variable `{}`", excerpt(name, 40)), fix)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(template: &str) -> Vec<String> {
        let context = serde_json::json!({"host": "a", "list": [{"name": "b"}], "deep": {"flag": true}});
        check(template, &context).into_iter().map(|wrong| format!("{}; {}", wrong.why, wrong.fix)).collect()
    }

    #[test]
    fn what_exists_is_accepted() {
        let template = "{{ host }} {% if deep.flag and not host == 'x y' %}{% for one in list %}{{ one.name | upper }}\
            {{ loop.index }}{% endfor %}{% endif %}{% set a = list | length %}{{ a }}{# nothing.at_all #}\
            {% raw %}{{ nothing }}{% endraw %}{{ list | join(sep=', ') }}{% if host is starting_with('x') %}{% endif %}";
        assert_eq!(wrong(template), [""; 0]);
    }

    #[test]
    fn a_typo_in_a_condition_is_refused() {
        assert_eq!(wrong("{% if hots %}x{% endif %}"), ["undefined variable `hots`; did you mean `host`?"]);
        assert_eq!(
            wrong("{% if deep.flg %}x{% endif %}"),
            ["undefined variable `flg`; did you mean `flag`?"]
        );
        assert_eq!(wrong("{% for one in list %}{{ one.nam }}{% endfor %}{{ one }}").len(), 2);
        assert_eq!(wrong("{% if host is defined or nothing %}x{% endif %}").len(), 1);
        assert_eq!(wrong("{{ host | default(value=nothing) }}").len(), 1);
    }

    #[test]
    fn what_reads_more_or_never_ends_is_refused() {
        assert_eq!(wrong("{% for i in range(end=1000000000) %}x{% endfor %}").len(), 1);
        assert_eq!(wrong("{% include 'secret' %}").len(), 1);
        assert_eq!(wrong("{% component x() %}{% endcomponent %}").len(), 2);
        assert_eq!(wrong("{{ throw(message='x') }}").len(), 1);
        assert_eq!(wrong("{% for i in [1,2] %}x{% endfor %}").len(), 1);
    }
}
