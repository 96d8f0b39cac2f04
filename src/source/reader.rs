//! Typed reading of values. Each reader gives the value, or refuses it and gives none, so that reading can go on.

use std::ops::Range;
use std::str::FromStr;
use std::time::Duration;

use super::file::{File, Report};
use super::secrets::is_secret_name;
use super::shape::{Need, Shape, template_syntax};
use super::yaml::{Content, Node};
use crate::text::{Malformed, excerpt, nearest};

/// A value, where it stands, and where refusals of it go.
#[derive(Clone)]
pub struct Value<'d> {
    pub(super) file: &'d File,
    pub(super) node: &'d Node,
    pub(super) key: Option<&'d Range<usize>>,
    pub(super) path: String,
    pub(super) report: &'d Report,
    /// What it should be, where that is declared.
    pub(super) shape: Option<&'static Shape>,
}

/// A mapping whose fields are known.
pub struct Map<'d> {
    value: Value<'d>,
}

impl<'d> Value<'d> {
    /// Refuses it.
    pub fn refuse(&self, why: &str, fix: &str) {
        let Content::Scalar { text, .. } = &self.node.content else {
            let part = self.key.cloned().unwrap_or_else(|| self.node.span.start..self.node.span.start + 1);
            self.report.add(self.file.refusal(part, &self.path, None, why, fix));
            return;
        };
        let mut part = self.node.span.clone();
        if part.is_empty() {
            part = self.key.cloned().unwrap_or(part);
        }
        let shown = Some(excerpt(text, 80)).filter(|text| !text.is_empty() && !self.source().is_empty());
        self.report.add(self.file.refusal(part, &self.path, shown, why, fix));
    }

    /// Refuses the name under which it stands, not what stands there.
    pub fn refuse_key(&self, why: &str, fix: &str) {
        let part = self.key.cloned().unwrap_or_else(|| self.node.span.clone());
        self.report.add(self.file.refusal(part, &self.path, None, why, fix));
    }

    /// The same value, called `name` in refusals instead of by its place in a list.
    #[must_use]
    pub fn called(mut self, name: &str) -> Self {
        self.path = excerpt(name, 60);
        self
    }

    /// How many things were refused so far, here or elsewhere.
    pub fn refused_so_far(&self) -> usize {
        self.report.count()
    }

    /// The field's path: `hosts.web-1.addresses`.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Where it stands: `inventories/prod.yaml:12`.
    pub fn place(&self) -> String {
        let (file, line) = self.stands();
        format!("{file}:{line}")
    }

    /// The file in which it stands, and the line.
    pub fn stands(&self) -> (String, usize) {
        let at = self.key.map_or(self.node.span.start, |key| key.start);
        (self.file.path.clone(), self.file.line_of(at))
    }

    /// Its text in the file.
    pub(super) fn source(&self) -> &str {
        self.file.text.get(self.node.span.clone()).unwrap_or_default()
    }

    /// Whether nothing stands here: an empty value, `~` or `null`.
    pub fn is_nothing(&self) -> bool {
        matches!(&self.node.content, Content::Scalar { text, plain: true } if is_null(text))
    }

    /// Whether it is a mapping.
    pub fn is_map(&self) -> bool {
        matches!(self.node.content, Content::Map(_))
    }

    /// Whether it is a list.
    pub fn is_list(&self) -> bool {
        matches!(self.node.content, Content::List(_))
    }

    /// A mapping with the fields of its shape and no other.
    pub fn map(&self) -> Option<Map<'d>> {
        self.is_declared(|shape| matches!(shape, Shape::Fields(_)));
        let fields = if let Some(Shape::Fields(fields)) = self.shape { *fields } else { &[] };
        let known = || fields.iter().map(|field| field.name);
        let entries = self.entries()?;
        for (key, value) in &entries {
            let refused = is_secret_name(key) && value.is_inline_secret();
            if refused || key == "<<" || known().any(|name| name == key) {
                continue;
            }
            let fix = match nearest(key, known()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("use one of: {}", known().collect::<Vec<_>>().join(", ")),
            };
            value.refuse_key(&format!("unknown field `{}`", excerpt(key, 60)), &fix);
        }
        Some(Map { value: self.clone() })
    }

    /// Holds a reader to the declared shape, in builds with debug assertions: what is read otherwise than it is declared
    /// would be another thing in the schema.
    fn is_declared(&self, as_this: impl Fn(&Shape) -> bool) {
        debug_assert!(self.shape.is_none_or(as_this), "{} is declared as {:?}", self.path, self.shape);
    }

    fn is_inline_secret(&self) -> bool {
        matches!(&self.node.content, Content::Scalar { text, .. }
            if !text.is_empty() && !text.starts_with("secret:"))
    }

    /// A mapping whose keys are names: each name and its value.
    pub fn entries(&self) -> Option<Vec<(String, Value<'d>)>> {
        let Content::Map(entries) = &self.node.content else {
            self.refuse(
                &format!("{} where a mapping is meant", self.what()),
                "write `name: value` lines, indented below the field",
            );
            return None;
        };
        let mut found: Vec<(String, Value<'d>)> = Vec::with_capacity(entries.len());
        for (entry, (key, value)) in entries.iter().zip(self.fields()) {
            if let Some(kind) = guessed(&key).filter(|_| entry.plain) {
                value.refuse_key(
                    &format!("YAML reads this name as {kind}"),
                    &format!("put it in quotes: \"{}\"", excerpt(&key, 40)),
                );
            }
            if !found.iter().any(|(known, _)| *known == key) {
                found.push((key, value));
            }
        }
        Some(found)
    }

    /// The fields of a mapping as they are; none where it is something else.
    pub fn fields(&self) -> Vec<(String, Value<'d>)> {
        let Content::Map(entries) = &self.node.content else { return Vec::new() };
        entries
            .iter()
            .map(|entry| {
                let shown = excerpt(&entry.key, 60);
                let path = if self.path.is_empty() { shown } else { format!("{}.{shown}", self.path) };
                let key = Some(&entry.key_span);
                let shape = self.shape.and_then(|shape| shape.field(&entry.key));
                (
                    entry.key.clone(),
                    Value { file: self.file, node: &entry.value, key, path, report: self.report, shape },
                )
            })
            .collect()
    }

    /// Refuses template and shell syntax anywhere below: data is never a template, and never reaches a shell.
    pub fn refuse_syntax(&self) {
        match &self.node.content {
            Content::Scalar { text, .. } => {
                if let Some(found) = template_syntax(text) {
                    let shown = if found == "`" { "a backtick".to_owned() } else { format!("`{found}`") };
                    self.refuse(
                        &format!("{shown} in a value that is data"),
                        "write the value itself: data is never a template and never reaches a shell",
                    );
                }
            }
            Content::List(_) => self.items().iter().for_each(Self::refuse_syntax),
            Content::Map(_) => self.fields().iter().for_each(|(_, value)| value.refuse_syntax()),
        }
    }

    /// The items of a list.
    pub fn list(&self) -> Option<Vec<Value<'d>>> {
        self.is_declared(|shape| {
            matches!(shape, Shape::List { .. } | Shape::Set { .. } | Shape::OneOrMore { .. })
        });
        if matches!(self.node.content, Content::List(_)) {
            return Some(self.items());
        }
        self.refuse(
            &format!("{} where a list is meant", self.what()),
            "write [one, two], or one `- item` per line",
        );
        None
    }

    pub(super) fn items(&self) -> Vec<Value<'d>> {
        let Content::List(items) = &self.node.content else { return Vec::new() };
        let item = |(index, node)| Value {
            file: self.file,
            node,
            key: None,
            path: format!("{}[{index}]", self.path),
            report: self.report,
            shape: self.shape.and_then(Shape::item),
        };
        items.iter().enumerate().map(item).collect()
    }

    /// Its text, whatever YAML makes of it; none where it is a list or a mapping.
    pub fn scalar(&self) -> Option<&'d str> {
        match &self.node.content {
            Content::Scalar { text, .. } => Some(text),
            _ => None,
        }
    }

    /// Text. What YAML would read as a boolean, a number or nothing must stand in quotes.
    pub fn text(&self) -> Option<&'d str> {
        self.is_declared(|shape| matches!(shape, Shape::Text(_) | Shape::Word(_) | Shape::OneOrMore { .. }));
        let Content::Scalar { text, plain } = &self.node.content else {
            self.refuse(&format!("{} where text is meant", self.what()), "write one value");
            return None;
        };
        if text.trim().is_empty() {
            self.refuse("nothing stands here", "fill it in, or leave the field out");
            return None;
        }
        if let Some(kind) = guessed(text).filter(|_| *plain) {
            let fix = format!("put it in quotes: \"{}\"", excerpt(text, 40));
            self.refuse(&format!("YAML reads this as {kind}, where text is meant"), &fix);
            return None;
        }
        Some(text)
    }

    /// Text of a checked type.
    pub fn parse<T: FromStr<Err = Malformed>>(&self) -> Option<T> {
        let text = self.text()?;
        self.checked(text.parse())
    }

    /// `result`, or its refusal.
    pub fn checked<T>(&self, result: Result<T, Malformed>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(error) => {
                self.refuse(&error.why, &error.fix);
                None
            }
        }
    }

    /// A whole number within the bounds of its shape, written in decimal without quotes.
    pub fn number(&self) -> Option<u32> {
        self.is_declared(|shape| matches!(shape, Shape::Number { .. } | Shape::Version(_)));
        let bounds = match self.shape {
            Some(Shape::Number { least, most }) => *least..=*most,
            // A newer one is refused as such.
            _ => 1..=u32::MAX,
        };
        let expected = format!("write a whole number from {} to {}", bounds.start(), bounds.end());
        let Content::Scalar { text, plain } = &self.node.content else {
            self.refuse(&format!("{} where a number is meant", self.what()), &expected);
            return None;
        };
        let decimal =
            *plain && text.bytes().all(|b| b.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
        match text.parse::<u32>() {
            Ok(number) if decimal && bounds.contains(&number) => Some(number),
            Ok(_) if decimal => {
                self.refuse("the number is out of bounds", &expected);
                None
            }
            _ if !*plain => {
                self.refuse("text where a number is meant", &format!("{expected}, without quotes"));
                None
            }
            _ => {
                self.refuse("not a whole number in decimal", &expected);
                None
            }
        }
    }

    /// `true` or `false`, and nothing else that YAML has had for them.
    pub fn boolean(&self) -> Option<bool> {
        self.is_declared(|shape| matches!(shape, Shape::Boolean));
        match &self.node.content {
            Content::Scalar { text, plain: true } if text == "true" => Some(true),
            Content::Scalar { text, plain: true } if text == "false" => Some(false),
            _ => {
                self.refuse("not a boolean", "write true or false, without quotes");
                None
            }
        }
    }

    /// A day, `2026-11-28`, quoted or not.
    pub fn date(&self) -> Option<jiff::civil::Date> {
        self.is_declared(|shape| matches!(shape, Shape::Day));
        let wrong = || Malformed::new("not a day", "write it as year-month-day, such as 2026-11-28");
        let Content::Scalar { text, .. } = &self.node.content else {
            self.refuse(&format!("{} where a day is meant", self.what()), "write a day such as 2026-11-28");
            return None;
        };
        let shaped = text.len() == 10 && text.bytes().all(|b| b.is_ascii_digit() || b == b'-');
        self.checked(if shaped { text.parse().map_err(|_| wrong()) } else { Err(wrong()) })
    }

    /// A length of time: a whole number and `s`, `min`, `h`, `days` or `weeks`.
    pub fn duration(&self) -> Option<Duration> {
        self.is_declared(|shape| matches!(shape, Shape::Duration));
        let Content::Scalar { text, .. } = &self.node.content else {
            self.refuse(
                &format!("{} where a length of time is meant", self.what()),
                "write 180s, 48h or 4 weeks",
            );
            return None;
        };
        self.checked(duration(text))
    }

    /// One of these words.
    pub fn one_of<T: Copy>(&self, words: &[(&str, T)]) -> Option<T> {
        let same = |declared: &[&str]| declared.iter().eq(words.iter().map(|(word, _)| word));
        self.is_declared(|shape| matches!(shape, Shape::Word(declared) if same(declared)));
        let text = self.text()?;
        if let Some((_, value)) = words.iter().find(|(word, _)| *word == text) {
            return Some(*value);
        }
        let all = words.iter().map(|(word, _)| *word);
        let fix = match nearest(text, all.clone()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("use one of: {}", all.collect::<Vec<_>>().join(", ")),
        };
        self.refuse("not one of the words known here", &fix);
        None
    }

    fn what(&self) -> &'static str {
        match &self.node.content {
            Content::Map(_) => "a mapping",
            Content::List(_) => "a list",
            Content::Scalar { text, plain: true } if is_null(text) => "nothing",
            Content::Scalar { text, plain: true } => guessed(text).unwrap_or("text"),
            Content::Scalar { .. } => "text",
        }
    }
}

impl<'d> Map<'d> {
    /// The mapping itself.
    pub fn value(&self) -> &Value<'d> {
        &self.value
    }

    fn need(&self, name: &str) -> Option<Need> {
        let Some(Shape::Fields(fields)) = self.value.shape else { return None };
        fields.iter().find(|field| field.name == name).map(|field| field.need)
    }

    /// A field that may be left out. One that is there with nothing in it is refused.
    pub fn field(&self, name: &str) -> Option<Value<'d>> {
        debug_assert!(self.value.shape.is_none() || self.need(name).is_some(), "{name} is not declared");
        let (_, value) = self.value.fields().into_iter().find(|(key, _)| key == name)?;
        if value.is_nothing() {
            value.refuse("nothing stands here", "fill it in, or leave the field out");
            return None;
        }
        Some(value)
    }

    /// A field that must be there.
    pub fn required(&self, name: &str) -> Option<Value<'d>> {
        debug_assert!(
            self.value.shape.is_none() || self.need(name) == Some(Need::Always),
            "{name} is not declared as required"
        );
        let fields = self.value.fields();
        if !fields.iter().any(|(key, _)| key == name) {
            // A misspelt one was refused with its name already.
            if !fields.iter().any(|(key, _)| nearest(key, [name]).is_some()) {
                self.value.refuse(&format!("`{name}` is missing"), &format!("add `{name}: …`"));
            }
            return None;
        }
        self.field(name)
    }
}

/// A length of time as people write it: a whole number and `s`, `min`, `h`, `days` or `weeks`.
pub fn duration(text: &str) -> Result<Duration, Malformed> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let seconds = match unit.trim() {
        "s" | "seconds" => Some(1),
        "min" | "minutes" => Some(60),
        "h" | "hours" => Some(3600),
        "d" | "day" | "days" => Some(86_400),
        "week" | "weeks" => Some(7 * 86_400),
        _ => None,
    };
    let total = number.parse::<u32>().ok().zip(seconds).map(|(number, unit)| u64::from(number) * unit);
    total.map(Duration::from_secs).ok_or_else(|| {
        Malformed::new(
            "not a length of time",
            "write a number and a unit: 180s, 10min, 48h, 3 days or 4 weeks",
        )
    })
}

fn is_null(text: &str) -> bool {
    matches!(text, "" | "~" | "null" | "Null" | "NULL")
}

/// What YAML 1.1 or 1.2 takes an unquoted `text` for, where that is not text.
fn guessed(text: &str) -> Option<&'static str> {
    if is_null(text) {
        return Some("nothing");
    }
    if matches!(
        text.to_ascii_lowercase().as_str(),
        "true" | "false" | "yes" | "no" | "on" | "off" | "y" | "n"
    ) {
        return Some("a boolean");
    }
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text).replace('_', "");
    let radix = |prefix: &str, radix: u32| {
        digits
            .strip_prefix(prefix)
            .is_some_and(|rest| !rest.is_empty() && rest.chars().all(|c| c.is_digit(radix)))
    };
    let special = matches!(digits.to_ascii_lowercase().as_str(), ".inf" | ".nan");
    let starts = digits.starts_with(|c: char| c.is_ascii_digit() || c == '.');
    let float = starts && digits.bytes().any(|b| b.is_ascii_digit()) && digits.parse::<f64>().is_ok();
    let sexagesimal = digits.contains(':')
        && digits
            .split(':')
            .all(|part| !part.is_empty() && part.len() <= 2 && part.bytes().all(|b| b.is_ascii_digit()));
    (special || float || sexagesimal || radix("0x", 16) || radix("0o", 8) || radix("0b", 2))
        .then_some("a number")
}
