//! One entry of a file that says how a kind is broken: what it may hold, and of which resources it makes a part.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::words::{Words, mentioned};
use super::{Break, Circumstances, ROUNDS};

/// An entry, as it stands in the file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Written {
    part: Option<String>,
    file: Option<String>,
    #[serde(default)]
    fields: Vec<String>,
    each: Option<String>,
    first: Option<String>,
    values: Option<BTreeMap<String, String>>,
    #[serde(default)]
    when: BTreeMap<String, Value>,
    #[serde(default)]
    unless: BTreeMap<String, Value>,
    enforced: Option<bool>,
    distribution: Option<Distribution>,
    round: Option<usize>,
    r#break: Option<String>,
    finding: Option<String>,
    verdict: Option<FoundVerdict>,
    mend: Option<String>,
    spared: Option<String>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
enum Distribution {
    #[serde(rename = "debian-12")]
    Debian12,
    #[serde(rename = "debian-13")]
    Debian13,
}

impl Distribution {
    fn as_str(self) -> &'static str {
        match self {
            Self::Debian12 => "debian-12",
            Self::Debian13 => "debian-13",
        }
    }
}

/// What a resource with a broken part may be.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum FoundVerdict {
    Compliant,
    #[default]
    Drift,
    NotApplicable,
    Unknown,
}

impl FoundVerdict {
    fn as_str(self) -> &'static str {
        match self {
            Self::Compliant => "compliant",
            Self::Drift => "drift",
            Self::NotApplicable => "not-applicable",
            Self::Unknown => "unknown",
        }
    }
}

/// An entry, understood.
#[derive(Debug)]
pub(super) struct Entry {
    /// The line at which it begins.
    pub(super) line: u64,
    /// What it shows of the declaration.
    pub(super) fields: Vec<String>,
    over: Over,
    when: BTreeMap<String, Pattern>,
    unless: BTreeMap<String, Pattern>,
    enforced: Option<bool>,
    distribution: Option<Distribution>,
    pub(super) what: What,
}

/// Of which elements an entry makes a part.
#[derive(Debug)]
enum Over {
    /// Of the resource itself.
    Whole,
    /// Of each element of this list or mapping; where there are values, of those that have one.
    Each(String, Option<BTreeMap<String, String>>),
    /// Of the first element of this list.
    First(String),
}

/// What it makes.
#[derive(Debug)]
pub(super) enum What {
    /// A part of this name that is broken.
    Broken(String, Recipe),
    /// A part of this name that is spared, and why.
    Spared(String, String),
    /// The parts of a file at this path.
    File(String),
}

/// How a part is broken, before its words are known.
#[derive(Debug)]
pub(super) struct Recipe {
    round: usize,
    text: &'static str,
    mended: &'static str,
    /// The words that either text uses.
    mentions: Vec<&'static str>,
    finding: String,
    verdict: FoundVerdict,
}

/// What a word of the resource must be.
#[derive(Debug)]
enum Pattern {
    Absent,
    Empty,
    Boolean(bool),
    /// Text, where `*` stands for any text.
    Text(String),
}

impl Entry {
    pub(super) fn read(written: &Written, line: u64) -> Result<Self, String> {
        let Written { part, file, fields, each, first, values, .. } = written;
        let over = match (each, first, values) {
            (Some(field), None, values) => Over::Each(field.clone(), values.clone()),
            (None, Some(field), None) => Over::First(field.clone()),
            (None, None, None) => Over::Whole,
            (Some(_), Some(_), _) => return Err("`each` or `first`, not both".to_owned()),
            (None, _, Some(_)) => return Err("`values` needs `each`".to_owned()),
        };
        let recipe = [
            ("round", written.round.is_some()),
            ("break", written.r#break.is_some()),
            ("finding", written.finding.is_some()),
            ("verdict", written.verdict.is_some()),
            ("mend", written.mend.is_some()),
        ];
        let of_recipe = recipe.into_iter().find_map(|(name, is_there)| is_there.then_some(name));
        let what = match (part, file, &written.spared, of_recipe) {
            (None, Some(path), None, None) => What::File(path.clone()),
            (None, Some(_), _, _) => {
                return Err("a `file` has the parts and rounds of the kind file".to_owned());
            }
            (Some(_), Some(_), _, _) => return Err("`part` or `file`, not both".to_owned()),
            (None, None, _, _) => return Err("`part` is missing".to_owned()),
            (Some(name), None, Some(why), None) if !why.trim().is_empty() => {
                What::Spared(name.clone(), why.clone())
            }
            (Some(_), None, Some(_), None) => return Err("`spared` says no reason".to_owned()),
            (Some(_), None, Some(_), Some(field)) => {
                return Err(format!("a part that is spared has no `{field}`"));
            }
            (Some(name), None, None, _) => What::Broken(name.clone(), Recipe::read(written)?),
        };
        Ok(Self {
            line,
            fields: fields.clone(),
            over,
            when: patterns(&written.when)?,
            unless: patterns(&written.unless)?,
            enforced: written.enforced,
            distribution: written.distribution,
            what,
        })
    }

    /// The list or mapping of which each element must have a part.
    pub(super) fn each(&self) -> Option<&str> {
        match &self.over {
            Over::Each(field, _) => Some(field),
            Over::Whole | Over::First(_) => None,
        }
    }

    /// What it makes a part of: the name of each element, and the words with it.
    pub(super) fn elements(&self, words: &Words) -> Result<Vec<(String, Words)>, String> {
        match &self.over {
            Over::Whole => Ok(vec![(String::new(), words.clone())]),
            Over::Each(field, _) => words.elements(field),
            Over::First(field) => Ok(words.elements(field)?.into_iter().take(1).collect()),
        }
    }

    /// The words for its part of the element `name`, where it has one.
    pub(super) fn applies(&self, name: &str, mut words: Words, on: Circumstances<'_>) -> Option<Words> {
        let here = self.enforced.is_none_or(|enforced| enforced == on.enforced)
            && self.distribution.is_none_or(|distribution| distribution.as_str() == on.distribution);
        let is = |(word, pattern): (&String, &Pattern)| pattern.is(words.value(word));
        if !here || !self.when.iter().all(is) || self.unless.iter().any(is) {
            return None;
        }
        if let Over::Each(_, Some(values)) = &self.over {
            words.set("value", &Value::from(values.get(name)?.as_str()));
        }
        Some(words)
    }
}

impl Recipe {
    fn read(written: &Written) -> Result<Self, String> {
        let round = written.round.ok_or("`round` is missing")?;
        if round >= ROUNDS {
            return Err(format!("there is no round {round}: they are 0 to {}", ROUNDS - 1));
        }
        let finding = written.finding.clone().filter(|finding| !finding.trim().is_empty());
        let (text, mended) = (fixed(written.r#break.as_deref()), fixed(written.mend.as_deref()));
        let mut mentions = mentioned(text);
        mentions.extend(mentioned(mended));
        mentions.sort_unstable();
        mentions.dedup();
        Ok(Self {
            round,
            text,
            mended,
            mentions,
            finding: finding.ok_or("`finding` is missing")?,
            verdict: written.verdict.unwrap_or_default(),
        })
    }

    /// With these words.
    pub(super) fn of(&self, words: &Words) -> Result<Break, String> {
        let mut used = Vec::new();
        for name in &self.mentions {
            match words.text(name) {
                Ok(text) => used.push((*name, text)),
                Err(_) if sets(self.text, name) || sets(self.mended, name) => {}
                Err(why) => return Err(why),
            }
        }
        Ok(Break {
            round: self.round,
            text: self.text,
            words: used,
            named: words.expand(&self.finding)?,
            verdict: self.verdict.as_str(),
            mended: self.mended,
        })
    }
}

/// Whether a shell text gives `name` a value by itself.
fn sets(text: &str, name: &str) -> bool {
    let assignment = format!("{name}=");
    text.split_whitespace().any(|word| word.starts_with(&assignment))
}

/// A shell text for [`palisade::shell::Script`], which takes only texts that are as fixed as the program. Each file is read
/// once in the life of a test program.
fn fixed(text: Option<&str>) -> &'static str {
    text.map_or("", |text| Box::leak(text.trim_end().to_owned().into_boxed_str()))
}

fn patterns(written: &BTreeMap<String, Value>) -> Result<BTreeMap<String, Pattern>, String> {
    let one = |(word, value): (&String, &Value)| {
        let pattern = match value {
            Value::Null => Pattern::Absent,
            Value::Bool(boolean) => Pattern::Boolean(*boolean),
            Value::String(text) => Pattern::Text(text.clone()),
            Value::Array(items) if items.is_empty() => Pattern::Empty,
            _ => return Err(format!("`{word}` is compared with text, true, false, ~ or []")),
        };
        Ok((word.clone(), pattern))
    };
    written.iter().map(one).collect()
}

impl Pattern {
    fn is(&self, value: Option<&Value>) -> bool {
        match (self, value) {
            (Self::Absent, None) => true,
            (Self::Empty, Some(value)) => {
                value.as_array().is_some_and(Vec::is_empty)
                    || value.as_object().is_some_and(serde_json::Map::is_empty)
            }
            (Self::Boolean(boolean), Some(value)) => value.as_bool() == Some(*boolean),
            (Self::Text(pattern), Some(Value::String(text))) => matches(pattern, text),
            _ => false,
        }
    }
}

/// Whether `text` is as `pattern` says, in which `*` stands for any text.
fn matches(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((head, tail)) => text.strip_prefix(head).is_some_and(|rest| {
            (0..=rest.len()).filter(|at| rest.is_char_boundary(*at)).any(|at| matches(tail, &rest[at..]))
        }),
    }
}
