//! Signals while hosts are being changed: the first asks the run to stop, a second to leave. Neither ends the process:
//! it ends once it has said what every host holds, and has written that down.

use std::io;

use futures::future::select_all;
use tokio::signal::unix::{SignalKind, signal};

use crate::fleet::{Interrupter, Wish};

/// Runs `work` to its end. Ctrl-C, a termination and a lost terminal are passed on through `interrupter`; `heard` is
/// told what each came to.
pub(super) async fn heeding_signals<T>(
    interrupter: &Interrupter,
    heard: impl Fn(Wish),
    work: impl Future<Output = T>,
) -> io::Result<T> {
    let mut signals = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()]
        .into_iter()
        .map(signal)
        .collect::<io::Result<Vec<_>>>()?;
    let mut work = std::pin::pin!(work);
    loop {
        let any = select_all(signals.iter_mut().map(|signal| Box::pin(signal.recv())));
        tokio::select! {
            done = &mut work => return Ok(done),
            _ = any => heard(interrupter.press()),
        }
    }
}
