//! YAML events → a tree whose every node knows where it stands. Refuses tags, directives, several documents, merge
//! keys, duplicate keys, and what is over the budgets. Interprets nothing: a scalar is text, plain or quoted.

use std::collections::BTreeMap;
use std::ops::Range;

use serde_saphyr::granit_parser::{ErrorKind, Event, Options, Parser, ScalarStyle, ScanError, Span};

use super::file::{File, Report};

/// Deepest nesting of lists and mappings. An inventory needs seven.
const DEPTH: usize = 24;
/// Most nodes in one file, aliases counted as often as they are used. A host needs about twenty.
const NODES: usize = 400_000;

/// One value of a file.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) span: Range<usize>,
    pub(super) content: Content,
}

/// What a value is.
#[derive(Debug, Clone)]
pub(super) enum Content {
    /// `plain` is without quotes, where YAML would guess a type.
    Scalar {
        text: String,
        plain: bool,
    },
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// A key and its value.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) plain: bool,
    pub(super) key_span: Range<usize>,
    pub(super) value: Node,
}

impl Node {
    fn size(&self) -> usize {
        match &self.content {
            Content::Scalar { .. } => 1,
            Content::List(items) => items.iter().fold(1, |sum, item| sum.saturating_add(item.size())),
            Content::Map(entries) => {
                entries.iter().fold(1, |sum, entry| sum.saturating_add(1).saturating_add(entry.value.size()))
            }
        }
    }
}

enum Open {
    List { start: usize, anchor: usize, items: Vec<Node> },
    Map { start: usize, anchor: usize, entries: Vec<Entry>, key: Option<Key> },
}

struct Key {
    text: String,
    plain: bool,
    span: Range<usize>,
}

struct Builder<'a> {
    file: &'a File,
    report: &'a Report,
    open: Vec<Open>,
    anchors: BTreeMap<usize, Node>,
    nodes: usize,
    root: Option<Node>,
    documents: usize,
}

/// The tree of `file`, or none where it is refused as a whole; refusals go to `report`.
pub(super) fn tree(file: &File, report: &Report) -> Option<Node> {
    let mut options = Options::default();
    options.set_emit_comments(false);
    options.disallow_directives = true;
    options.flow_nesting_limit = DEPTH;
    options.block_nesting_limit = DEPTH;
    let mut builder = Builder {
        file,
        report,
        open: Vec::new(),
        anchors: BTreeMap::new(),
        nodes: 0,
        root: None,
        documents: 0,
    };
    for event in Parser::new_from_str_with_options(&file.text, options) {
        let (event, span) = match event {
            Ok(event) => event,
            Err(error) => {
                builder.refuse_syntax(&error);
                return None;
            }
        };
        if !builder.take(event, &span) {
            return None;
        }
    }
    builder.root
}

impl Builder<'_> {
    /// Takes one event; false ends the parse.
    fn take(&mut self, event: Event<'_>, span: &Span) -> bool {
        let at = span.byte_range().unwrap_or(0..0);
        if event.tag().is_some() {
            let tag = span.tag_span().and_then(|tag| tag.byte_range()).unwrap_or_else(|| at.clone());
            self.report.at(self.file, tag, "", "a YAML tag", "leave the tag out: palisade decides the types");
        }
        match event {
            Event::DocumentStart(..) => {
                self.documents += 1;
                if self.documents > 1 {
                    let fix = "put each document into a file of its own, and leave `---` out";
                    self.report.at(self.file, at, "", "a second document in one file", fix);
                    return false;
                }
            }
            Event::Scalar(text, style, anchor, _) => {
                let plain = style == ScalarStyle::Plain;
                let content = Content::Scalar { text: text.into_owned(), plain };
                return self.finished(Node { span: at, content }, anchor);
            }
            Event::SequenceStart(_, anchor, _) => {
                self.open.push(Open::List { start: at.start, anchor, items: Vec::new() });
            }
            Event::MappingStart(_, anchor, _) => {
                self.open.push(Open::Map { start: at.start, anchor, entries: Vec::new(), key: None });
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let (start, anchor, content) = match self.open.pop() {
                    Some(Open::List { start, anchor, items }) => (start, anchor, Content::List(items)),
                    Some(Open::Map { start, anchor, entries, .. }) => (start, anchor, Content::Map(entries)),
                    None => return false,
                };
                return self.finished(Node { span: start..at.end.max(start), content }, anchor);
            }
            Event::Alias(id) => {
                let Some(node) = self.anchors.get(&id) else {
                    self.report.at(
                        self.file,
                        at,
                        "",
                        "an alias that stands within its own anchor",
                        "write it out",
                    );
                    return false;
                };
                let node = Node { span: at, content: node.content.clone() };
                self.nodes = self.nodes.saturating_add(node.size());
                return self.finished(node, 0);
            }
            _ => {}
        }
        true
    }

    /// A whole node: a key, a value, an item, or the root.
    fn finished(&mut self, node: Node, anchor: usize) -> bool {
        self.nodes = self.nodes.saturating_add(1);
        if self.nodes > NODES {
            let why = "more values than a file may hold, aliases counted as often as they are used";
            self.report.at(self.file, node.span, "", why, "write fewer aliases, or split the file");
            return false;
        }
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
            self.nodes = self.nodes.saturating_add(node.size());
        }
        match self.open.last_mut() {
            None => self.root = Some(node),
            Some(Open::List { items, .. }) => items.push(node),
            Some(Open::Map { entries, key, .. }) => match (key.take(), node.content) {
                (Some(Key { text, plain, span }), content) => {
                    let value = Node { span: node.span, content };
                    entries.push(Entry { key: text, plain, key_span: span, value });
                }
                (None, Content::Scalar { text, plain }) => {
                    if plain && text == "<<" {
                        self.report.at(
                            self.file,
                            node.span.clone(),
                            "",
                            "a merge key",
                            "write the fields out",
                        );
                    } else if let Some(first) = entries.iter().find(|entry| entry.key == text) {
                        let line = self.file.line_of(first.key_span.start);
                        let why = format!("duplicate key `{}`", crate::text::excerpt(&text, 60));
                        let fix = format!("it stands in line {line} already: keep one of the two");
                        self.report.at(self.file, node.span.clone(), "", &why, &fix);
                    }
                    *key = Some(Key { text, plain, span: node.span });
                }
                (None, _) => {
                    self.report.at(self.file, node.span, "", "a key that is not text", "write a plain word");
                    return false;
                }
            },
        }
        true
    }

    fn refuse_syntax(&self, error: &ScanError) {
        let at = error.marker().byte_offset().unwrap_or(self.file.text.len());
        let (why, fix) = match error.kind() {
            ErrorKind::RecursionLimitExceeded => {
                (format!("nested deeper than {DEPTH} levels"), "an inventory needs seven: check the brackets")
            }
            ErrorKind::DirectiveDisallowed => ("a YAML directive".to_owned(), "leave the line with % out"),
            ErrorKind::UnknownAnchor => (
                "an alias whose anchor is nowhere above".to_owned(),
                "define the anchor first, or put quotes around text that starts with *",
            ),
            kind => (
                format!("not YAML: {kind}"),
                "check the indentation, quotes and brackets here and in the line above",
            ),
        };
        self.report.at(self.file, at..at + 1, "", &why, fix);
    }
}
