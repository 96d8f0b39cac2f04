//! How a playbook declares the kind `file`.

use serde::Serialize;

use super::File;
use crate::domain::pattern::{ACCOUNT, MODE, TEMPLATE};
use crate::domain::{GroupName, Malformed, Mode, RemotePath, TemplateName, UserName};
use crate::resource::FileContent;
use crate::resource::declare::needed;
use crate::resource::{Declare, Unresolved};
use crate::scope::Scope;
use crate::source::Map;
use crate::source::shape::{DATA, Field, Shape, Text, one_of_them, optional, required};

/// A file, as a playbook declares it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct FileSpec {
    /// Its path.
    pub path: RemotePath,
    /// What it holds.
    pub body: FileBody,
    /// Its owner.
    pub owner: UserName,
    /// Its group.
    pub group: GroupName,
    /// Its permissions.
    pub mode: Mode,
}

/// What a file holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum FileBody {
    /// What this template gives.
    Template(TemplateName),
    /// This text.
    Content(String),
    /// Nothing: there is no such file.
    Absent,
}

/// Where no control may put a file: the kernel's own trees, and what boots the host.
const UNMANAGED: [&str; 4] = ["/proc", "/sys", "/dev", "/boot"];
/// Files that hold accounts. They change through `user` and `group` alone.
const ACCOUNT_FILES: [&str; 6] =
    ["/etc/passwd", "/etc/shadow", "/etc/group", "/etc/gshadow", "/etc/subuid", "/etc/subgid"];

const MANAGED: Text = Text {
    about: "an absolute path, outside of /proc, /sys, /dev and /boot",
    pattern: r"^(?!/(proc|sys|dev|boot|etc/(passwd|shadow|group|gshadow|subuid|subgid)$)(/|$))(/(?!\.{1,2}(/|$))[^/\u0000-\u001f\u007f-\u009f]+)+$",
    accepts: |text| text.parse::<RemotePath>().is_ok_and(|path| unmanaged(&path).is_none()),
    exact: false,
};

/// Why no control may put a file at `path`, and what to do.
pub(in crate::kinds) fn unmanaged(path: &RemotePath) -> Option<(String, &'static str)> {
    if let Some(tree) = UNMANAGED.iter().find(|tree| path.as_str() == **tree || path.is_below(tree)) {
        return Some((format!("a file below {tree} is not managed"), "declare what it is for, not the file"));
    }
    let holds_accounts = ACCOUNT_FILES.contains(&path.as_str());
    holds_accounts.then(|| ("accounts are not managed as a file".to_owned(), "declare `user` or `group`"))
}

impl Declare for File {
    type Spec = FileSpec;

    const ABOUT: &'static str = "A file stands where it shall, or does not.";

    const FIELDS: &'static [Field] = &[
        required("path", Shape::Text(&MANAGED), "Where."),
        one_of_them("template", Shape::Text(&TEMPLATE), "The template that gives its body."),
        one_of_them("content", Shape::Text(&DATA), "Its body."),
        one_of_them("absent", Shape::Boolean, "That there is no such file: true."),
        optional("owner", Shape::Text(&ACCOUNT), "Whose it is; root where it is left out."),
        optional("group", Shape::Text(&ACCOUNT), "Which group's it is; root where it is left out."),
        optional("mode", Shape::Text(&MODE), "Its permissions; \"0644\" where they are left out."),
    ];

    fn decides_access(spec: &FileSpec) -> bool {
        spec.path.is_below("/etc/ssh")
    }

    fn template(spec: &FileSpec) -> Option<&TemplateName> {
        match &spec.body {
            FileBody::Template(name) => Some(name),
            FileBody::Content(_) | FileBody::Absent => None,
        }
    }

    fn parse(map: &Map<'_>) -> Option<FileSpec> {
        let path = map.required("path").and_then(|value| {
            let path: RemotePath = value.parse()?;
            if let Some((why, fix)) = unmanaged(&path) {
                value.refuse(&why, fix);
            }
            Some(path)
        });
        let body = body(map);
        let or_root = |name: &str| {
            map.field(name).map_or_else(|| "root".parse().ok(), |value| value.parse::<UserName>())
        };
        let owner = or_root("owner");
        let group = match map.field("group") {
            Some(value) => value.parse::<GroupName>(),
            None => Some(GroupName::root()),
        };
        let mode = match map.field("mode") {
            Some(value) => value.parse::<Mode>(),
            None => Some(Mode::PUBLIC),
        };
        Some(FileSpec { path: path?, body: body?, owner: owner?, group: group?, mode: mode? })
    }

    fn resolve(spec: &FileSpec, scope: Option<&Scope<'_>>) -> Result<Vec<Self>, Unresolved> {
        let text = match &spec.body {
            FileBody::Absent => None,
            FileBody::Content(text) => Some(text.clone()),
            FileBody::Template(name) => {
                let scope = needed(scope, "files made from the inventory")?;
                Some(scope.body(name).map_err(Unresolved::Template)?)
            }
        };
        let content = text.map(|content| FileContent {
            content,
            mode: spec.mode,
            owner: spec.owner.clone(),
            group: spec.group.clone(),
        });
        Ok(vec![Self { path: spec.path.clone(), content }])
    }
}

fn body(map: &Map<'_>) -> Option<FileBody> {
    let bodies: Vec<&str> =
        ["template", "content", "absent"].into_iter().filter(|name| map.field(name).is_some()).collect();
    match bodies.as_slice() {
        ["template"] => map.field("template").and_then(|value| value.parse()).map(FileBody::Template),
        ["content"] => {
            map.field("content").and_then(|value| value.text()).map(|text| FileBody::Content(text.to_owned()))
        }
        ["absent"] => map.field("absent").and_then(|value| {
            let absent = value.boolean()?;
            value.checked(absent.then_some(FileBody::Absent).ok_or_else(|| {
                Malformed::new(
                    "a file is absent, or it has a body",
                    "write `absent: true`, `template: NAME` or `content: TEXT`",
                )
            }))
        }),
        _ => {
            map.value()
                .refuse("a file has one of `template`, `content` and `absent`", "write exactly one of them");
            None
        }
    }
}
