//! What somebody leaves on a host: the ways to stay that the control `persistence` knows, and what lends rights or is open to
//! everyone, each planted by hand.

use super::breaks::{Parts, undone};

/// A way to stay, for each sort of place: what is planted, what is said of it, and how it goes.
const WAYS: [(&str, &str, &str, &str); 14] = [
    (
        "cron",
        "mkdir -p /etc/cron.d; printf '* * * * * root true\n' >/etc/cron.d/stay",
        "/etc/cron.d/stay (root:root 0644, sha256 ",
        "rm /etc/cron.d/stay",
    ),
    (
        "a user's cron",
        "mkdir -p /var/spool/cron/crontabs; echo '* * * * * true' >/var/spool/cron/crontabs/games",
        "/var/spool/cron/crontabs/games (",
        "rm /var/spool/cron/crontabs/games",
    ),
    (
        "a unit",
        "printf '[Service]\nExecStart=/bin/true\n' >/etc/systemd/system/stay.service",
        "/etc/systemd/system/stay.service (",
        "rm /etc/systemd/system/stay.service",
    ),
    (
        "a drop-in",
        "mkdir /etc/systemd/system/dbus.service.d; echo '[Service]' >/etc/systemd/system/dbus.service.d/stay.conf",
        "/etc/systemd/system/dbus.service.d/stay.conf (",
        "rm -r /etc/systemd/system/dbus.service.d",
    ),
    (
        "a generator",
        "mkdir -p /etc/systemd/system-generators; printf '#!/bin/sh\n' >/etc/systemd/system-generators/stay; chmod 755 /etc/systemd/system-generators/stay",
        "/etc/systemd/system-generators/stay (",
        "rm /etc/systemd/system-generators/stay",
    ),
    (
        "a link to what no package brought",
        "mkdir -p /etc/systemd/system/multi-user.target.wants; ln -s /opt/stay.service /etc/systemd/system/multi-user.target.wants/stay.service",
        "leads to /opt/stay.service",
        "rm /etc/systemd/system/multi-user.target.wants/stay.service",
    ),
    (
        "a changed unit",
        "echo '# stay' >>/usr/lib/systemd/system/ssh.service",
        "is not as openssh-server brought it",
        "sed -i '$d' /usr/lib/systemd/system/ssh.service",
    ),
    (
        "udev",
        "mkdir -p /etc/udev/rules.d; echo '# stay' >/etc/udev/rules.d/99-stay.rules",
        "/etc/udev/rules.d/99-stay.rules (",
        "rm /etc/udev/rules.d/99-stay.rules",
    ),
    (
        "what runs at a login",
        "echo : >/etc/profile.d/stay.sh",
        "/etc/profile.d/stay.sh (",
        "rm /etc/profile.d/stay.sh",
    ),
    (
        "a line of PAM's",
        "echo 'session optional pam_exec.so /bin/true' >>/etc/pam.d/common-session",
        "/etc/pam.d/common-session:",
        "sed -i '$d' /etc/pam.d/common-session",
    ),
    (
        "a service of PAM's",
        "echo '# stay' >>/etc/pam.d/sshd",
        "is not as openssh-server brought it",
        "sed -i '$d' /etc/pam.d/sshd",
    ),
    ("what every program loads", ": >/etc/ld.so.preload", "/etc/ld.so.preload (", "rm /etc/ld.so.preload"),
    (
        "a hook of apt's",
        "echo 'DPkg::Post-Invoke {\"true\";};' >/etc/apt/apt.conf.d/99stay",
        "/etc/apt/apt.conf.d/99stay (",
        "rm /etc/apt/apt.conf.d/99stay",
    ),
    (
        "an account's own unit",
        "install -d -o debian -g debian /home/debian/.config /home/debian/.config/systemd /home/debian/.config/systemd/user; echo >/home/debian/.config/systemd/user/stay.service",
        "/home/debian/.config/systemd/user/stay.service of debian",
        "rm -r /home/debian/.config",
    ),
];

/// All of them, as parts of the resource.
pub(super) fn planted(of: &mut Parts) {
    for (name, text, named, mended) in WAYS {
        of.add(name, undone(1, text, named, mended));
    }
}

/// What lends rights, and what everyone may write.
pub(super) fn permissions(of: &mut Parts) {
    of.add(
        "programs of nobody's",
        undone(
            0,
            "cp /bin/true /opt/lends; chmod 4755 /opt/lends",
            "/opt/lends (4755 root:root) lends its owner's rights, and no package brought it",
            "rm /opt/lends",
        ),
    );
    of.add(
        "programs that may not",
        undone(
            0,
            "chmod u+s /usr/bin/base64",
            "/usr/bin/base64 (4755 root:root) of coreutils lends its owner's rights, and is not among those that may",
            "chmod u-s /usr/bin/base64",
        ),
    );
    of.add(
        "programs that were changed",
        undone(
            0,
            "cp -a /usr/bin/chfn /root/kept; printf x >>/usr/bin/chfn; chmod 4755 /usr/bin/chfn",
            "/usr/bin/chfn (4755 root:root) lends its owner's rights, and is not as passwd brought it",
            "mv /root/kept /usr/bin/chfn",
        ),
    );
    of.add(
        "files that everyone may write",
        undone(0, "touch /etc/open; chmod 666 /etc/open", "everyone may write /etc/open", "rm /etc/open"),
    );
}
