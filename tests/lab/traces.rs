//! What a lab leaves on the machine that it runs on: routes, namespaces, interfaces, control groups, files, processes. It
//! removes nothing.

use palisade::lab::LabRecord;
use palisade::program::Program;

/// Everything on this machine that belongs to the lab with this id.
pub(crate) fn traces(lab: &LabRecord) -> Vec<String> {
    let id = lab.id.as_str();
    let mut found = Vec::new();
    for family in ["-4", "-6"] {
        let routes = Program::Ip.command().args([family, "route"]).output().expect("ip starts");
        let routes = String::from_utf8_lossy(&routes.stdout).into_owned();
        for network in [lab.networks.all_v4, lab.networks.all_v6] {
            found
                .extend(routes.lines().filter(|line| line.contains(&network.to_string())).map(str::to_owned));
        }
    }
    let mut look = |folder: &str, starts: &str| {
        for entry in std::fs::read_dir(folder).into_iter().flatten().map_while(Result::ok) {
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.starts_with(starts) {
                found.push(format!("{folder}/{name}"));
            }
        }
    };
    look("/run/netns", &format!("palisade-{id}"));
    look("/sys/class/net", &format!("pal-{id}"));
    look("/sys/fs/cgroup", &format!("palisade-{id}"));
    look("/sys/fs/cgroup/unified", &format!("palisade-{id}"));
    look("/var/cache/palisade/lab/labs", id);
    let folder = format!("/var/cache/palisade/lab/labs/{id}");
    for process in std::fs::read_dir("/proc").into_iter().flatten().map_while(Result::ok) {
        let read = |file: &str| std::fs::read(process.path().join(file)).unwrap_or_default();
        for file in ["cmdline", "mountinfo"] {
            if String::from_utf8_lossy(&read(file)).contains(&folder) {
                found.push(format!("{}/{file}", process.path().display()));
            }
        }
    }
    found
}
