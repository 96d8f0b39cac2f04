//! Attacks as data.

/// The program of a host that works below folders of others, by the first word that it is given: the moments at which an
/// attack can strike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Moment {
    /// Before anything of a change.
    Before,
    /// Before what is there is kept in the journal.
    Keep,
    /// Before it is taken away.
    Remove,
    /// Before it is put back, since palisade was killed and the host went back.
    Back,
}

impl Moment {
    /// What the program is called with.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Before => "before",
            Self::Keep => "keep",
            Self::Remove => "remove",
            Self::Back => "back",
        }
    }
}

/// One attack by mallory, who has an account, a home and a key there that nobody declared.
pub(crate) struct Attack {
    /// What it is, in a few words.
    pub(crate) name: &'static str,
    /// The moment at which it strikes.
    pub(crate) at: Moment,
    /// What mallory does, in mallory's home.
    pub(crate) does: &'static str,
    /// What must hold afterwards, as root, beside what always must.
    pub(crate) holds: &'static str,
    /// The same for people.
    pub(crate) then: &'static str,
}

const LINK_TO_ROOTS_FOLDER: &str = "mv .ssh was && ln -s /etc/canary .ssh";
const LINK_TO_ROOTS_FILE: &str = "ln -sfn /etc/canary/authorized_keys .ssh/authorized_keys";
const PIPE: &str = "rm .ssh/authorized_keys && mkfifo .ssh/authorized_keys";
const GONE: &str =
    "! [ -e /home/mallory/.ssh/authorized_keys ] && ! [ -L /home/mallory/.ssh/authorized_keys ]";

/// Each strikes once on each distribution.
pub(crate) const ATTACKS: &[Attack] = &[
    Attack {
        name: "the folder is a link to one of root's, while what is there is kept",
        at: Moment::Keep,
        does: LINK_TO_ROOTS_FOLDER,
        holds: "[ -L /home/mallory/.ssh ]",
        then: "the link is followed with mallory's rights alone: root's file is neither read nor removed",
    },
    Attack {
        name: "the folder is a link to one of root's, while the file is taken away",
        at: Moment::Remove,
        does: LINK_TO_ROOTS_FOLDER,
        holds: "[ -L /home/mallory/.ssh ]",
        then: "the same",
    },
    Attack {
        name: "the file is a link to one of root's, while it is kept",
        at: Moment::Keep,
        does: LINK_TO_ROOTS_FILE,
        holds: "true",
        then: "the link is kept and removed, not what it leads to",
    },
    Attack {
        name: "the file is a link to one of root's, while it is taken away",
        at: Moment::Remove,
        does: LINK_TO_ROOTS_FILE,
        holds: GONE,
        then: "the same",
    },
    Attack {
        name: "the file is a pipe that nobody writes to, while it is kept",
        at: Moment::Keep,
        does: PIPE,
        holds: "true",
        then: "nothing waits for it, and it is removed",
    },
    Attack {
        name: "the file is a pipe that nobody writes to, while it is taken away",
        at: Moment::Remove,
        does: PIPE,
        holds: GONE,
        then: "the same",
    },
    Attack {
        name: "links to a file of root's wait under every name that a staged copy could have",
        at: Moment::Remove,
        does: "for id in $(ls /run/systemd/transient | sed -n 's/^palisade-rollback-\\(.*\\)\\.timer$/\\1/p'); do
            for n in 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15; do
              ln -sf /etc/canary/authorized_keys .ssh/.palisade-$id-$n.old
              ln -sf /etc/canary/authorized_keys .ssh/.palisade-$id-$n.new
            done; done",
        holds: GONE,
        then: "no copy lies in a folder of an account",
    },
    Attack {
        name: "the file leads to the passwords of all accounts",
        at: Moment::Before,
        does: "ln -sfn /etc/shadow .ssh/authorized_keys2",
        holds: GONE,
        then: "it is read as mallory may read it, and no record holds a line of it",
    },
    Attack {
        name: "the file leads to the log of the kernel, which does not end",
        at: Moment::Before,
        does: "ln -sfn /proc/kmsg .ssh/authorized_keys2",
        holds: GONE,
        then: "the same; nothing waits for it",
    },
    Attack {
        name: "the folder is a link to one of root's, while the file is put back",
        at: Moment::Back,
        does: LINK_TO_ROOTS_FOLDER,
        holds: "[ -L /home/mallory/.ssh ]",
        then: "the file stays in the journal, the rest of the change is taken back",
    },
    Attack {
        name: "a link to a file of root's stands where the file is put back",
        at: Moment::Back,
        does: LINK_TO_ROOTS_FILE,
        holds: "grep -q mallory@laptop /home/mallory/.ssh/authorized_keys",
        then: "the link is replaced by the file, root's own is as it was",
    },
];

/// What mallory does without a pause while changes are made.
pub(crate) const SWAPS: &str = r"#!/bin/sh
cd /home/mallory || exit
while [ -e /run/lab-swaps ]; do
  for to in /etc/canary /root/.ssh /etc/ssh /proc/1; do
    mv -T .ssh was 2>/dev/null; ln -sn $to .ssh 2>/dev/null; rm -f .ssh; mv -T was .ssh 2>/dev/null
    for file in /etc/canary/authorized_keys /etc/shadow /proc/kmsg; do
      ln -sfn $file .ssh/authorized_keys
      rm -f .ssh/authorized_keys; mkfifo .ssh/authorized_keys 2>/dev/null
      rm -f .ssh/authorized_keys; cp key .ssh/authorized_keys
    done
    echo >>swaps
  done
done
";
