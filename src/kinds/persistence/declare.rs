//! How a playbook declares the kind `persistence`.

use super::Persistence;
use crate::resource::declare::list;
use crate::resource::{Declare, Unresolved};
use crate::scope::Scope;
use crate::source::Map;
use crate::source::shape::{Field, Shape, Text, required};
use crate::text::Malformed;

/// A place, or all in a folder.
const ENTRY: Text = Text {
    about: "an absolute path; a folder with /* behind it for all in it",
    pattern: r"^/[^\s*]*[^\s*/](/\*)?$",
    accepts: is_entry,
    exact: true,
};

fn is_entry(text: &str) -> bool {
    let path = text.strip_suffix("/*").unwrap_or(text);
    path.len() > 1
        && path.starts_with('/')
        && !path.ends_with('/')
        && !path.contains(|c: char| c.is_whitespace() || c == '*')
}

impl Declare for Persistence {
    type Spec = Persistence;

    const ABOUT: &'static str = "What begins to run by itself was brought by a package or is declared.";

    const FIELDS: &'static [Field] = &[required(
        "declared",
        Shape::List { of: &Shape::Text(&ENTRY), least: 0 },
        "Files that no package brought, and that belong there.",
    )];

    fn parse(map: &Map<'_>) -> Option<Persistence> {
        let declared = list(&map.required("declared")?, |item| {
            let text = item.text()?;
            let well = is_entry(text).then(|| text.to_owned());
            item.checked(well.ok_or_else(|| Malformed::new("not a place", format!("write {}", ENTRY.about))))
        })?;
        Some(Self { declared })
    }

    fn resolve(spec: &Persistence, _scope: Option<&Scope<'_>>) -> Result<Vec<Self>, Unresolved> {
        Ok(vec![spec.clone()])
    }
}
