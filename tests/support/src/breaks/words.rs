//! The fields of a resource as words: each value of its serialized form under its path, joined by `_`. A text names a word
//! by `$word`. It knows no kind.

use std::collections::BTreeMap;

use serde_json::Value;

/// The words of a resource.
#[derive(Debug, Clone, Default)]
pub(super) struct Words(BTreeMap<String, Value>);

impl Words {
    /// From a serialized form. What is null has no word.
    pub(super) fn of(value: &Value) -> Self {
        let mut words = Self::default();
        if let Value::Object(fields) = value {
            fields.iter().for_each(|(name, value)| words.set(name, value));
        }
        words
    }

    /// Adds a value and all values in it. A `-` of a name is a `_` here; what is no name otherwise has no word.
    pub(super) fn set(&mut self, name: &str, value: &Value) {
        let name = name.replace('-', "_");
        if value.is_null() || !name.bytes().all(is_of_word) {
            return;
        }
        match value {
            Value::Object(fields) => {
                fields.iter().for_each(|(field, value)| self.set(&format!("{name}_{field}"), value));
            }
            Value::Array(items) => {
                let items = items.iter().enumerate();
                items.for_each(|(index, value)| self.set(&format!("{name}_{index}"), value));
            }
            _ => {}
        }
        self.0.insert(name, value.clone());
    }

    /// The value of a word.
    pub(super) fn value(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    /// The text of a word.
    pub(super) fn text(&self, name: &str) -> Result<String, String> {
        match self.0.get(name) {
            Some(Value::String(text)) => Ok(text.clone()),
            Some(value @ (Value::Number(_) | Value::Bool(_))) => Ok(value.to_string()),
            Some(_) => Err(format!("`${name}` is a list or a mapping, not one value")),
            None => {
                let names: Vec<&str> = self.0.keys().map(String::as_str).collect();
                Err(format!("the resource has no `${name}`; it has {}", names.join(", ")))
            }
        }
    }

    /// The elements of a list or mapping, by name, each with the words and `$item`: the item of a list is called as its own
    /// text, or as its number. In a mapping the name is `$key`, too.
    pub(super) fn elements(&self, field: &str) -> Result<Vec<(String, Self)>, String> {
        let with = |name: String, key: Option<&str>, value: &Value| {
            let mut words = self.clone();
            words.set("item", value);
            if let Some(key) = key {
                words.set("key", &Value::from(key));
            }
            (name, words)
        };
        match self.0.get(field) {
            Some(Value::Array(items)) => {
                let name =
                    |(index, item): (usize, &Value)| item.as_str().map_or(index.to_string(), str::to_owned);
                Ok(items
                    .iter()
                    .enumerate()
                    .map(|(index, item)| with(name((index, item)), None, item))
                    .collect())
            }
            Some(Value::Object(fields)) => {
                Ok(fields.iter().map(|(key, value)| with(key.clone(), Some(key), value)).collect())
            }
            Some(_) => Err(format!("`{field}` is no list and no mapping")),
            None => {
                let names: Vec<&str> = self.0.keys().map(String::as_str).collect();
                Err(format!("the resource has no `{field}`; it has {}", names.join(", ")))
            }
        }
    }

    /// `text` with the text of each word in its place.
    pub(super) fn expand(&self, text: &str) -> Result<String, String> {
        let mut pieces = text.split('$');
        let mut expanded = pieces.next().unwrap_or_default().to_owned();
        for piece in pieces {
            let (name, rest) = word(piece);
            expanded.push_str(&self.text(name)?);
            expanded.push_str(rest);
        }
        Ok(expanded)
    }
}

/// The names of the variables that a shell text uses. What stands between single quotes is text.
pub(super) fn mentioned(text: &'static str) -> Vec<&'static str> {
    let (mut single, mut double) = (false, false);
    let mut names = Vec::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '\'' if !double => single = !single,
            '"' if !single => double = !double,
            '\\' if !single => drop(characters.next()),
            '$' if !single => {
                let rest = &text[at + 1..];
                let (name, _) = word(rest.strip_prefix('{').unwrap_or(rest));
                if name.starts_with(|first: char| !first.is_ascii_digit()) {
                    names.push(name);
                }
            }
            _ => {}
        }
    }
    names
}

/// The name at the beginning of `text`, and what follows it.
fn word(text: &str) -> (&str, &str) {
    text.split_at(text.bytes().take_while(|byte| is_of_word(*byte)).count())
}

fn is_of_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}
