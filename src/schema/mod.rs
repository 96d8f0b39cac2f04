//! JSON Schemas (draft 2020-12). Those of a project's files are for editors that complete and check them while they are
//! written, and are made from the shapes that the parsers read by. Those of what palisade writes are for programs that read
//! it, and are made from the types that are written. It holds nothing of its own and writes no file.

mod closed;

use serde_json::{Value, json};

pub use closed::schema_of;

use crate::domain::ReleaseId;
use crate::record::Line;
use crate::source::shape::Shape;
use crate::{inventory, playbook, release, waiver};

/// Where a project keeps the schemas that its files name.
pub const DIRECTORY: &str = ".palisade/schema";

/// A sort of file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// `inventories/fleet.yaml`.
    Fleet,
    /// `inventories/dev.yaml`, `test.yaml` and `prod.yaml`.
    Inventory,
    /// `playbooks/*.yaml`.
    Playbook,
    /// `inventories/waivers.yaml`.
    Waivers,
    /// `releases/ID.yaml`.
    Release,
}

impl Subject {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Fleet, Self::Inventory, Self::Playbook, Self::Waivers, Self::Release];

    /// The word on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Fleet => "fleet",
            Self::Inventory => "inventory",
            Self::Playbook => "playbook",
            Self::Waivers => "waivers",
            Self::Release => "release",
        }
    }

    /// What the file at `path`, within a project, is; none where there is no schema for it.
    pub fn of(path: &str) -> Option<Self> {
        match path.split_once('/')? {
            ("inventories", "fleet.yaml") => Some(Self::Fleet),
            ("inventories", "dev.yaml" | "test.yaml" | "prod.yaml") => Some(Self::Inventory),
            ("inventories", "waivers.yaml") => Some(Self::Waivers),
            (playbook::DIRECTORY, name) if name.rsplit_once('.')?.1 == "yaml" => Some(Self::Playbook),
            (release::DIRECTORY, name) => {
                name.strip_suffix(".yaml")?.parse::<ReleaseId>().ok().map(|_| Self::Release)
            }
            _ => None,
        }
    }

    /// What the parser reads by.
    pub fn shape(self) -> &'static Shape {
        match self {
            Self::Fleet => &inventory::FLEET,
            Self::Inventory => &inventory::ENVIRONMENT_INVENTORY,
            Self::Playbook => &playbook::PLAYBOOK,
            Self::Waivers => &waiver::WAIVERS,
            Self::Release => &release::RELEASE,
        }
    }

    /// Where the schema stands within a project.
    pub fn path(self) -> String {
        format!("{DIRECTORY}/{}.json", self.as_str())
    }

    /// The line with which a file of a project's folder names its schema, as editors with the YAML language server
    /// look for it.
    pub fn modeline(self) -> String {
        format!("# yaml-language-server: $schema=../{}", self.path())
    }

    /// The schema.
    pub fn document(self) -> Value {
        let (title, description) = match self {
            Self::Fleet => ("inventories/fleet.yaml", "What all environments share."),
            Self::Inventory => (
                "inventories/ENV.yaml",
                "One environment: its networks, machine account, roles and hosts. Nothing in it is a template, and no \
                 secret belongs in it.",
            ),
            Self::Playbook => ("playbooks/*.yaml", "Controls: what is promised, made precise."),
            Self::Waivers => (
                "inventories/waivers.yaml",
                "Who accepts that a control does not hold where, why, and until when.",
            ),
            Self::Release => (
                "releases/ID.yaml",
                "What a release installs, in exactly which versions. Written by `palisade patch plan` and signed beside it: \
                 an edit breaks the signature.",
            ),
        };
        let mut document = json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "title": title,
            "description": description,
            "$comment": "Written by `palisade schema`. What several values show together, `palisade check` says alone.",
        });
        if let (Some(head), Value::Object(body)) = (document.as_object_mut(), self.shape().schema()) {
            head.extend(body);
        }
        document
    }

    /// The schema's file.
    pub fn text(self) -> String {
        format!("{:#}\n", self.document())
    }
}

/// The schema of each line of a record, `runs/RUN/record.jsonl`.
pub fn record() -> Value {
    schema_of::<Line<'static>>(
        "runs/*/record.jsonl",
        "One line of a run's record: the run first, its hosts, the end last.",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn release_text() -> String {
        let release = release::Release {
            id: "2026-11-28".parse().unwrap(),
            planned: "2026-11-14T20:00:00Z".parse().unwrap(),
            by: "alice".parse().unwrap(),
            emergency: None,
            sets: Vec::new(),
        };
        release.to_yaml()
    }

    #[test]
    fn every_built_in_file_names_its_schema() {
        assert!(release_text().starts_with(&format!("{}\n", Subject::Release.modeline())));
        for (name, text) in playbook::BUILTIN {
            assert_eq!(text.lines().next(), Some(Subject::Playbook.modeline().as_str()), "{name}");
        }
        for (path, bytes) in inventory::example().iter() {
            let subject = Subject::of(path).unwrap();
            let text = std::str::from_utf8(bytes).unwrap();
            assert_eq!(text.lines().next(), Some(subject.modeline().as_str()), "{path}");
        }
    }
}
