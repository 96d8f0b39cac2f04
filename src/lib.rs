//! palisade turns a security page into running servers and proof.
//!
//! ```text
//! inventory ─┐
//!            ├► desired ► probe ══ssh══► observation ► plan ► transaction ══ssh══► verify ► evidence ► report
//! playbook ──┘  (pure)    (one trip)                  (pure)  (armed first)      (same probe)
//! ```
//!
//! Everything that decides is pure and takes text, time and ids as arguments. Everything that touches the
//! world is thin and decides nothing. A module imports only from modules declared above it; `tests/layering.rs`
//! enforces it.

// pure: no file, no process, no clock
pub mod desired;
pub mod domain;
pub mod event;
pub mod evidence;
pub mod inventory;
pub mod known_hosts;
pub mod plan;
pub mod playbook;
pub mod probe;
pub mod resource;
pub mod shell;
pub mod source;
pub mod template;
pub mod text;
pub mod transaction;
// I/O: thin, decides nothing
pub mod cli;
pub mod command;
pub mod demo;
pub mod failure;
pub mod fleet;
pub mod lab;
pub mod report;
pub mod store;
pub mod transport;
pub mod ui;
