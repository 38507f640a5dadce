//! Waiting for a state of the cluster, with the reasons told that keep it from coming.

use std::time::Duration;

use anyhow::{Result, bail};
use tokio::time::{Instant, sleep};

use crate::console::{Console, chain};

/// Between two looks at the cluster.
const INTERVAL: Duration = Duration::from_millis(300);
/// So long a reason is ordinary start-up and not worth a line.
const ORDINARY: Duration = Duration::from_secs(8);
/// Reasons change often in their details; between two lines at least this passes.
const BETWEEN_LINES: Duration = Duration::from_secs(10);

/// How far something is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// As it should be.
    Ready,
    /// Not yet, and why.
    Waiting(String),
}

/// How long to wait for each state.
pub(crate) struct Patience {
    limit: Duration,
}

impl Patience {
    pub(crate) fn new(limit: Duration) -> Self {
        Self { limit }
    }

    /// Looks until the state is ready, and returns how long that took. A look that fails counts as a
    /// reason to wait: API servers restart.
    pub(crate) async fn until<F, P>(
        &self,
        what: &str,
        console: &Console,
        check: F,
    ) -> Result<Duration>
    where
        F: Fn() -> P,
        P: Future<Output = Result<State>>,
    {
        let started = Instant::now();
        let mut told = String::new();
        let mut next_line = started + ORDINARY;
        loop {
            let reason = match check().await {
                Ok(State::Ready) => return Ok(started.elapsed()),
                Ok(State::Waiting(reason)) => reason,
                Err(error) => chain(&error),
            };
            if started.elapsed() >= self.limit {
                bail!("gave up after {:?} on \"{what}\": {reason}", self.limit);
            }
            if Instant::now() >= next_line && reason != told {
                console.waiting(&reason);
                told = reason;
                next_line = Instant::now() + BETWEEN_LINES;
            }
            sleep(INTERVAL).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use anyhow::anyhow;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn failures_are_reasons_to_wait() {
        let looks = Cell::new(0);
        let check = || {
            looks.set(looks.get() + 1);
            let state = match looks.get() {
                1 => Err(anyhow!("refused")),
                2 => Ok(State::Waiting("starting".to_owned())),
                _ => Ok(State::Ready),
            };
            async { state }
        };
        let patience = Patience::new(Duration::from_secs(10));
        let elapsed = patience
            .until("it", &Console::for_terminal(), check)
            .await
            .unwrap();
        assert_eq!(elapsed, INTERVAL * 2);
    }

    #[tokio::test(start_paused = true)]
    async fn the_last_reason_is_in_the_error() {
        let check = || async { Ok(State::Waiting("no node has room".to_owned())) };
        let patience = Patience::new(Duration::from_secs(2));
        let error = patience
            .until("it is ready", &Console::for_terminal(), check)
            .await
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "gave up after 2s on \"it is ready\": no node has room"
        );
    }
}
