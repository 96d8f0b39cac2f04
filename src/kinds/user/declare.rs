//! How a playbook declares the kind `user`.

use serde::Serialize;

use super::User;
use crate::domain::UserName;
use crate::resource::declare::needed;
use crate::resource::{Declare, Unresolved};
use crate::scope::{Class, Scope};
use crate::source::Map;
use crate::source::shape::{Field, Shape, one_of_them};

/// Accounts, as a playbook declares them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum UserSpec {
    /// Each account of this class is there.
    Each(Class),
    /// No other account can log in: the vendor's is closed, and nobody else has uid 0.
    OthersClosed,
}

impl Declare for User {
    type Spec = UserSpec;

    const ABOUT: &'static str = "Accounts are there, or can no longer log in.";

    const FIELDS: &'static [Field] = &[
        one_of_them(
            "for_each",
            Shape::Word(&["people", "automation", "accounts"]),
            "Whose accounts are there.",
        ),
        one_of_them("others", Shape::Word(&["closed"]), "That no other account can log in."),
    ];

    fn parse(map: &Map<'_>) -> Option<UserSpec> {
        let classes =
            [("people", Class::Person), ("automation", Class::Automation), ("accounts", Class::Service)];
        match (map.field("for_each"), map.field("others")) {
            (Some(value), None) => value.one_of(&classes).map(UserSpec::Each),
            (None, Some(value)) => value.one_of(&[("closed", ())]).map(|()| UserSpec::OthersClosed),
            _ => {
                map.value().refuse(
                    "`for_each` or `others`, one of the two",
                    "write `user: {for_each: people}` or `user: {others: closed}`",
                );
                None
            }
        }
    }

    fn resolve(spec: &UserSpec, scope: Option<&Scope<'_>>) -> Result<Vec<Self>, Unresolved> {
        match spec {
            UserSpec::Each(class) => needed(scope, "the declared accounts")?
                .principals
                .iter()
                .filter(|principal| principal.class == *class)
                .map(|principal| {
                    Ok(Self::Present {
                        user: principal.user.clone(),
                        comment: principal.comment.clone(),
                        shell: principal.shell.clone(),
                        home: home(&principal.user).parse()?,
                    })
                })
                .collect(),
            UserSpec::OthersClosed => {
                let scope = needed(scope, "accounts that nobody declared")?;
                let declared = scope.principals.iter().map(|principal| principal.user.clone()).collect();
                Ok(vec![Self::OthersClosed { declared }])
            }
        }
    }
}

fn home(user: &UserName) -> String {
    format!("/home/{user}")
}
