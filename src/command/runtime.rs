//! Running what waits for hosts to its end. It decides nothing, and hears no signals.

use crate::failure::Failure;

/// Runs `work` to its end on a runtime of its own.
pub(super) fn block_on<T>(work: impl Future<Output = T>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| Failure::from(anyhow::anyhow!("no runtime: {error}")))?;
    Ok(runtime.block_on(work))
}
