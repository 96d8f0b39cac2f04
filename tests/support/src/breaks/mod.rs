//! How each part of a kind is broken by hand on a host, what an audit must then say, and how it is mended where apply does
//! not: `tests/cases/<kind>/breaks.yaml`, read strictly and applied to a resource. `tests/cases/README.md` describes the
//! format. It knows no kind, and runs nothing.

mod entry;
mod words;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::LazyLock;

use palisade::kinds::Resource;
use serde_json::Value;
use serde_saphyr::Spanned;

use self::entry::{Entry, What, Written};
use self::words::Words;

/// How often the hosts are broken, each time in other parts: a part's round is below it.
pub const ROUNDS: usize = 3;

/// The name of the file in a kind's folder of cases.
pub const FILE: &str = "breaks.yaml";

/// The kind whose parts an entry `file: PATH` stands for.
const FILE_KIND: &str = "file";

/// A part of a resource.
#[derive(Debug, Clone)]
pub struct Part {
    /// The name of its resource.
    pub resource: String,
    /// Its name.
    pub name: String,
    /// What is done to it.
    pub treatment: Treatment,
    /// Where it is written: `tests/cases/group/breaks.yaml:3`.
    pub place: String,
}

/// What is done to a part.
#[derive(Debug, Clone)]
pub enum Treatment {
    /// It is broken and found.
    Broken(Break),
    /// It is not broken in the lab, for this reason.
    Spared(String),
}

/// How a part is broken and found.
#[derive(Debug, Clone)]
pub struct Break {
    /// The parts of one round are broken together.
    pub round: usize,
    /// The shell text that breaks it; empty where the host is delivered so, or where another part of the round breaks it.
    pub text: &'static str,
    /// The words that `text` and `mended` use.
    pub words: Vec<(&'static str, String)>,
    /// What must be among the findings of the resource.
    pub named: String,
    /// The resource's verdict.
    pub verdict: &'static str,
    /// The shell text that mends it; empty where apply does.
    pub mended: &'static str,
}

/// The host of a resource, and what becomes of the resource there.
#[derive(Debug, Clone, Copy)]
pub struct Circumstances<'a> {
    /// `debian-12` or `debian-13`.
    pub distribution: &'a str,
    /// Whether apply mends the resource.
    pub enforced: bool,
}

/// What breaks the parts of one kind: the file of a kind, read.
#[derive(Debug)]
pub struct Breaks {
    path: String,
    entries: Vec<Entry>,
}

static ALL: LazyLock<BTreeMap<String, Result<Breaks, String>>> =
    LazyLock::new(|| found_in(&crate::harness::repository().join("tests/cases")));

/// What breaks each kind, by the names of the folders below `folder`.
pub fn found_in(folder: &Path) -> BTreeMap<String, Result<Breaks, String>> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path().join(FILE);
        if path.is_file() {
            let kind = path.parent().and_then(Path::file_name).unwrap().to_string_lossy().into_owned();
            let text = std::fs::read_to_string(&path).unwrap();
            let breaks = Breaks::parse(&format!("tests/cases/{kind}/{FILE}"), &text);
            found.insert(kind, breaks);
        }
    }
    found
}

/// The parts of `resource`, by the file of its kind.
///
/// # Errors
/// The file is missing or not understood, it uses a word that the resource has not, or an element of a list that it goes
/// through has no part.
pub fn parts(resource: &Resource, on: Circumstances<'_>) -> Result<Vec<Part>, String> {
    let kind = resource.kind();
    let written = serde_json::to_value(resource).map_err(|error| error.to_string())?;
    let fields = written.get(kind).ok_or_else(|| format!("{kind} is not serialized under its name"))?;
    of_kind(kind)?.parts(fields, &resource.name(), on)
}

fn of_kind(kind: &str) -> Result<&'static Breaks, String> {
    match ALL.get(kind) {
        Some(breaks) => breaks.as_ref().map_err(Clone::clone),
        None => Err(format!("nothing says how {kind} is broken: tests/cases/{kind}/{FILE}")),
    }
}

impl Breaks {
    /// From the text of the file at `path`.
    ///
    /// # Errors
    /// A line is not understood: `path:line: why`.
    pub fn parse(path: &str, text: &str) -> Result<Self, String> {
        let options = serde_saphyr::options! { strict_booleans: true };
        let written: Vec<Spanned<Written>> =
            serde_saphyr::from_str_with_options(text, options).map_err(|error| {
                let line = error.location().map_or(1, |location| location.line());
                format!("{path}:{line}: {error}")
            })?;
        let entries = written.into_iter().map(|entry| {
            let line = entry.referenced.line();
            Entry::read(&entry.value, line).map_err(|why| format!("{path}:{line}: {why}"))
        });
        let entries: Vec<Entry> = entries.collect::<Result<_, _>>()?;
        if entries.is_empty() {
            return Err(format!("{path}:1: it has no part"));
        }
        Ok(Self { path: path.to_owned(), entries })
    }

    /// The fields of a declaration that its parts show, each with the line of its first part.
    pub fn fields(&self) -> BTreeMap<&str, u64> {
        let mut fields = BTreeMap::new();
        for entry in &self.entries {
            for field in &entry.fields {
                fields.entry(field.as_str()).or_insert(entry.line);
            }
        }
        fields
    }

    /// The line of a part that names no field.
    pub fn without_fields(&self) -> Option<u64> {
        self.entries.iter().find(|entry| entry.fields.is_empty()).map(|entry| entry.line)
    }

    /// The place of each entry.
    pub fn places(&self) -> impl Iterator<Item = String> {
        self.entries.iter().map(|entry| self.place(entry))
    }

    fn place(&self, entry: &Entry) -> String {
        format!("{}:{}", self.path, entry.line)
    }

    /// The parts of a resource of this name with these fields.
    ///
    /// # Errors
    /// As [`parts`].
    pub fn parts(&self, fields: &Value, resource: &str, on: Circumstances<'_>) -> Result<Vec<Part>, String> {
        let words = Words::of(fields);
        let mut parts = Vec::new();
        // Of each list or mapping that entries go through: its elements without a part so far.
        let mut left: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
        for entry in &self.entries {
            let place = self.place(entry);
            let wrong = |why: String| format!("{place}: {why}");
            let elements = entry.elements(&words).map_err(wrong)?;
            if let Some(field) = entry.each() {
                left.entry(field).or_insert_with(|| elements.iter().map(|(name, _)| name.clone()).collect());
            }
            for (name, words) in elements {
                let Some(words) = entry.applies(&name, words, on) else { continue };
                if let Some(field) = entry.each() {
                    left.entry(field).or_default().remove(&name);
                }
                let part = |name: &str, treatment: Treatment| {
                    let name = words.expand(name)?;
                    Ok(Part { resource: resource.to_owned(), name, treatment, place: place.clone() })
                };
                match &entry.what {
                    What::Spared(name, why) => {
                        let spared = part(name, Treatment::Spared(why.clone())).map_err(wrong)?;
                        parts.push(spared);
                    }
                    What::Broken(name, recipe) => {
                        let treatment = recipe.of(&words).map_err(wrong)?;
                        parts.push(part(name, Treatment::Broken(treatment)).map_err(wrong)?);
                    }
                    What::File(path) => {
                        let path = words.expand(path).map_err(wrong)?;
                        let file = serde_json::json!({"path": path, "content": {}});
                        let of_file = of_kind(FILE_KIND)?.parts(&file, resource, on)?;
                        parts.extend(of_file.into_iter().map(|part| Part { place: place.clone(), ..part }));
                    }
                }
            }
        }
        match left.into_iter().find_map(|(field, names)| Some((field, names.into_iter().next()?))) {
            Some((field, name)) => {
                Err(format!("{}: {resource}: no part for `{name}` of `{field}`", self.path))
            }
            None => Ok(parts),
        }
    }
}
