//! Ctrl-C, a termination and a lost terminal. What changes nothing ends at the first of them, where it stands: its
//! connections are shut, its line on the terminal goes, and no record of it is kept. A change is asked to stop, then to
//! leave, and ends once it has said what every host holds, and has written that down. One more than that ends the
//! process on the spot, with the processes of ssh(1) that it started.
//!
//! From the first time that somebody wants to know, all of a process's signals come here.

use std::io;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;

use futures::future::select_all;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::runtime::block_on;
use crate::failure::{Failure, Kind};
use crate::fleet::{Interrupt, Interrupter, Wish};

/// What was heard so far.
static HEARD: OnceLock<Result<Interrupt, String>> = OnceLock::new();

/// Whether hosts are being changed, or were: what came of it is still to be said and written down.
static CHANGING: AtomicBool = AtomicBool::new(false);

/// From here on signals are heard: one that comes now ends what follows.
pub(super) fn hear() -> Result<(), Failure> {
    heard().map(drop)
}

/// Runs `work`, which changes nothing, to its end or until the first signal.
pub(super) fn unless_interrupted<T>(work: impl Future<Output = T>) -> Result<T, Failure> {
    let interrupt = heard()?;
    block_on(async move {
        tokio::select! {
            biased;
            () = interrupt.asked(Wish::Stop) => Err(interrupted()),
            done = work => Ok(done),
        }
    })?
}

/// Runs `ask`, which waits for a person, until that or the first signal. It is left behind then, with what it holds.
pub(super) fn asking<T: Send + 'static>(ask: impl FnOnce() -> T + Send + 'static) -> Result<T, Failure> {
    let (answer, answered) = tokio::sync::oneshot::channel();
    std::thread::Builder::new().name("question".to_owned()).spawn(move || drop(answer.send(ask())))?;
    unless_interrupted(answered)?.map_err(|_| Failure::from(anyhow::anyhow!("the question was not asked")))
}

/// Fails between two parts of what changes nothing, where a signal came.
pub(super) fn check() -> Result<(), Failure> {
    let stop = HEARD.get().and_then(|heard| heard.as_ref().ok()).is_some_and(|heard| heard.is(Wish::Stop));
    if stop && !CHANGING.load(Ordering::SeqCst) { Err(interrupted()) } else { Ok(()) }
}

/// Runs `work`, which changes hosts and hears of signals by [`changing`], to its end. `say` is told what each came to.
pub(super) async fn heeding_signals<T>(
    interrupt: &Interrupt,
    say: impl Fn(Wish),
    work: impl Future<Output = T>,
) -> T {
    let mut work = std::pin::pin!(work);
    for wish in [Wish::Stop, Wish::Leave] {
        tokio::select! {
            biased;
            done = &mut work => return done,
            () = interrupt.asked(wish) => say(wish),
        }
    }
    work.await
}

/// Hosts are changed from here on: where it is heard that this shall end early.
pub(super) fn changing() -> Result<Interrupt, Failure> {
    let interrupt = heard()?;
    check()?;
    CHANGING.store(true, Ordering::SeqCst);
    Ok(interrupt)
}

pub(super) fn interrupted() -> Failure {
    Failure::new(
        Kind::Interrupted,
        anyhow::anyhow!("interrupted before any host was changed; no record is kept"),
    )
}

fn heard() -> Result<Interrupt, Failure> {
    HEARD
        .get_or_init(|| listen().map_err(|error| error.to_string()))
        .clone()
        .map_err(|why| Failure::from(anyhow::anyhow!("signals cannot be caught: {why}")))
}

/// Listens in a thread of its own, so that a signal is heard whatever this process is busy with.
fn listen() -> io::Result<Interrupt> {
    let (interrupter, interrupt) = Interrupter::new();
    let (told, ready) = mpsc::channel();
    std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
        let runtime = match tokio::runtime::Builder::new_current_thread().enable_io().build() {
            Ok(runtime) => runtime,
            Err(error) => return drop(told.send(Err(error))),
        };
        runtime.block_on(async {
            match catch() {
                Err(error) => drop(told.send(Err(error))),
                Ok(mut signals) => {
                    drop(told.send(Ok(())));
                    while !signals.is_empty() {
                        select_all(signals.iter_mut().map(|signal| Box::pin(signal.recv()))).await;
                        pass_on(&interrupter);
                    }
                }
            }
            std::future::pending::<()>().await;
        });
    })?;
    ready.recv().map_err(io::Error::other)??;
    Ok(interrupt)
}

/// Catches what would end the process, but for what whoever started it wants ignored (`nohup`).
fn catch() -> io::Result<Vec<Signal>> {
    let ignored = ignored();
    [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()]
        .into_iter()
        .filter(|kind| ignored >> (kind.as_raw_value() - 1) & 1 == 0)
        .map(signal)
        .collect()
}

/// The signals that are ignored, one bit each, the lowest for signal 1 (proc(5), `SigIgn`).
#[expect(clippy::disallowed_methods, reason = "the kernel tells in a file what is ignored")]
fn ignored() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default()
}

fn pass_on(interrupter: &Interrupter) {
    match (interrupter.wish(), CHANGING.load(Ordering::SeqCst)) {
        (Wish::GoOn, _) | (Wish::Stop, true) => drop(interrupter.press()),
        (Wish::Stop, false) | (Wish::Leave, _) => leave(),
    }
}

#[expect(clippy::disallowed_methods, reason = "whoever asks once more waits for nothing more")]
fn leave() {
    crate::transport::leave_nothing();
    std::process::exit(Kind::Interrupted as i32)
}
