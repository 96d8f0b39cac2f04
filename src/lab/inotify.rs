//! How many files guests may watch. The kernel counts inotify instances per user (inotify(7)), and root is one user in
//! all guests: each guest's systemd, logind and dbus hold about six, so that the usual ceiling of 128 is met by some
//! twenty guests, whose units then fail at random. It is raised where it is too low, until this machine reboots, and
//! that is said; nothing else of this machine's settings is touched.

use std::path::Path;

use super::event::{LabEvent, Sink};

const CEILING: &str = "/proc/sys/fs/inotify/max_user_instances";

/// Instances of one guest, with sessions going on in it.
const PER_GUEST: usize = 16;

/// What this machine's own programs may hold.
const OWN: usize = 128;

/// Raises the ceiling for so many guests, those of other labs included.
#[expect(clippy::disallowed_methods, reason = "a setting of this machine's kernel is read and written")]
pub(super) fn make_room(guests: usize, sink: Sink) {
    let Some(present) =
        std::fs::read_to_string(Path::new(CEILING)).ok().and_then(|text| text.trim().parse::<usize>().ok())
    else {
        return;
    };
    let needed = OWN + PER_GUEST * guests;
    if present >= needed {
        return;
    }
    sink(&match std::fs::write(CEILING, needed.to_string()) {
        Ok(()) => LabEvent::Detail(format!(
            "fs.inotify.max_user_instances was {present}; {guests} guests need {needed}: raised until the next boot"
        )),
        Err(error) => LabEvent::Detail(format!(
            "fs.inotify.max_user_instances is {present}, {guests} guests need {needed}, and it cannot be raised: {error}"
        )),
    });
}
