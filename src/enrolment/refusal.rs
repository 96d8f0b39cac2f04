//! Why a host is not enrolled.

/// Why something is refused, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct Refusal {
    /// What stands in the way.
    pub why: String,
    /// What to do.
    pub fix: String,
}

impl Refusal {
    /// `why`, and the `fix`.
    pub fn new(why: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { why: why.into(), fix: fix.into() }
    }
}
