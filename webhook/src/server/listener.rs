//! Accepts connections, bounds them, and ends them without losing a request.
//!
//! Every connection is accepted, and refused at once if there is no room for it: who waits in the
//! kernel's queue would keep others waiting. No peer gets all the room.
//!
//! The end of a replica: it is asked to end and stops being ready, but nobody tells it when the last
//! API server has heard of that. So it goes on in rounds: it asks all connections to finish, which
//! makes their clients connect anew, and sees whether they come here again. After a round in which
//! nobody came, this endpoint is known to be gone, and the listener is closed.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::serve::Listener;
use lateen_wire::slots::Slots;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::connection::{Closing, Transport, serve_connection};
use super::metrics::Metrics;

/// How connections are bounded and ended.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Most open connections; further ones are refused.
    pub connections: usize,
    /// Most open connections of one peer. An API server takes one for each admission under way, and
    /// keeps 25 of them for later.
    pub connections_of_one_peer: usize,
    /// How long a TLS handshake may take, and the answer to an HTTP/2 ping.
    pub handshake: Duration,
    /// A connection without a request for this long is closed, also without a first one: an API
    /// server connects for a request, may get to send it over a connection that has become free
    /// meanwhile, and keeps the new one for later. It closes its own after 90 s; whoever closes first
    /// risks a request that is just under way.
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
            connections_of_one_peer: 256,
            handshake: Duration::from_secs(5),
            idle: Duration::from_secs(120),
            round: Duration::from_secs(2),
            least_lingering: Duration::from_secs(5),
            most_lingering: Duration::from_secs(15),
            finishing: Duration::from_secs(12),
        }
    }
}

/// What connections are served with.
#[derive(Clone)]
pub struct Service {
    /// How bytes travel.
    pub transport: Transport,
    /// Who answers requests.
    pub router: Router,
    /// Bounds.
    pub limits: Limits,
    /// Where refused connections are counted.
    pub metrics: Arc<Metrics>,
}

/// Serves until `ending` is cancelled and everything has come to its end.
pub async fn serve(
    mut listener: impl Listener<Io = TcpStream, Addr = SocketAddr>,
    service: Service,
    ending: CancellationToken,
) {
    let limits = service.limits;
    let slots = Slots::new(limits.connections, limits.connections_of_one_peer);
    let connections = TaskTracker::new();
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
            (stream, peer) = listener.accept() => {
                let slot = match slots.take(peer.ip()) {
                    Ok(slot) => slot,
                    Err(error) => {
                        service.metrics.refused_connections.inc();
                        tracing::debug!(%peer, %error, "Refused a connection.");
                        continue;
                    }
                };
                if let Some(lingering) = &mut lingering {
                    lingering.arrivals += 1;
                }
                let (service, closing) = (service.clone(), closing.clone());
                connections.spawn(async move {
                    serve_connection(stream, peer.ip(), service, closing).await;
                    drop(slot);
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
