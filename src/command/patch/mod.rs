//! `palisade patch`: releases. `plan` asks the hosts of dev what they would upgrade and writes it down, signed; `announce`
//! tells administrators of it; `apply` installs it; `status` asks hosts which they have; `show` reads a release back and says
//! whether it is what was signed.

mod announce;
mod apply;
mod gates;
mod plan;
mod show;
mod signed;
mod status;

use clap::Subcommand;
use jiff::Timestamp;

pub(super) use announce::kept;
pub(super) use signed::{approval, approve, may_sign, read_signed};

use super::Common;
use super::inputs::moment;
use crate::domain::ReleaseId;
use crate::failure::Failure;
use crate::ui::Printer;

/// Plan releases, announce and install them, and show which one each host has.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Ask the hosts of dev what they would upgrade, and write it down as a release, signed with your key.
    ///
    /// Each host's own apt fetches indexes into a folder of its own and simulates the upgrade: nothing on the host
    /// changes. The release names every package with its version, origin, size and SHA-256, what hosts hold back, which
    /// services run files of the packages, and what asks for a reboot. Hosts that would not get the same are refused.
    #[command(
        after_help = "Examples:\n  palisade patch plan dev --as alice\n  palisade patch plan dev --emergency \"CVE-2026-1234 in \
        openssl is exploited\"\n\n\
        Exit codes: 0 written, 2 refused, 4 a host could not be asked, 6 hosts differ, or the release is there already."
    )]
    Plan(plan::Args),
    /// Tell the administrators by mail when a release comes, and keep a signed record of it.
    ///
    /// The mail goes to contacts.administrators of the inventory, over the server of `mail:`, with TLS and a login; it
    /// holds what templates/notice.txt.tera makes of the release, and the window as an iCalendar file. What was announced
    /// already is not sent again. It contacts no server but the one for mail.
    #[command(
        after_help = "Examples:\n  palisade patch announce prod --as alice\n  palisade patch announce prod --release 2026-11-28 \
        --next-window\n\n\
        Exit codes: 0 the server took it, or had taken it before; 1 it did not, or it could not be recorded; 2 refused; \
        6 it is too late for the release's window, or the release is not what was signed."
    )]
    Announce(announce::Args),
    /// Show which release each host has, how old that is, whether it is overdue, and what is pending. Read-only.
    ///
    /// A host is overdue when the window of a release was over since the host was enrolled, and neither that release nor a
    /// later regular one was completed there; the control `patching` judges by the same rule. What came out of turn is
    /// shown until the next regular release. One connection and one exec for each host.
    #[command(
        after_help = "Examples:\n  palisade patch status prod --as alice\n  palisade patch status prod --format json\n\n\
        Exit codes: 0 no host is overdue; 2 refused; 3 a host is overdue; 4 a host could not be asked, or what it has or \
        what is pending there is not known."
    )]
    Status(status::Args),
    /// Install a release: in dev as it was planned, in test and prod what the environment before completed.
    ///
    /// Hosts of dev download exactly the packages that the signed release names, and the project keeps them. Every host gets
    /// them from there over SSH, with their SHA-256 checked on the host; its apt may install those and nothing else. A unit
    /// on the host installs, and goes on when the connection is lost; a run that was killed is started again and attaches.
    /// Services that run replaced files are restarted, and the host is rebooted where the packages ask for it. What ran,
    /// listened and was compliant before has to be so afterwards. One host goes first, then a quarter, then the rest.
    #[command(
        after_help = "Examples:\n  palisade patch apply dev --as alice\n  palisade patch apply prod --release 2026-11-28 --yes\n  \
        palisade patch apply prod --limit web-1 --emergency --reason \"CVE-2026-1234 is exploited\" --yes\n\n\
        Exit codes: 0 completed on every host; 1 failed or interrupted; 2 refused; 4 a host was unreachable or was not begun; \
        6 a gate refused, or a host would get something else."
    )]
    Apply(apply::Args),
    /// Show what a release holds, and who signed it. Contacts nothing.
    #[command(
        after_help = "Examples:\n  palisade patch show               the newest\n  palisade patch show 2026-11-28 --verbose\n\n\
        Exit codes: 0 it is what somebody with access signed, 2 it is no release, 6 it is not what was signed."
    )]
    Show {
        /// Its name; the newest where it is left out.
        #[arg(value_name = "RELEASE", value_parser = super::checked::<ReleaseId>)]
        release: Option<ReleaseId>,
    },
}

/// Runs the verb at `now`.
pub fn run(args: &Args, common: &Common, now: Timestamp, printer: &Printer) -> Result<u8, Failure> {
    let now = moment(common, now)?;
    match &args.verb {
        Verb::Plan(args) => plan::run(args, common, now, *printer),
        Verb::Apply(args) => apply::run(args, common, now, *printer),
        Verb::Announce(args) => announce::run(args, common, now, *printer),
        Verb::Status(args) => status::run(args, common, now, *printer),
        Verb::Show { release } => show::show(release.as_ref(), common, now, *printer),
    }
}
