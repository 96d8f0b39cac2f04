//! palisade turns a security page into running servers and proof.
//!
//! ```text
//! inventory ─┐
//!            ├► desired ► probe ══ssh══► observation ► plan ► transaction ══ssh══► verify ► evidence ► report
//! playbook ──┘  (pure)    (one trip)                  (pure)  (armed first)      (same probe)
//! ```
//!
//! Everything that decides is pure and takes text, time and ids as arguments. Everything that touches the
//! world is thin and decides nothing. A module imports only from modules declared above it, and within a
//! module no two files use each other; `tests/pure/layering.rs` and `circles.rs` enforce it.

// pure: no file, no process, no clock
pub mod text;
pub mod style;
pub mod source;
pub mod domain;
pub mod calendar;
pub mod journal;
pub mod known_hosts;
pub mod shell;
pub mod inventory;
pub mod scope;
pub mod resource;
pub mod kinds;
pub mod playbook;
pub mod waiver;
pub mod template;
pub mod desired;
pub mod probe;
pub mod plan;
pub mod transaction;
pub mod enrolment;
pub mod release;
pub mod record;
pub mod rollout;
pub mod schema;
pub mod event;
// I/O: thin, decides nothing
pub mod program;
pub mod transport;
pub mod store;
pub mod openpgp;
pub mod signing;
pub mod mail;
pub mod secret;
pub mod project;
pub mod lab;
pub mod fleet;
pub mod demo;
pub mod report;
pub mod ui;
pub mod failure;
pub mod command;
pub mod cli;
