//! A project without refusals, for a terminal.

use std::fmt::Write as _;

use crate::report::Checked;

/// What was checked, and what differs from what palisade comes with.
pub(super) fn checked(checked: &Checked<'_>) -> String {
    let Checked { project, differs, stale } = checked;
    let counts = checked.counts();
    let mut text = format!(
        "{} environments, {} hosts, {} listeners, {} people, {} controls, {} templates in {} files: nothing is refused\n",
        counts.environments,
        counts.hosts,
        counts.listeners,
        counts.people,
        counts.controls,
        counts.templates,
        project.inputs.len(),
    );
    if !differs.is_empty() {
        let _ = writeln!(text, "differs from what palisade comes with: {}", differs.join(", "));
    }
    for subject in *stale {
        let _ = writeln!(
            text,
            "{} is of another palisade, and editors check by it: renew it with `palisade schema {} > {}`",
            subject.path(),
            subject.as_str(),
            subject.path()
        );
    }
    text
}
