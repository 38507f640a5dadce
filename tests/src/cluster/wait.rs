//! Waiting for conditions, with a deadline.

use std::time::Duration;

use anyhow::{Result, anyhow};
use tokio::time::{Instant, sleep};

/// How long to wait before looking again.
const INTERVAL: Duration = Duration::from_millis(100);

/// Waits until `condition` is true; an error of it counts as "not yet".
///
/// # Errors
/// When the time is over, with the condition's last error.
pub(crate) async fn until<F>(
    limit: Duration,
    what: &str,
    mut condition: impl FnMut() -> F,
) -> Result<()>
where
    F: Future<Output = Result<bool>>,
{
    let deadline = Instant::now() + limit;
    loop {
        let last = match condition().await {
            Ok(true) => return Ok(()),
            Ok(false) => None,
            Err(error) => Some(error),
        };
        if Instant::now() >= deadline {
            let waited = format!("Waited {} s in vain for {what}", limit.as_secs());
            return Err(match last {
                Some(error) => error.context(waited),
                None => anyhow!(waited),
            });
        }
        sleep(INTERVAL).await;
    }
}
