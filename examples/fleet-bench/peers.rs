//! Ansible and pyinfra as contenders, where they are installed. They are asked to read about what the probe reads (packages
//! and their files, services, kernel settings, sshd's effective settings, firewall, listeners, accounts, keys, files,
//! updates, disks, time) by the modules and facts that they have for it, else by a command. They judge nothing of it,
//! compare nothing with an inventory and keep no record: that would have to be written first.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;
use palisade::program;

use crate::CONCURRENCY;

/// Commands that neither has a module or fact for, read-only and of no consequence.
const COMMANDS: [&str; 9] = [
    "sshd -T",
    "nft list ruleset",
    "ss -Hltunp",
    "timedatectl show",
    "lsblk --json -o NAME,TYPE,MOUNTPOINT",
    "dpkg --verify",
    "dpkg --audit",
    "apt-get -s dist-upgrade",
    "find /etc/ssh /etc/sudoers.d /root /home -maxdepth 3 -type f",
];

const FILES: [&str; 8] = [
    "/etc/passwd",
    "/etc/shadow",
    "/etc/group",
    "/etc/gshadow",
    "/etc/sudoers",
    "/etc/ssh/sshd_config",
    "/etc/crontab",
    "/etc/fstab",
];

/// How the hosts are entered, as for the floor.
pub(crate) struct Entrance<'a> {
    pub(crate) addresses: &'a [String],
    pub(crate) known_hosts: &'a Path,
    pub(crate) key: &'a Path,
}

/// A program in `$FLEET_BENCH_PEERS` or on the path.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let own = std::env::var_os("FLEET_BENCH_PEERS").map(PathBuf::from);
    let path = std::env::var_os("PATH").unwrap_or_default();
    own.into_iter()
        .chain(std::env::split_paths(&path))
        .map(|folder| folder.join(program))
        .find(|file| file.is_file())
}

/// Pipelining, as many forks as the others, and connections that are kept from task to task: what its documentation gives
/// as the fast way. What is installed is asked of dpkg, since its own module needs python3-apt on every host. Each turn begins without connections, as for everybody.
pub(crate) fn ansible(installed: &Path, folder: &Path, enter: &Entrance<'_>) -> Result<Command> {
    let folder = folder.join("ansible");
    fs::create_dir_all(&folder)?;
    let config = format!(
        "[defaults]\nforks = {CONCURRENCY}\nhost_key_checking = True\ninterpreter_python = /usr/bin/python3\n\
         local_tmp = {0}/tmp\n[ssh_connection]\npipelining = True\ncontrol_path_dir = {0}/cp\nssh_args = -F none -o ControlMaster=auto \
         -o ControlPersist=20s -o UserKnownHostsFile={1} -o IdentitiesOnly=yes -o IdentityAgent=none \
         -o KexAlgorithms=curve25519-sha256 -o Ciphers=chacha20-poly1305@openssh.com\n",
        folder.display(),
        enter.known_hosts.display()
    );
    fs::write(folder.join("ansible.cfg"), config)?;
    let mut inventory = String::new();
    for address in enter.addresses {
        writeln!(
            inventory,
            "{address} ansible_user=alice ansible_ssh_private_key_file={}",
            enter.key.display()
        )?;
    }
    fs::write(folder.join("hosts"), inventory)?;
    let mut play = String::from(
        "- hosts: all\n  gather_facts: false\n  become: true\n  tasks:\n    - ansible.builtin.service_facts:\n    - ansible.builtin.getent: {database: passwd}\n    \
         - ansible.builtin.getent: {database: group}\n",
    );
    for command in COMMANDS.iter().chain(&["sysctl -a", "dpkg-query -W"]) {
        writeln!(
            play,
            "    - ansible.builtin.command: {command}\n      changed_when: false\n      failed_when: false"
        )?;
    }
    writeln!(play, "    - ansible.builtin.stat: {{path: \"{{{{ item }}}}\"}}\n      loop: {FILES:?}")?;
    fs::write(folder.join("play.yml"), play)?;
    let mut command = program::at(installed);
    command.env("ANSIBLE_CONFIG", folder.join("ansible.cfg")).arg("-i").arg(folder.join("hosts"));
    command.arg(folder.join("play.yml"));
    Ok(command)
}

/// Its facts, many hosts at a time. Its key exchange is its own library's choice.
pub(crate) fn pyinfra(installed: &Path, folder: &Path, enter: &Entrance<'_>) -> Result<Command> {
    let folder = folder.join("pyinfra");
    fs::create_dir_all(&folder)?;
    let data = format!(
        "{{'ssh_user': 'alice', 'ssh_key': '{}', 'ssh_known_hosts_file': '{}', 'ssh_strict_host_key_checking': 'yes', \
         'ssh_allow_agent': False, 'ssh_look_for_keys': False}}",
        enter.key.display(),
        enter.known_hosts.display()
    );
    let hosts: Vec<&str> = enter.addresses.iter().map(String::as_str).collect();
    fs::write(folder.join("inventory.py"), format!("hosts = ({hosts:?}, {data})\n"))?;
    let mut deploy = String::from(
        "from pyinfra import host\nfrom pyinfra.facts.deb import DebPackages\nfrom pyinfra.facts.files import File\n\
         from pyinfra.facts.server import Command, Groups, Sysctl, Users\nfrom pyinfra.facts.systemd import SystemdStatus\n\
         for fact in (DebPackages, SystemdStatus, Sysctl, Users, Groups):\n    host.get_fact(fact, _sudo=True)\n",
    );
    for command in COMMANDS {
        writeln!(deploy, "host.get_fact(Command, command={:?}, _sudo=True)", format!("{command} || true"))?;
    }
    for file in FILES {
        writeln!(deploy, "host.get_fact(File, path={file:?}, _sudo=True)")?;
    }
    fs::write(folder.join("deploy.py"), deploy)?;
    let mut command = program::at(installed);
    command.args(["--dry", "-y", "--parallel", CONCURRENCY]);
    command.arg(folder.join("inventory.py")).arg(folder.join("deploy.py"));
    Ok(command)
}
