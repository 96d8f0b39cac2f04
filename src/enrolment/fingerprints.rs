//! The file of `--fingerprints`: host names, each with the fingerprint that a person read on its console, or several
//! where it has several keys.

use std::collections::BTreeMap;

use crate::domain::{Fingerprint, HostName};
use crate::source::{Document, Refusals, Report};

/// Reads `bytes`, which errors call `path`.
pub fn parse_fingerprints(
    path: &str,
    bytes: &[u8],
) -> Result<BTreeMap<HostName, Vec<Fingerprint>>, Refusals> {
    let report = Report::new();
    let document = Document::read(path, bytes, &report);
    let given = document.as_ref().and_then(|document| {
        let mut given: BTreeMap<HostName, Vec<Fingerprint>> = BTreeMap::new();
        for (name, value) in document.root(&report)?.entries()? {
            let values = if value.is_list() { value.list()? } else { vec![value.clone()] };
            if values.is_empty() {
                value.refuse("an empty list", "write a fingerprint, or leave the host out");
            }
            let prints = values.iter().filter_map(crate::source::Value::parse).collect();
            match name.parse::<HostName>() {
                Ok(name) => drop(given.insert(name, prints)),
                Err(error) => value.refuse_key(&error.why, &error.fix),
            }
        }
        Some(given)
    });
    report.finish(given)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRINT: &str = "SHA256:uNiVztksCsDhcc0u9e8BrJXL44DoIKgiZEPj0GSqIGE";

    #[test]
    fn one_fingerprint_or_several() {
        let text = format!("web-1: {PRINT}\n\"db-1\": [\"{PRINT}\", {PRINT}]\n");
        let given = parse_fingerprints("f.yaml", text.as_bytes()).unwrap();
        assert_eq!(given[&"web-1".parse().unwrap()].len(), 1);
        assert_eq!(given[&"db-1".parse().unwrap()].len(), 2);
    }

    #[test]
    fn what_is_no_fingerprint_is_refused_where_it_stands() {
        for text in ["web-1: SHA256:short", "web-1: []", "web-1: MD5:aa:bb", "Web: x", "- x", ""] {
            let refused = parse_fingerprints("f.yaml", text.as_bytes()).unwrap_err();
            assert!(refused.to_string().contains("f.yaml"), "{text}: {refused}");
        }
    }
}
