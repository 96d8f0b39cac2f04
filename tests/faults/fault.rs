//! The faults, as data: at which step of a change each strikes, what it is, and the end that it must come to. It strikes
//! nothing itself.

use std::sync::LazyLock;

use palisade::lab::Fault as Loss;

/// One fault, whichever phase it strikes in.
#[derive(Debug)]
pub(crate) struct Fault {
    pub(crate) name: &'static str,
    /// The step of docs/safety.md.
    pub(crate) step: &'static str,
    /// palisade is held before this part of the phase.
    pub(crate) at: &'static str,
    /// What is run on the host while palisade is held there.
    pub(crate) on_host: &'static str,
    /// Whether palisade is let go then, until the host's own script stands where [`stop_at`] made it stop.
    pub(crate) stops: bool,
    pub(crate) blow: Blow,
    /// Whether it can strike in widen, which loads no ruleset on a host that has none.
    pub(crate) in_widen: bool,
    /// What is run on the host to undo the damage, before the host is looked at.
    pub(crate) mend: &'static str,
    pub(crate) end: End,
    /// What took the host back, as it wrote down itself; none where nothing was armed. Where two may be first, both.
    pub(crate) back_by: &'static [&'static str],
    /// Words of the reason that palisade gives.
    pub(crate) reason: &'static str,
}

/// What strikes.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Blow {
    /// Nothing more than what was done on the host.
    Nothing,
    /// palisade is killed, and can do nothing more.
    Kill,
    /// The network loses this until the host has gone back.
    Lose(Loss),
    /// New connections are lost until palisade has given up.
    LoseForGood,
    /// What was done on the host keeps palisade out until it has gone back, and is mended then.
    ShutOut,
    /// palisade is killed; what was done on the host keeps it from going back, until that is mended.
    KillAndKeep,
    /// What was done on the host keeps it from going back, until palisade has given up.
    Keep,
    /// What was done on the host keeps it from going back, until somebody mends that in the provider's rescue system,
    /// and does there what palisade said.
    Rescue,
    /// palisade is let go one second before the host's deadline.
    Late,
    /// The host is rebooted, as by its own administrator.
    Reboot,
    /// The host loses its power, and gets it back.
    PowerCut,
    /// Somebody presses Ctrl-C, or a supervisor ends palisade.
    Signal(&'static str),
    /// New connections are lost, and somebody presses Ctrl-C until palisade leaves.
    LeaveAlone,
}

impl Fault {
    /// Whether it can strike a virtual machine as it strikes a container: the rescue system of the lab knows containers'
    /// disks alone.
    pub(crate) fn strikes_machines(&self) -> bool {
        !matches!(self.blow, Blow::Rescue)
    }
}

/// How it must end. Whatever is not [`End::Done`] leaves the host as it was before the phase.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// palisade is gone, and says nothing.
    Silent,
    /// Taken back, and seen to be.
    Back,
    /// Taken back, and seen to be; the run was told to end.
    Interrupted,
    /// It is said that the host's state is not known.
    Unknown,
    /// Nothing was changed in this phase, for something failed.
    Failed,
    /// Nothing was changed, for a gate refused.
    Refused,
}

impl End {
    /// palisade's exit code; none where it was killed.
    pub(crate) fn exit(self) -> Option<i32> {
        match self {
            Self::Silent => None,
            Self::Back => Some(5),
            Self::Interrupted | Self::Unknown | Self::Failed => Some(1),
            Self::Refused => Some(6),
        }
    }

    /// What the JSON document says of the host; none where there is no document.
    pub(crate) fn state(self) -> Option<&'static str> {
        match self {
            Self::Silent => None,
            Self::Back | Self::Interrupted => Some("rolled-back"),
            Self::Unknown | Self::Failed => Some("failed"),
            Self::Refused => Some("refused"),
        }
    }
}

/// Shell that puts a program in front of the real one of the same name: on arguments that match a pattern it runs a text
/// first. What it does not end, the real one does. It is on the disk before a power cut, or an empty program would be
/// there after it, which does nothing and says that all is well.
macro_rules! in_front_of {
    ($program:literal, $pattern:literal, $($text:expr),+) => {
        concat!(
            "cat >/usr/local/sbin/", $program, " <<'END'\n#!/bin/sh\nPATH=/usr/sbin:/usr/bin:/sbin:/bin\n\
             case \"$*\" in ", $pattern, ") ", $($text,)+ " ;; esac\nexec ", $program, " \"$@\"\nEND\n\
             chmod 0755 /usr/local/sbin/", $program, "\nsync /usr/local/sbin/", $program, " /usr/local/sbin\n"
        )
    };
}

pub(crate) use in_front_of;

/// A line of shell that shows that it was come to, and stands there as long as it is told to.
macro_rules! stand_still {
    () => {
        "if [ -e /run/lab-hold ]; then : >/run/lab-reached; while [ -e /run/lab-hold ]; do sleep 0.05; done; fi"
    };
}

/// The host's script stands before sshd reads its new configuration, which is in place.
pub(crate) const BEFORE_RELOAD: &str =
    concat!(": >/run/lab-hold\n", in_front_of!("systemctl", "'reload ssh.service'", stand_still!()));

/// The host's script stands behind the loading of the new ruleset.
const BEHIND_RULESET: &str = concat!(
    ": >/run/lab-hold\n",
    in_front_of!("nft", "'-f '*/new.ruleset", "nft \"$@\"; status=$?; ", stand_still!(), "; exit $status")
);

/// The host's script stands before it starts the rollback's timer.
const BEFORE_TIMER: &str =
    concat!(": >/run/lab-hold\n", in_front_of!("systemd-run", "*palisade-rollback-*", stand_still!()));

/// The host's script stands between the rename that commits and the stop of the timer.
pub(crate) const BEHIND_COMMIT: &str =
    concat!(": >/run/lab-hold\n", in_front_of!("systemctl", "'stop palisade-rollback-'*", stand_still!()));

/// Takes away what was put in front, and lets go what stands.
pub(crate) const LET_GO: &str = "rm -f /run/lab-* /usr/local/sbin/systemctl /usr/local/sbin/systemd-run /usr/local/sbin/nft \
                                 /usr/local/sbin/mv";

/// What becomes of a fault that says nothing else.
const KILLED: Fault = Fault {
    name: "",
    step: "",
    at: "verifying",
    on_host: "",
    stops: false,
    blow: Blow::Kill,
    in_widen: true,
    mend: "",
    end: End::Silent,
    back_by: &["timer"],
    reason: "",
};
const BACK: Fault = Fault { blow: Blow::Nothing, end: End::Back, back_by: &["asked"], ..KILLED };

/// palisade is killed.
const KILL: &[Fault] = &[
    Fault { name: "control node killed once the host is armed", step: "4", at: "validating", ..KILLED },
    Fault { name: "control node killed before the switch", step: "5", at: "switching", ..KILLED },
    Fault { name: "control node killed once switched", step: "7", at: "verifying", ..KILLED },
];
const KILL_WITHIN: &[Fault] = &[
    Fault {
        name: "control node killed while it arms, before the timer runs",
        step: "4",
        at: "arming",
        on_host: BEFORE_TIMER,
        stops: true,
        ..KILLED
    },
    Fault {
        name: "control node killed in mid-switch, before sshd's reload",
        step: "6",
        at: "switching",
        on_host: BEFORE_RELOAD,
        stops: true,
        ..KILLED
    },
    Fault {
        name: "control node killed once verified, before it confirms",
        step: "8",
        at: "confirming",
        ..KILLED
    },
];

/// Nothing is armed, or nothing needs to be waited for.
const EARLY: &[Fault] = &[
    Fault { name: "control node killed in pre-flight", step: "1", at: "preflight", back_by: &[], ..KILLED },
    Fault { name: "control node killed before it arms", step: "2, 3", at: "arming", back_by: &[], ..KILLED },
    Fault {
        name: "/etc is mounted read-only",
        step: "1",
        at: "preflight",
        on_host: READ_ONLY,
        mend: WRITABLE,
        end: End::Refused,
        back_by: &[],
        reason: "is mounted read-only",
        ..BACK
    },
    Fault {
        name: "a file is edited by hand between plan and apply",
        step: "3",
        at: "arming",
        on_host: "cd /etc/ssh/sshd_config.d; cp -a 00-palisade-widen.conf /run/lab-edited 2>/dev/null; \
                  echo '# by hand' >>00-palisade-widen.conf",
        mend: "cd /etc/ssh/sshd_config.d; rm 00-palisade-widen.conf; \
               [ ! -e /run/lab-edited ] || cp -a /run/lab-edited 00-palisade-widen.conf",
        end: End::Refused,
        back_by: &[],
        reason: "is not what the plan saw",
        ..BACK
    },
    Fault {
        name: "systemd-run fails",
        step: "4",
        at: "arming",
        on_host: in_front_of!("systemd-run", "*palisade-rollback-*", "echo 'no bus' >&2; exit 1"),
        end: End::Failed,
        back_by: &[],
        reason: "the rollback timer could not be started: no bus",
        ..BACK
    },
    Fault {
        name: "systemd-run says yes and starts nothing",
        step: "4",
        at: "arming",
        on_host: in_front_of!("systemd-run", "*palisade-rollback-*", "exit 0"),
        end: End::Failed,
        back_by: &[],
        reason: "the rollback timer is not active",
        ..BACK
    },
    Fault {
        // An AllowUsers of somebody else is joined with ours, and shuts nobody out.
        name: "somebody else's DenyUsers names us, once armed",
        step: "5",
        at: "validating",
        on_host: "echo 'DenyUsers alice' >/etc/ssh/sshd_config.d/10-lab.conf",
        mend: "rm /etc/ssh/sshd_config.d/10-lab.conf",
        reason: "alice",
        ..BACK
    },
];

/// Somebody ends the run.
const STOP: &[Fault] = &[
    Fault {
        name: "SIGINT once armed",
        step: "4",
        at: "validating",
        blow: Blow::Signal("INT"),
        end: End::Interrupted,
        reason: "interrupted",
        ..BACK
    },
    Fault {
        name: "SIGTERM once switched",
        step: "7",
        blow: Blow::Signal("TERM"),
        end: End::Interrupted,
        reason: "interrupted",
        ..BACK
    },
    Fault {
        name: "SIGINT twice while new connections are lost",
        step: "7",
        blow: Blow::LeaveAlone,
        end: End::Unknown,
        back_by: &["timer"],
        reason: "left before it was seen to go back: it does so by itself within",
        ..BACK
    },
];

/// The network loses packets.
const LOSS: &[Fault] = &[
    Fault {
        name: "only new connections are lost, once switched",
        step: "7",
        blow: Blow::Lose(Loss::NewConnections),
        back_by: &["timer"],
        reason: "unreachable",
        ..BACK
    },
    Fault {
        name: "the control node's network is lost once armed",
        step: "4",
        at: "validating",
        blow: Blow::Lose(Loss::Everything),
        back_by: &["timer"],
        ..BACK
    },
    Fault {
        name: "new connections are lost for good, once switched",
        step: "7",
        blow: Blow::LoseForGood,
        end: End::Unknown,
        back_by: &["timer"],
        reason: "its state is not known",
        ..BACK
    },
];
const CUT: &[Fault] = &[
    Fault {
        name: "all packets are lost in mid-switch",
        step: "6",
        at: "switching",
        on_host: BEFORE_RELOAD,
        stops: true,
        blow: Blow::Lose(Loss::Everything),
        back_by: &["timer"],
        ..BACK
    },
    Fault {
        name: "the control node's network is lost before it confirms",
        step: "8",
        at: "confirming",
        blow: Blow::Lose(Loss::Everything),
        back_by: &["timer"],
        ..BACK
    },
    Fault {
        name: "sudo breaks once switched",
        step: "7",
        on_host: "mv /etc/sudoers /etc/sudoers.lab",
        blow: Blow::ShutOut,
        mend: "mv /etc/sudoers.lab /etc/sudoers",
        back_by: &["timer"],
        ..BACK
    },
    Fault {
        name: "the control node is banned by sshd's guard once switched",
        step: "7",
        on_host: "nft 'table inet f2b-table { chain f2b-chain { type filter hook input priority -1; tcp dport 22 drop; }; }'",
        blow: Blow::ShutOut,
        mend: "nft delete table inet f2b-table",
        back_by: &["timer"],
        ..BACK
    },
];

/// What goes wrong on the host itself.
const SICK: &[Fault] = &[
    Fault {
        name: "sshd's reload ends in exit status 255",
        step: "6",
        at: "switching",
        // An address that is not the host's passes `sshd -t`; sshd cannot bind it, and ends.
        on_host: in_front_of!(
            "systemctl",
            "'reload ssh.service' | 'restart ssh.service'",
            "if [ -e /run/lab-once ]; then rm -f /etc/ssh/sshd_config.d/01-lab.conf; else : >/run/lab-once; \
             echo 'ListenAddress 192.0.2.77' >/etc/ssh/sshd_config.d/01-lab.conf; fi"
        ),
        back_by: &["timer"],
        ..BACK
    },
    Fault {
        name: "IPv6 alone is lost, once switched",
        step: "7",
        blow: Blow::Lose(Loss::Ipv6),
        back_by: &["asked", "timer"],
        reason: "unreachable",
        ..BACK
    },
    Fault {
        name: "confirmed one second before the deadline",
        step: "8",
        at: "confirming",
        blow: Blow::Late,
        back_by: &["asked", "timer"],
        reason: "left of the rollback's time",
        ..BACK
    },
    Fault {
        name: "the rollback is killed half-way",
        step: "9",
        on_host: in_front_of!(
            "mv",
            "*.palisade-*.old* | */pending*",
            "if [ ! -e /run/lab-once ]; then : >/run/lab-once; kill -KILL $PPID; exit 1; fi"
        ),
        ..KILLED
    },
    Fault {
        name: "the rollback cannot put everything back, until it is mended",
        step: "9",
        on_host: in_front_of!("mv", "*.palisade-*.old*", "exit 1"),
        blow: Blow::Keep,
        end: End::Unknown,
        back_by: &["timer"],
        reason: "provider's rescue system",
        ..BACK
    },
];

/// Disks. `/var/lib/palisade` is a file system of its own there, of 4 MiB and 400 inodes.
const FULL: &[Fault] = &[
    Fault {
        name: "/var is full when it arms",
        step: "3",
        at: "arming",
        on_host: FILL,
        mend: DRAIN,
        end: End::Failed,
        back_by: &[],
        reason: "could not be",
        ..BACK
    },
    Fault {
        name: "/var fills up once armed",
        step: "5",
        at: "validating",
        on_host: FILL,
        mend: DRAIN,
        reason: "could not be",
        ..BACK
    },
    Fault {
        name: "/var fills up once switched, and the control node is killed",
        step: "7",
        on_host: FILL,
        mend: DRAIN,
        ..KILLED
    },
    Fault {
        name: "inodes are exhausted when it arms",
        step: "3",
        at: "arming",
        on_host: FILL_INODES,
        mend: DRAIN,
        end: End::Failed,
        back_by: &[],
        reason: "could not be",
        ..BACK
    },
    Fault {
        name: "inodes are exhausted once switched, and the control node is killed",
        step: "7",
        on_host: FILL_INODES,
        mend: DRAIN,
        ..KILLED
    },
    Fault {
        name: "/etc and /var become read-only once switched, and the control node is killed",
        step: "7",
        on_host: READ_ONLY,
        blow: Blow::KillAndKeep,
        mend: WRITABLE,
        ..KILLED
    },
];

/// fail2ban is set up too; on the other hosts it is waived, since its start takes longer than their timeouts leave.
const BANS: &[Fault] = &[
    Fault { name: "control node killed once fail2ban is switched too", step: "7", ..KILLED },
    Fault {
        name: "SIGTERM once fail2ban is switched too",
        step: "7",
        blow: Blow::Signal("TERM"),
        end: End::Interrupted,
        reason: "interrupted",
        ..BACK
    },
];

/// The host goes down.
const BOOT: &[Fault] = &[
    Fault { name: "rebooted once switched", step: "7", blow: Blow::Reboot, ..DOWN },
    Fault { name: "power cut once switched", step: "7", ..DOWN },
    Fault {
        name: "the rollback cannot put everything back, and the provider's rescue system is used",
        step: "9",
        on_host: in_front_of!("mv", "*/pending*", "exit 1"),
        blow: Blow::Rescue,
        end: End::Unknown,
        back_by: &["boot"],
        reason: RECOVER,
        ..BACK
    },
];

/// What palisade says is to be run in the rescue system.
pub(crate) const RECOVER: &str = "chroot /mnt /bin/sh /var/lib/palisade/recover";
const BOOT_WITHIN: &[Fault] = &[
    Fault { name: "power cut once armed", step: "4", at: "validating", reason: "", ..DOWN },
    Fault {
        name: "power cut behind sshd's rename",
        step: "6",
        at: "switching",
        on_host: BEFORE_RELOAD,
        stops: true,
        reason: "",
        ..DOWN
    },
    Fault {
        name: "power cut behind the ruleset",
        step: "6",
        at: "switching",
        on_host: BEHIND_RULESET,
        in_widen: false,
        stops: true,
        reason: "",
        ..DOWN
    },
];

/// The journal that was begun last, as their names say, is the newest again, whatever the clock said when it was written.
macro_rules! in_order {
    () => {
        "cd /var/lib/palisade/tx; touch -d '1 hour ago' -- */; touch -- \"$(ls -d -- */ | tail -n 1)\""
    };
}

/// The host's own clock is set, which containers do not have: deadlines and leases are uptimes.
pub(crate) const CLOCK: &[Fault] = &[
    Fault {
        name: "the clock goes a year ahead once switched, and the control node is killed",
        step: "7",
        on_host: "date -s '+1 year'",
        mend: concat!("date -s '-1 year'; ", in_order!()),
        ..KILLED
    },
    Fault {
        name: "the clock goes a year back once switched, and then SIGTERM",
        step: "7",
        on_host: "date -s '-1 year'",
        mend: concat!("date -s '+1 year'; ", in_order!()),
        blow: Blow::Signal("TERM"),
        end: End::Interrupted,
        reason: "interrupted",
        back_by: &["asked"],
        ..BACK
    },
];

const DOWN: Fault = Fault {
    blow: Blow::PowerCut,
    back_by: &["boot"],
    reason: "no longer names this transaction as pending",
    ..BACK
};

const READ_ONLY: &str = "for path in /etc /var/lib/palisade; do mount --bind $path $path && mount -o remount,bind,ro $path || exit 1; done";
const WRITABLE: &str = "umount -l /var/lib/palisade /etc";
const FILL: &str = "dd if=/dev/zero of=/var/lib/palisade/lab-fill bs=4k 2>/dev/null; true";
const FILL_INODES: &str =
    "n=0; while touch /var/lib/palisade/lab-$n 2>/dev/null; do n=$((n + 1)); done; true";
const DRAIN: &str = "rm -f /var/lib/palisade/lab-*";

/// How a host is brought from one state to the next where no fault is to keep it from that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// As on a calm day.
    Plain,
    /// palisade is killed between the rename that commits and the stop of the timer.
    Killed,
    /// The host loses its power there.
    PowerCut,
    /// A lease of another boot, then one whose time is over, was left there by somebody.
    StaleLease,
}

/// One host of each distribution.
pub(crate) struct HostGroup {
    pub(crate) name: &'static str,
    lists: &'static [&'static [Fault]],
    pub(crate) step: Step,
}

const fn group(name: &'static str, lists: &'static [&'static [Fault]]) -> HostGroup {
    HostGroup { name, lists, step: Step::Plain }
}

impl HostGroup {
    /// What strikes it.
    pub(crate) fn faults(&self) -> impl Iterator<Item = &'static Fault> {
        self.lists.iter().copied().flatten()
    }
}

/// The hosts of a distribution, and what strikes each. The longest first.
pub(crate) static HOST_GROUPS: [HostGroup; 7] = [
    group("loss", &[CUT, LOSS]),
    HostGroup { step: Step::StaleLease, ..group("sick", &[SICK, EARLY]) },
    group("full", &[FULL]),
    HostGroup { step: Step::Killed, ..group("kill", &[KILL, KILL_WITHIN]) },
    HostGroup { step: Step::PowerCut, ..group("boot", &[BOOT, BOOT_WITHIN]) },
    group("bans", &[BANS]),
    group("stop", &[STOP]),
];

/// Where a fault can strike: the phase, and the distribution.
const PAIRS: [(&str, &str); 4] = [("widen", "12"), ("narrow", "13"), ("widen", "13"), ("narrow", "12")];

/// In which of its pairs each fault strikes by default. `PALISADE_LAB_TURN` takes another; four turns strike all.
pub(crate) static TURN: LazyLock<usize> = LazyLock::new(|| match std::env::var("PALISADE_LAB_TURN") {
    Ok(given) => given.parse().expect("PALISADE_LAB_TURN is a number"),
    Err(_) => 3,
});

/// Whether `fault`, which is the one at `at` of its lane, strikes on this distribution in this phase in turn `turn`.
pub(crate) fn strikes(turn: usize, at: usize, fault: &Fault, phase: &str, suffix: &str) -> bool {
    let mut pairs = PAIRS.into_iter().filter(|(phase, _)| fault.in_widen || *phase == "narrow");
    let count = if fault.in_widen { 4 } else { 2 };
    pairs.nth((turn + at) % count) == Some((phase, suffix))
}

/// What strikes virtual machines: their boots, as containers' (`boot`), and a clock, which containers do not
/// have. One machine goes through all of it, since to make one ready takes an emulated one longer than three strikes.
pub(crate) static MACHINE_LANE: HostGroup =
    HostGroup { step: Step::PowerCut, ..group("boots", &[BOOT, BOOT_WITHIN, CLOCK]) };

/// The script of a package that calls this loses its dpkg. apt gives those a PATH of its own.
pub(crate) const KILLS_DPKG: &str = "cd /usr/bin && mv deb-systemd-helper deb-systemd-helper.lab && \
    printf '#!/bin/sh\\nread -r _ _ _ dpkg _ </proc/$PPID/stat\\nkill -KILL $dpkg $PPID\\n' >deb-systemd-helper && \
    chmod 0755 deb-systemd-helper";

/// Somebody holds the lock that apt-daily holds when it works.
pub(crate) const HOLDS_THE_LOCK: &str = ": >/run/lab-hold; systemd-run --quiet --collect --unit=lab-apt-daily perl -MFcntl -e \
    'open F, \">>\", \"/var/lib/dpkg/lock-frontend\"; $lock = pack(\"ssx4qql\", F_WRLCK, 0, 0, 0, 0); \
     fcntl(F, F_SETLK, $lock) or die; \
     open R, \">\", \"/run/lab-reached\"; sleep 1 while -e \"/run/lab-hold\"'; \
    n=0; while [ ! -e /run/lab-reached ] && [ $n -lt 200 ]; do sleep 0.05; n=$((n + 1)); done; [ -e /run/lab-reached ]";
