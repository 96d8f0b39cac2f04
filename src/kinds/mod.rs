//! Every kind of resource: a folder each, with what it is (`mod.rs`), how a playbook declares it (`declare.rs`) and what is
//! asked of a host (`answer.rs`). A new kind is one folder and one line of [`kinds!`]; what follows from the whole list is
//! made here: the enums, the parser's dispatch, the questions of a look, and the shapes that the JSON Schema is made of.

pub mod authorized_keys;
pub mod encryption;
pub mod file;
pub mod firewall;
pub mod group;
pub mod lockout;
pub mod machine;
pub mod modules;
pub mod mounts;
pub mod package;
pub mod permissions;
pub mod persistence;
pub mod releases;
pub mod secret;
pub mod separation;
pub mod service;
pub mod sockets;
pub mod sources;
pub mod sshd;
pub mod sudo;
pub mod sysctl;
pub mod time;
pub mod time_zone;
pub mod updates;
pub mod user;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::domain::TemplateName;
use crate::resource::{
    Declare, Defeated, Frame, FrameError, Kind, Question, Reading, Step, Unread, Unresolved, Verdict,
};
use crate::scope::Scope;
use crate::source::Map;
use crate::source::shape::{self, Shape};

macro_rules! kinds {
    ($($variant:ident => $type:ty, $label:literal;)*) => {
        /// The names of all kinds, as playbooks write them.
        pub const KINDS: &[&str] = &[$($label),*];

        /// How a playbook declares each kind.
        pub const SHAPES: &[shape::Kind] = &[$(shape::Kind {
            name: $label,
            about: <$type as Declare>::ABOUT,
            fields: Shape::Fields(<$type as Declare>::FIELDS),
        }),*];

        /// One declaration of any kind, before it is resolved for a host.
        #[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
        pub enum Declaration {
            $(
                #[doc = concat!("A declaration of kind `", $label, "`.")]
                #[serde(rename = $label)]
                $variant(<$type as Declare>::Spec),
            )*
        }

        impl Declaration {
            /// Reads the fields of a declaration of `kind`. None where something was refused, which the reader has
            /// written down.
            pub fn parse(kind: &str, map: &Map<'_>) -> Option<Self> {
                match kind {
                    $($label => <$type as Declare>::parse(map).map(Self::$variant),)*
                    _ => None,
                }
            }

            /// The resources that it means on a host. Without a scope, those that need no inventory.
            pub fn resolve(&self, scope: Option<&Scope<'_>>) -> Result<Vec<Resource>, Unresolved> {
                match self {
                    $(Self::$variant(spec) => {
                        let all = <$type as Declare>::resolve(spec, scope)?;
                        Ok(all.into_iter().map(Resource::$variant).collect())
                    })*
                }
            }

            /// Whether it decides who gets in: [`Declare::decides_access`].
            pub fn decides_access(&self) -> bool {
                match self { $(Self::$variant(spec) => <$type as Declare>::decides_access(spec),)* }
            }

            /// The template that it names.
            pub fn template(&self) -> Option<&TemplateName> {
                match self { $(Self::$variant(spec) => <$type as Declare>::template(spec),)* }
            }

            /// Why a host of the lab cannot keep it: [`Declare::waived_in_lab`].
            pub fn waived_in_lab(&self, machine: bool) -> Option<&'static str> {
                match self { $(Self::$variant(_) => <$type as Declare>::waived_in_lab(machine),)* }
            }
        }

        /// One resource of any kind.
        #[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema, Deserialize)]
        pub enum Resource {
            $(
                #[doc = concat!("A resource of kind `", $label, "`.")]
                #[serde(rename = $label)]
                $variant($type),
            )*
        }

        /// One answer of any kind.
        #[derive(Debug, Clone, Serialize, schemars::JsonSchema)]
        pub enum Answer {
            $(
                #[doc = concat!("An answer of kind `", $label, "`.")]
                #[serde(rename = $label)]
                $variant(<$type as Kind>::Answer),
            )*
        }

        impl Resource {
            /// The kind's name.
            pub fn kind(&self) -> &'static str {
                match self { $(Self::$variant(_) => $label,)* }
            }

            /// Whether no step changes what it is about: [`Kind::STAYS`].
            pub fn stays(&self) -> bool {
                match self { $(Self::$variant(_) => <$type as Kind>::STAYS,)* }
            }

            /// Whether it is asked of the staged tree too: [`Kind::STAGED`].
            pub fn is_staged(&self) -> bool {
                match self { $(Self::$variant(_) => <$type as Kind>::STAGED,)* }
            }

            /// Whether it bears on who gets in: [`Kind::ACCESS`].
            pub fn bears_on_access(&self) -> bool {
                match self { $(Self::$variant(_) => <$type as Kind>::ACCESS,)* }
            }

            /// Which resource this is, for people.
            pub fn name(&self) -> String {
                match self { $(Self::$variant(resource) => resource.name(),)* }
            }

            /// What `answer` means. An answer of another kind is unknown.
            pub fn judge(&self, answer: &Answer, now: Timestamp) -> Verdict {
                match (self, answer) {
                    $((Self::$variant(resource), Answer::$variant(answer)) => resource.judge(answer, now),)*
                    _ => Verdict::Unknown { reason: "the answer belongs to another kind".to_owned() },
                }
            }

            /// The steps that would make it compliant.
            pub fn remedy(&self, answer: &Answer) -> Result<Vec<Step>, Defeated> {
                match (self, answer) {
                    $((Self::$variant(resource), Answer::$variant(answer)) => resource.remedy(answer),)*
                    _ => Ok(Vec::new()),
                }
            }
        }

        /// One question for each kind that `resources` hold, in the order of [`KINDS`].
        pub fn questions(resources: &[&Resource]) -> Vec<Question> {
            let mut questions = Vec::new();
            $(
                let all: Vec<&$type> = resources
                    .iter()
                    .filter_map(|resource| match resource { Resource::$variant(one) => Some(one), _ => None })
                    .collect();
                if !all.is_empty() {
                    questions.push(<$type as Kind>::question(&all));
                }
            )*
            questions
        }

        /// One reading for each of `resources`, in their order, from the frames that `answer_to` finds.
        pub fn read(
            resources: &[&Resource],
            answer_to: impl Fn(&Question) -> Result<Frame, FrameError>,
        ) -> Vec<Reading<Answer>> {
            let mut readings: Vec<Reading<Answer>> =
                resources.iter().map(|_| Err(Unread("the kind gave no reading".to_owned()))).collect();
            $(
                let (places, all): (Vec<usize>, Vec<&$type>) = resources
                    .iter()
                    .enumerate()
                    .filter_map(|(place, resource)| match resource { Resource::$variant(one) => Some((place, one)), _ => None })
                    .unzip();
                if !all.is_empty() {
                    let answers = match answer_to(&<$type as Kind>::question(&all)) {
                        Ok(frame) => <$type as Kind>::read(&all, &whole_lines(frame)),
                        Err(error) => all.iter().map(|_| Err(Unread::from(error.clone()))).collect(),
                    };
                    for (place, answer) in places.into_iter().zip(answers) {
                        if let Some(slot) = readings.get_mut(place) {
                            *slot = answer.map(Answer::$variant);
                        }
                    }
                }
            )*
            readings
        }
    };
}

/// Every question is answered in lines. What stands behind the last line's end is half of one, and may say something
/// else than the whole: `enabled` of `enabled-runtime`, an early time of a late one.
fn whole_lines(mut frame: Frame) -> Frame {
    let end = frame.stdout.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    frame.stdout.truncate(end);
    frame
}

kinds! {
    Package => package::Package, "package";
    File => file::File, "file";
    Secret => secret::Secret, "secret";
    Service => service::Service, "service";
    User => user::User, "user";
    Group => group::Group, "group";
    Sockets => sockets::Sockets, "sockets";
    AuthorizedKeys => authorized_keys::AuthorizedKeys, "authorized-keys";
    Nftables => firewall::nftables::Nftables, "nftables";
    Lockout => lockout::Lockout, "lockout";
    Sshd => sshd::Sshd, "sshd";
    Sudo => sudo::Sudo, "sudo";
    Machine => machine::Machine, "machine";
    Time => time::Time, "time";
    TimeZone => time_zone::TimeZone, "time-zone";
    Encryption => encryption::Encryption, "encryption";
    Allowlist => firewall::allowlist::Allowlist, "allowlist";
    Exposure => firewall::exposure::Exposure, "exposure";
    Separation => separation::Separation, "separation";
    Updates => updates::Updates, "updates";
    Releases => releases::Releases, "releases";
    PackageSources => sources::PackageSources, "sources";
    Permissions => permissions::Permissions, "permissions";
    Persistence => persistence::Persistence, "persistence";
    Sysctl => sysctl::Sysctl, "sysctl";
    Modules => modules::Modules, "modules";
    Mounts => mounts::Mounts, "mounts";
}
