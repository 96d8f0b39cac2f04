//! What identifies a package of Debian's beside its name, and a release that holds such.

use super::{Malformed, checked_text};

checked_text!(
    /// A package's version: digits, letters and `.+~:-`, a digit first (Debian Policy 5.6.12).
    PackageVersion,
    check_version
);
checked_text!(
    /// What a package was built for: `amd64`, `arm64`, or `all`.
    Architecture,
    check_architecture
);
checked_text!(
    /// A release: the day that the cycle has for it, `2026-11-28`, or the day on which it was planned out of turn,
    /// `2026-12-03-emergency`.
    ReleaseId,
    check_release
);

impl ReleaseId {
    /// What stands behind the day of one that was planned out of turn.
    const OUT_OF_TURN: &'static str = "-emergency";

    /// The release that the cycle has for `day`.
    pub fn regular(day: jiff::civil::Date) -> Self {
        Self(day.to_string())
    }

    /// One that is planned on `day`, out of turn.
    pub fn emergency(day: jiff::civil::Date) -> Self {
        Self(format!("{day}{}", Self::OUT_OF_TURN))
    }

    /// Whether it was planned out of turn.
    pub fn is_emergency(&self) -> bool {
        self.0.ends_with(Self::OUT_OF_TURN)
    }
}

fn check_version(text: &str) -> Result<(), Malformed> {
    let good = text.len() <= 128
        && text.starts_with(|c: char| c.is_ascii_digit())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b".+~:-".contains(&b));
    if good {
        Ok(())
    } else {
        let fix = "a digit first, then letters, digits and .+~:- (Debian Policy 5.6.12)";
        Err(Malformed::new("not a package's version", fix))
    }
}

fn check_architecture(text: &str) -> Result<(), Malformed> {
    if matches!(text, "amd64" | "arm64" | "all") {
        Ok(())
    } else {
        Err(Malformed::new("not an architecture that palisade supports", "amd64, arm64, or all"))
    }
}

fn check_release(text: &str) -> Result<(), Malformed> {
    let day = text.strip_suffix(ReleaseId::OUT_OF_TURN).unwrap_or(text);
    let shaped = day.len() == 10 && day.bytes().all(|b| b.is_ascii_digit() || b == b'-');
    if shaped && day.parse::<jiff::civil::Date>().is_ok() {
        Ok(())
    } else {
        Err(Malformed::new("not a release's name", "write a day, such as 2026-11-28 or 2026-12-03-emergency"))
    }
}
