//! The local cluster does many things at once; the steps of this program follow each other.

use anyhow::{Context as _, Result};

/// Runs `work` to its end.
///
/// # Errors
/// Those of `work`, or when the operating system gives no threads.
pub(crate) fn wait_for<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    runtime.context("Starting the threads")?.block_on(work)
}
