//! sshd.

pub(crate) mod config;
