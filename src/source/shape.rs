//! What a file may hold, field by field, as data: which fields there are and which must be there, what each is called in
//! words, and what a value looks like by itself. The readers of [`super::Value`] take names, bounds and words from here,
//! and [`Shape::schema`] says the same as JSON Schema, so that an editor and the parser cannot disagree about them. What
//! only several values show together is not a matter of shape.

use serde_json::{Map, Value, json};

/// What a value is.
#[derive(Debug, Clone, Copy)]
pub enum Shape {
    /// Text of this form.
    Text(&'static Text),
    /// One of these words.
    Word(&'static [&'static str]),
    /// A whole number within these bounds, both included.
    Number {
        /// Smallest.
        least: u32,
        /// Largest.
        most: u32,
    },
    /// The version of the file's shape: a whole number from 1, and at most the one that is known.
    Version(u32),
    /// `true` or `false`.
    Boolean,
    /// A day: `2026-11-28`.
    Day,
    /// A length of time: `180s`, `4 weeks`.
    Duration,
    /// A list.
    List {
        /// What each item is.
        of: &'static Shape,
        /// Fewest items.
        least: usize,
    },
    /// A list that holds nothing twice.
    Set {
        /// What each item is.
        of: &'static Shape,
        /// Fewest items.
        least: usize,
    },
    /// A mapping with these fields and no other.
    Fields(&'static [Field]),
    /// A mapping whose keys are names.
    Names {
        /// What a name looks like.
        names: &'static Text,
        /// What stands under each.
        of: &'static Shape,
        /// Fewest of them.
        least: usize,
        /// Most of them, where that is bounded.
        most: Option<usize>,
    },
    /// A mapping of exactly one of these kinds to its fields.
    Kinds(&'static [Kind]),
    /// One value, or a list of such.
    OneOrMore {
        /// What each item is.
        of: &'static Shape,
    },
}

/// One field of a mapping.
#[derive(Debug, Clone, Copy)]
pub struct Field {
    /// Its name.
    pub name: &'static str,
    /// What it is for, as a sentence.
    pub about: &'static str,
    /// Whether it must be there.
    pub need: Need,
    /// What stands there.
    pub shape: Shape,
}

/// Whether a field must be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// It must.
    Always,
    /// It may be left out.
    Never,
    /// Exactly one of the mapping's fields with this mark must be there.
    OneOfThem,
    /// At least one of the mapping's fields with this mark must be there.
    AnyOfThem,
}

/// One kind of thing, and its fields.
#[derive(Debug, Clone, Copy)]
pub struct Kind {
    /// Its name.
    pub name: &'static str,
    /// What it is, as a sentence.
    pub about: &'static str,
    /// Its fields.
    pub fields: Shape,
}

/// A form of text.
#[derive(Debug, Clone, Copy)]
pub struct Text {
    /// What it is, as a fragment: "an account's name".
    pub about: &'static str,
    /// An ECMA-262 regular expression that whatever is accepted matches.
    pub pattern: &'static str,
    /// Whether text is well-formed.
    pub accepts: fn(&str) -> bool,
    /// Whether the pattern says all that `accepts` asks for.
    pub exact: bool,
}

/// A field that must be there.
pub const fn required(name: &'static str, shape: Shape, about: &'static str) -> Field {
    Field { name, about, need: Need::Always, shape }
}

/// A field that may be left out.
pub const fn optional(name: &'static str, shape: Shape, about: &'static str) -> Field {
    Field { name, about, need: Need::Never, shape }
}

/// A field of which exactly one must be there.
pub const fn one_of_them(name: &'static str, shape: Shape, about: &'static str) -> Field {
    Field { name, about, need: Need::OneOfThem, shape }
}

/// A field of which at least one must be there.
pub const fn any_of_them(name: &'static str, shape: Shape, about: &'static str) -> Field {
    Field { name, about, need: Need::AnyOfThem, shape }
}

/// Text that is data: nothing of it is a template, and it is not blank.
pub const DATA: Text = Text {
    about: "text without template or shell syntax",
    pattern: r"^(?![\s\S]*(\{\{|\{%|\{#|\$\(|\$\{|`))[\s\S]*\S[\s\S]*$",
    accepts: |text| !text.trim().is_empty() && template_syntax(text).is_none(),
    exact: true,
};

/// Text for people to read.
pub const PROSE: Text =
    Text { about: "text for people", pattern: r"\S", accepts: |text| !text.trim().is_empty(), exact: true };

/// What [`super::duration`] reads.
const DURATION: &str = r"^[0-9]+\s*(s|seconds|min|minutes|h|hours|d|day|days|week|weeks)\s*$";

impl Shape {
    /// The same as JSON Schema (draft 2020-12), without a head.
    pub fn schema(&self) -> Value {
        match *self {
            Self::Text(text) => json!({"type": "string", "minLength": 1, "pattern": text.pattern}),
            Self::Word(words) => json!({"enum": words}),
            Self::Number { least, most } => json!({"type": "integer", "minimum": least, "maximum": most}),
            Self::Version(newest) => json!({"type": "integer", "minimum": 1, "maximum": newest}),
            Self::Boolean => json!({"type": "boolean"}),
            Self::Day => json!({"type": "string", "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}$"}),
            Self::Duration => json!({"type": "string", "pattern": DURATION}),
            Self::List { of, least } => {
                let mut list = json!({"type": "array", "items": of.schema()});
                bound(&mut list, "minItems", least);
                list
            }
            Self::Set { of, least } => {
                let mut set = json!({"type": "array", "items": of.schema(), "uniqueItems": true});
                bound(&mut set, "minItems", least);
                set
            }
            Self::Fields(fields) => mapping(fields),
            Self::Names { names, of, least, most } => {
                let mut named = json!({
                    "type": "object",
                    "propertyNames": {"pattern": names.pattern},
                    "additionalProperties": of.schema(),
                });
                bound(&mut named, "minProperties", least);
                bound(&mut named, "maxProperties", most.unwrap_or(0));
                named
            }
            Self::Kinds(kinds) => {
                let properties: Map<String, Value> = kinds
                    .iter()
                    .map(|kind| (kind.name.to_owned(), described(&kind.fields, kind.about)))
                    .collect();
                json!({
                    "type": "object",
                    "properties": properties,
                    "additionalProperties": false,
                    "minProperties": 1,
                    "maxProperties": 1,
                })
            }
            Self::OneOrMore { of } => {
                json!({"anyOf": [of.schema(), {"type": "array", "items": of.schema(), "minItems": 1}]})
            }
        }
    }

    /// The field of this name, where it is a mapping of fields or kinds.
    pub(super) fn field(&'static self, name: &str) -> Option<&'static Self> {
        match self {
            Self::Fields(fields) => fields.iter().find(|field| field.name == name).map(|field| &field.shape),
            Self::Kinds(kinds) => kinds.iter().find(|kind| kind.name == name).map(|kind| &kind.fields),
            Self::Names { of, .. } => Some(of),
            _ => None,
        }
    }

    /// What the items of a list are.
    pub(super) fn item(&self) -> Option<&'static Self> {
        match self {
            Self::List { of, .. } | Self::Set { of, .. } | Self::OneOrMore { of } => Some(of),
            _ => None,
        }
    }

    /// Every form of text below it.
    pub fn texts(&self) -> Vec<&'static Text> {
        match *self {
            Self::Text(text) => vec![text],
            Self::List { of, .. } | Self::Set { of, .. } | Self::OneOrMore { of } => of.texts(),
            Self::Fields(fields) => fields.iter().flat_map(|field| field.shape.texts()).collect(),
            Self::Kinds(kinds) => kinds.iter().flat_map(|kind| kind.fields.texts()).collect(),
            Self::Names { names, of, .. } => [vec![names], of.texts()].concat(),
            _ => Vec::new(),
        }
    }
}

fn bound(schema: &mut Value, name: &str, number: usize) {
    if let (Some(fields), true) = (schema.as_object_mut(), number > 0) {
        fields.insert(name.to_owned(), json!(number));
    }
}

/// A schema with what the field is for, and what its text is.
fn described(shape: &Shape, about: &str) -> Value {
    let mut schema = shape.schema();
    let form = match shape {
        Shape::Text(text) => format!(" Write {}.", text.about),
        Shape::Duration => " Write a number and a unit: 180s, 10min, 48h, 3 days or 4 weeks.".to_owned(),
        Shape::Day => " Write a day: 2026-11-28.".to_owned(),
        _ => String::new(),
    };
    if let Some(fields) = schema.as_object_mut() {
        fields.insert("description".to_owned(), json!(format!("{about}{form}")));
    }
    schema
}

fn mapping(fields: &[Field]) -> Value {
    let properties: Map<String, Value> =
        fields.iter().map(|field| (field.name.to_owned(), described(&field.shape, field.about))).collect();
    let names = |need: Need| fields.iter().filter(move |field| field.need == need).map(|field| field.name);
    let mut schema = json!({
        "type": "object",
        "properties": properties,
        "required": names(Need::Always).collect::<Vec<_>>(),
        "additionalProperties": false,
    });
    let choice = |need: Need| names(need).map(|name| json!({"required": [name]})).collect::<Vec<_>>();
    for (keyword, alternatives) in [("oneOf", choice(Need::OneOfThem)), ("anyOf", choice(Need::AnyOfThem))] {
        if let (Some(object), false) = (schema.as_object_mut(), alternatives.is_empty()) {
            object.insert(keyword.to_owned(), json!(alternatives));
        }
    }
    schema
}

/// The template or shell syntax in `text`, if there is any.
pub(super) fn template_syntax(text: &str) -> Option<&'static str> {
    ["{{", "{%", "{#", "$(", "${", "`"].into_iter().find(|syntax| text.contains(syntax))
}
