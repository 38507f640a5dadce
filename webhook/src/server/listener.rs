//! Accepts connections, bounds them, and ends them without losing a request.
//!
//! The end of a replica: it is asked to end and stops being ready, but nobody tells it when the last
//! API server has heard of that. So it goes on in rounds: it asks all connections to finish, which
//! makes their clients connect anew, and sees whether they come here again. After a round in which
//! nobody came, this endpoint is known to be gone, and the listener is closed.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::connection::{Closing, Transport, serve_connection};

/// How connections are bounded and ended.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Most open connections; further ones wait to be accepted.
    pub connections: usize,
    /// How long a TLS handshake may take, and then the head of the first request.
    pub first: Duration,
    /// A connection without a request for this long is closed. API servers close theirs after 90 s;
    /// whoever closes first risks a request that is just under way.
    pub idle: Duration,
    /// Length of a round once the server is asked to end.
    pub round: Duration,
    /// The server goes on for at least this long after it was asked to end,
    pub least_lingering: Duration,
    /// and for at most this long.
    pub most_lingering: Duration,
    /// How long open connections may finish after that.
    pub finishing: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 1024,
            first: Duration::from_secs(30),
            idle: Duration::from_secs(120),
            round: Duration::from_secs(2),
            least_lingering: Duration::from_secs(5),
            most_lingering: Duration::from_secs(15),
            finishing: Duration::from_secs(12),
        }
    }
}

/// Serves until `ending` is cancelled and everything has come to its end.
pub async fn serve(
    listener: TcpListener,
    transport: Transport,
    router: Router,
    limits: Limits,
    ending: CancellationToken,
) {
    let connections = TaskTracker::new();
    let permits = Arc::new(Semaphore::new(limits.connections));
    let mut closing = Closing::default();
    let mut lingering: Option<Lingering> = None;
    loop {
        let round_ends = lingering.as_ref().map(|lingering| lingering.round_ends);
        tokio::select! {
            () = ending.cancelled(), if round_ends.is_none() => {
                lingering = Some(Lingering::begin(limits));
            }
            () = sleep_until(round_ends.unwrap_or_else(Instant::now)), if round_ends.is_some() => {
                closing.end_round();
                if lingering.as_mut().is_none_or(|lingering| lingering.ends(limits)) {
                    break;
                }
            }
            (stream, permit) = accept(&listener, &permits) => {
                if let Some(lingering) = &mut lingering {
                    lingering.arrivals += 1;
                }
                let (transport, router) = (transport.clone(), router.clone());
                let closing = closing.clone();
                connections.spawn(async move {
                    serve_connection(stream, transport, router, limits, closing).await;
                    drop(permit);
                });
            }
        }
    }
    drop(listener);
    closing.end_all();
    connections.close();
    if timeout(limits.finishing, connections.wait()).await.is_err() {
        let open = connections.len();
        tracing::warn!(open, "Some connections did not finish in time and are cut.");
    }
}

/// The time between being asked to end and closing the listener.
struct Lingering {
    since: Instant,
    round_ends: Instant,
    /// Connections of this round.
    arrivals: u64,
}

impl Lingering {
    fn begin(limits: Limits) -> Self {
        let since = Instant::now();
        Self {
            since,
            round_ends: since + limits.round,
            arrivals: 0,
        }
    }

    /// Ends a round; answers whether it was the last one.
    fn ends(&mut self, limits: Limits) -> bool {
        let elapsed = self.since.elapsed();
        self.round_ends = Instant::now() + limits.round;
        let is_alone = std::mem::take(&mut self.arrivals) == 0;
        (is_alone && elapsed >= limits.least_lingering) || elapsed >= limits.most_lingering
    }
}

/// The next connection, once there is room for it.
async fn accept(
    listener: &TcpListener,
    permits: &Arc<Semaphore>,
) -> (TcpStream, Option<OwnedSemaphorePermit>) {
    let permit = Arc::clone(permits).acquire_owned().await.ok();
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return (stream, permit),
            Err(error) => {
                tracing::warn!(%error, "Cannot accept a connection.");
                sleep(Duration::from_millis(50)).await;
            }
        }
    }
}
