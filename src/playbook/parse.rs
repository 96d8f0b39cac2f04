//! `playbooks/*.yaml` → controls. The built-in files stand where the project has none of the same name.

use std::collections::BTreeMap;

use super::control::{Control, DIRECTORY, Hosts, Origin, Playbook, Severity};
use super::proof::{declaration, proof};
use super::shape::PLAYBOOK;
use super::{Framework, Promise, Reference};
use crate::domain::{ControlId, RoleName};
use crate::source::{Document, Refusals, Report, Sources, Value};
use crate::text::Malformed;

/// The playbooks that palisade comes with, by their names in [`DIRECTORY`].
pub const BUILTIN: [(&str, &str); 5] = [
    ("baseline.yaml", include_str!("../../playbooks/baseline.yaml")),
    ("hygiene.yaml", include_str!("../../playbooks/hygiene.yaml")),
    ("network.yaml", include_str!("../../playbooks/network.yaml")),
    ("persistence.yaml", include_str!("../../playbooks/persistence.yaml")),
    ("system.yaml", include_str!("../../playbooks/system.yaml")),
];

/// The project's playbooks, with the built-in ones where it has none of the same name; or all that is wrong with them.
pub fn parse(sources: &Sources) -> Result<Playbook, Refusals> {
    let report = Report::new();
    let mut files: BTreeMap<String, Vec<u8>> =
        BUILTIN.iter().map(|(name, text)| ((*name).to_owned(), text.as_bytes().to_vec())).collect();
    for (name, bytes) in sources.in_directory(DIRECTORY) {
        match name.rsplit_once('.').map(|(_, extension)| extension) {
            Some("yaml") => {
                files.insert(name.to_owned(), bytes.to_vec());
            }
            Some("yml" | "YAML" | "YML" | "json") => {
                let path = format!("{DIRECTORY}/{name}");
                report.whole(&path, "not a file that palisade reads", "playbooks end in .yaml: rename it");
            }
            _ => {}
        }
    }
    let documents: Vec<Document> = files
        .iter()
        .filter_map(|(name, bytes)| Document::read(&format!("{DIRECTORY}/{name}"), bytes, &report))
        .collect();
    let mut places: BTreeMap<ControlId, (String, usize)> = BTreeMap::new();
    let mut controls: Vec<Control> = Vec::new();
    for document in &documents {
        let items = document.shaped(&PLAYBOOK, &report).and_then(|root| root.list()).unwrap_or_default();
        for item in items {
            let id = item.fields().into_iter().find(|(name, _)| name == "id");
            let id = id.and_then(|(_, value)| value.scalar());
            let item = match id {
                Some(id) => item.called(id),
                None => item,
            };
            refuse_syntax(&item);
            let Some(found) = control(&item) else { continue };
            if let Some((file, line)) = places.get(&found.id) {
                item.refuse(
                    &format!("a second control `{}`", found.id),
                    &format!("one stands in {file}:{line}: give this one another id"),
                );
                continue;
            }
            places.insert(found.id.clone(), item.stands());
            controls.push(found);
        }
    }
    let builtin = builtin();
    for control in &mut controls {
        control.origin = match builtin.iter().find(|original| original.id == control.id) {
            None => Origin::Project,
            Some(original) if *original == *control => Origin::Builtin,
            Some(_) => Origin::Changed,
        };
    }
    let left_out =
        builtin.into_iter().map(|control| control.id).filter(|id| !places.contains_key(id)).collect();
    report.finish(Some(Playbook { controls, left_out, places }))
}

/// The built-in controls, as they are; what is wrong with them, a test finds.
fn builtin() -> Vec<Control> {
    let report = Report::new();
    let documents: Vec<Document> =
        BUILTIN.iter().filter_map(|(name, text)| Document::read(name, text.as_bytes(), &report)).collect();
    let items = documents.iter().filter_map(|document| document.shaped(&PLAYBOOK, &report)?.list()).flatten();
    items.filter_map(|item| control(&item)).collect()
}

fn control(value: &Value<'_>) -> Option<Control> {
    let map = value.map()?;
    crate::inventory::schema(&map);
    let id = map.required("id").and_then(|value| value.parse::<ControlId>());
    let line =
        |name: &str| map.required(name).and_then(|value| value.text()).map(|text| text.trim().to_owned());
    let title = line("title");
    let promise = map.required("promise").and_then(|value| value.parse::<Promise>());
    let severities =
        [Severity::Low, Severity::Medium, Severity::High, Severity::Critical].map(|s| (s.as_str(), s));
    let severity = map.required("severity").and_then(|value| value.one_of(&severities));
    let rationale = line("rationale");
    let references = map.required("references").and_then(|value| references(&value));
    let hosts = map.required("hosts").and_then(|value| hosts(&value));
    let list = |name: &str| map.field(name).and_then(|value| value.list()).unwrap_or_default();
    let enforce: Vec<_> = list("enforce").iter().map(declaration).collect();
    let check: Vec<_> = list("check").iter().map(declaration).collect();
    let prove: Vec<_> = list("prove").iter().map(proof).collect();
    if enforce.is_empty() && check.is_empty() && prove.is_empty() {
        value.refuse(
            "a control that enforces, checks and proves nothing",
            "add `enforce:`, `check:` or `prove:`",
        );
    }
    let remediation = line("remediation");
    Some(Control {
        id: id?,
        title: title?,
        promise: promise?,
        severity: severity?,
        rationale: rationale?,
        references: references?,
        hosts: hosts?,
        enforce: enforce.into_iter().collect::<Option<_>>()?,
        check: check.into_iter().collect::<Option<_>>()?,
        prove: prove.into_iter().collect::<Option<_>>()?,
        remediation: remediation?,
        origin: Origin::Builtin,
    })
}

fn references(value: &Value<'_>) -> Option<BTreeMap<Framework, Vec<Reference>>> {
    let mut references: BTreeMap<Framework, Vec<Reference>> = BTreeMap::new();
    for (name, ids) in value.entries()? {
        let framework = match name.parse::<Framework>() {
            Ok(framework) => framework,
            Err(error) => {
                ids.refuse_key(&error.why, &error.fix);
                continue;
            }
        };
        for id in ids.list().unwrap_or_default() {
            if let Some(reference) = id.text().and_then(|text| id.checked(Reference::parse(framework, text)))
            {
                references.entry(framework).or_default().push(reference);
            }
        }
    }
    if references.is_empty() {
        value.refuse_key(
            "a control without a reference",
            "name what framework asks for it, or for something it supports",
        );
        return None;
    }
    Some(references)
}

fn hosts(value: &Value<'_>) -> Option<Hosts> {
    let text = value.text()?;
    match (text, text.strip_prefix("role:")) {
        ("all", _) => Some(Hosts::All),
        (_, Some(role)) => value.checked(role.parse::<RoleName>()).map(Hosts::Role),
        _ => value.checked(Err(Malformed::new("not a set of hosts", "write all or role:NAME"))),
    }
}

/// Refuses template and shell syntax in data. Prose is shown to people and reaches nothing else.
fn refuse_syntax(control: &Value<'_>) {
    for (name, value) in control.fields() {
        if !matches!(name.as_str(), "title" | "rationale" | "remediation") {
            value.refuse_syntax();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(sources: &Sources) -> Playbook {
        parse(sources).unwrap_or_else(|refusals| panic!("{}", refusals.annotated(false)))
    }

    /// What shared mapping allows to be cited for a control, by the control's id. Our judgement of what each item asks.
    const CITABLE: [(&str, &str); 14] = [
        (
            "firewall",
            "4.1.1 4.3.1 4.3.5 4.3.6 4.3.8 4.3.9 4.3.10 R80 SYS.1.1.A19 NET.3.2.A2 NET.3.2.A3 A.8.20 A.8.22 1.2.1 1.2.5 \
             1.3.1 1.4.2 32(1)(b)",
        ),
        (
            "key-only",
            "5.1.6 5.1.10 5.1.12 5.1.15 5.1.19 5.1.20 R33 R67 SSH-R15 SSH-R17 SYS.1.3.A8 SYS.1.1.A2 ORP.4.A9 CON.1.A1 \
             A.5.17 A.8.5 A.8.24 2.2.7 8.3.1 8.3.2 32(1)(b)",
        ),
        (
            "server-access",
            "5.1.4 5.2.1 5.2.7 5.4.2.1 5.4.2.4 5.4.2.7 R33 R38 SSH-R21 SSH-R22 ORP.4.A1 ORP.4.A2 ORP.4.A3 OPS.1.1.2.A21 \
             SYS.1.3.A2 A.5.15 A.5.16 A.5.18 A.8.2 7.2.2 7.2.3 7.2.4 8.2.1 8.2.2 32(1)(b) 32(4)",
        ),
        (
            "admin-allowlist",
            "4.3.8 5.1.4 R80 SSH-R22 SSH-R25 OPS.1.1.2.A6 OPS.1.1.2.A16 NET.3.2.A6 A.8.2 A.8.20 1.3.1 7.3.3 32(1)(b)",
        ),
        (
            "private-data",
            "2.1.22 4.3.8 R78 R80 NET.1.1.A4 NET.1.1.A11 SYS.1.1.A19 A.8.3 A.8.20 A.8.22 1.4.4 5(1)(f) 25(2) 32(1)(b)",
        ),
        ("separation", "OPS.1.1.6.A13 OPS.1.1.6.A11 A.8.31 A.8.33 6.5.3 6.5.4 6.5.5 6.5.6 32(1)(b)"),
        (
            "patching",
            "1.2.1.2 1.2.2.1 R59 R61 OPS.1.1.3.A15 OPS.1.1.3.A3 OPS.1.1.1.A10 OPS.1.1.1.A20 A.8.8 A.8.19 6.3.1 6.3.3 32(1)(b)",
        ),
        (
            "baseline",
            "1.5.3 2.1.22 6.1.1.1 6.1.2.4 R79 R80 SYS.1.1.A16 SYS.1.1.A10 OPS.1.1.1.A5 A.8.9 A.8.15 2.2.1 2.2.6 32(1)(b)",
        ),
        (
            "hosting",
            "OPS.2.3.A4 OPS.2.3.A5 OPS.2.2.A9 SYS.1.1.A1 A.5.19 A.5.20 A.5.22 A.5.23 12.8.1 12.8.2 12.8.4 12.8.5 28(1) 28(3) \
             44",
        ),
        ("lockout", "5.1.16 5.3.3.1.1 5.3.3.1.2 R31 ORP.4.A13 DER.1.A17 A.8.5 8.3.4 32(1)(b)"),
        ("encryption", "SYS.1.1.A34 APP.3.3.A12 CON.1.A4 A.8.24 3.5.1.2 3.5.1.3 32(1)(a) 34(3)(a)"),
        (
            "kernel",
            "1.5.1 1.5.2 1.5.3 3.3.1 3.3.2 3.3.3 3.3.4 3.3.5 3.3.6 3.3.7 3.3.8 3.3.9 3.3.10 3.3.11 R9 R11 R12 R13 R14 \
             SYS.1.3.A4 SYS.1.1.A16 OPS.1.1.1.A5 SYS.1.3.A17 A.8.9 2.2.1 2.2.6 32(1)(b)",
        ),
        (
            "time",
            "2.3.1.1 2.3.2.1 2.3.2.2 2.3.3.1 2.3.3.2 2.3.3.3 R71 OPS.1.1.5.A4 OPS.1.2.6.A2 OPS.1.2.6.A5 OPS.1.2.6.A7 A.8.17 \
             10.6.1 10.6.2 10.6.3",
        ),
        ("persistence", "6.3.2 R76 A.8.9 10.3.4"),
    ];

    #[test]
    fn every_builtin_control_cites_what_it_may() {
        let playbook = parsed(&Sources::new());
        assert_eq!(playbook.controls.len(), CITABLE.len());
        for control in &playbook.controls {
            let (_, citable) = CITABLE.iter().find(|(id, _)| *id == control.id.as_str()).unwrap();
            for reference in control.references.values().flatten() {
                assert!(citable.split(' ').any(|id| id == reference.id), "{} cites {reference}", control.id);
            }
            // What cannot be seen from outside the host, or only by an attack, is proved by nothing but the host's own
            // answers.
            let inside = !["firewall", "key-only", "server-access"].contains(&control.id.as_str());
            assert!(control.declarations().next().is_some(), "{}", control.id);
            assert_eq!(control.prove.is_empty(), inside, "{}", control.id);
            assert_eq!(control.origin, Origin::Builtin);
        }
    }

    #[test]
    fn a_project_overrides_a_file_and_its_reader_can_tell() {
        let text = BUILTIN[0].1.replace("severity: critical", "severity: high");
        let text = text.split("- id: server-access").next().unwrap().to_owned();
        let own = BUILTIN[0].1.split("- id: key-only").next().unwrap().replace("id: firewall", "id: own");
        let sources = Sources::new().with("playbooks/baseline.yaml", text).with("playbooks/own.yaml", own);
        let playbook = parsed(&sources);
        let origins: Vec<_> = playbook.controls.iter().map(|c| (c.id.as_str(), c.origin)).collect();
        assert_eq!(
            origins,
            [
                ("firewall", Origin::Changed),
                ("key-only", Origin::Changed),
                ("lockout", Origin::Builtin),
                ("patching", Origin::Builtin),
                ("baseline", Origin::Builtin),
                ("admin-allowlist", Origin::Builtin),
                ("private-data", Origin::Builtin),
                ("separation", Origin::Builtin),
                ("own", Origin::Project),
                ("persistence", Origin::Builtin),
                ("hosting", Origin::Builtin),
                ("encryption", Origin::Builtin),
                ("kernel", Origin::Builtin),
                ("time", Origin::Builtin),
            ]
        );
        assert_eq!(playbook.left_out, ["server-access".parse().unwrap()]);
    }
}
