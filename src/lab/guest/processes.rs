//! Processes and control groups of this machine, as the kernel shows them. Nothing is ended here.

use std::path::{Path, PathBuf};

/// Where version 2 control groups are mounted.
pub(super) fn control_groups() -> Option<PathBuf> {
    #[expect(clippy::disallowed_methods, reason = "/proc is where mounts are looked up")]
    let mounts = std::fs::read_to_string("/proc/self/mounts").ok()?;
    mounts.lines().find_map(|line| {
        let mut words = line.split(' ');
        let (_, path, kind) = (words.next()?, words.next()?, words.next()?);
        (kind == "cgroup2").then(|| PathBuf::from(path))
    })
}

#[expect(clippy::disallowed_methods, reason = "control groups are folders")]
pub(super) fn processes_below(group: &Path) -> Vec<u32> {
    let mut found: Vec<u32> = std::fs::read_to_string(group.join("cgroup.procs"))
        .unwrap_or_default()
        .lines()
        .filter_map(|line| line.parse().ok())
        .filter(|pid| *pid != 0)
        .collect();
    for below in folders_in(group) {
        found.extend(processes_below(&below));
    }
    found
}

/// From the deepest up; those that still hold processes stay.
pub(super) fn remove_empty_folders(group: &Path) {
    for below in folders_in(group) {
        remove_empty_folders(&below);
    }
    // a group with processes refuses; the caller looks again
    drop(std::fs::remove_dir(group));
}

#[expect(clippy::disallowed_methods, reason = "control groups are folders")]
fn folders_in(folder: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .map_while(Result::ok)
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path())
        .collect()
}

/// The name of a process's program, as the kernel keeps it.
#[expect(clippy::disallowed_methods, reason = "/proc is where processes are looked up")]
pub(super) fn name_of(pid: u32) -> Option<String> {
    std::fs::read_to_string(format!("/proc/{pid}/comm")).ok().map(|name| name.trim_end().to_owned())
}

/// The children of a process, in the order of their ids. This is asked many times a second while hosts boot, so it must not
/// look at every process of the machine where the kernel knows better (`CONFIG_PROC_CHILDREN`, as Debian builds it).
#[expect(clippy::disallowed_methods, reason = "/proc is where processes are looked up")]
pub(super) fn children_of(process: u32) -> Vec<u32> {
    let mut children: Vec<u32> =
        match std::fs::read_to_string(format!("/proc/{process}/task/{process}/children")) {
            Ok(text) => text.split_whitespace().filter_map(|pid| pid.parse().ok()).collect(),
            Err(_) => children_by_stat(process),
        };
    children.sort_unstable();
    children
}

/// The same by what every process says of its parent.
#[expect(clippy::disallowed_methods, reason = "/proc is where processes are looked up")]
fn children_by_stat(process: u32) -> Vec<u32> {
    let all = std::fs::read_dir("/proc").into_iter().flatten().map_while(Result::ok);
    let parent_of = |path: &Path| {
        let stat = std::fs::read_to_string(path.join("stat")).ok()?;
        stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse::<u32>().ok()
    };
    all.filter_map(|entry| {
        let pid = entry.file_name().to_str()?.parse().ok()?;
        (parent_of(&entry.path())? == process).then_some(pid)
    })
    .collect()
}
