//! Connections of one worker to endpoints, kept for the next request. A pool belongs to one
//! endpoint, which stands for address, identity and SNI, so a connection is never used for anybody
//! it was not made for.
//!
//! An HTTP/1 connection is either in the pool or lent to one request; it comes back with the end
//! of the response. An HTTP/2 connection stays in the pool and is shared up to 80 % of the peer's
//! stream limit, from where on a second one is opened. While one is being opened, whoever needs it
//! waits for the pool's gate, not under its lock.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use ahash::AHashMap;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use parking_lot::Mutex;
use tokio::time::Instant;

use super::request_body::RequestBody;
use super::{MAX_HEADERS, Version};
use crate::net::Stream;
use crate::shared::Worker;
use crate::tls::Alpn;
use crate::upstream::{ConnectError, Endpoint};

/// Applications close idle connections after 5 s or more: ours must be first.
const PLAIN_IDLE: Duration = Duration::from_millis(3_500);
/// Proxies of the mesh do not close idle connections.
const MESH_IDLE: Duration = Duration::from_secs(120);
/// Idle HTTP/1 connections to one endpoint.
const MAX_IDLE: usize = 1_024;
/// HTTP/2 flow control (RFC 9113, section 5.2).
pub(super) const STREAM_WINDOW: u32 = 1_024 * 1_024;
/// For all streams of a connection together.
pub(super) const CONNECTION_WINDOW: u32 = 4 * 1_024 * 1_024;
/// A silent HTTP/2 peer with open streams is asked after this time whether it is there.
pub(super) const PING: Duration = Duration::from_secs(30);

/// The pools of one worker.
#[derive(Default)]
pub struct Pools {
    pools: Mutex<AHashMap<u64, Arc<Pool>>>,
}

/// Connections to one endpoint.
struct Pool {
    endpoint: Arc<Endpoint>,
    http1: Mutex<Vec<Idle>>,
    http2: Mutex<Vec<Http2Connection>>,
    /// Held while an HTTP/2 connection is being opened.
    gate: tokio::sync::Mutex<()>,
}

struct Idle {
    sender: http1::SendRequest<RequestBody>,
    local: SocketAddr,
    since: Instant,
}

#[derive(Clone)]
struct Http2Connection {
    sender: http2::SendRequest<RequestBody>,
    local: SocketAddr,
    streams: Arc<Streams>,
}

struct Streams {
    /// Requests under way.
    active: AtomicUsize,
    /// What the peer allows.
    limit: AtomicUsize,
    last_used: Mutex<Instant>,
    /// The peer takes no new ones.
    closing: AtomicBool,
}

/// A connection for one request.
#[derive(Debug)]
pub enum Lease {
    /// To itself.
    Http1(Http1Lease),
    /// Shared with others.
    Http2(Http2Lease),
}

/// An HTTP/1 connection for one request.
pub struct Http1Lease {
    pub(super) sender: http1::SendRequest<RequestBody>,
    /// Our end of the connection.
    pub local: SocketAddr,
    /// It has carried other requests before.
    pub reused: bool,
    pool: Arc<Pool>,
}

/// A place on an HTTP/2 connection.
pub struct Http2Lease {
    pub(super) sender: http2::SendRequest<RequestBody>,
    /// Our end of the connection.
    pub local: SocketAddr,
    /// It has carried other requests before.
    pub reused: bool,
    streams: Arc<Streams>,
}

impl Pools {
    /// A connection that can carry one request now.
    ///
    /// # Errors
    /// When there is none and none can be made.
    pub async fn lease(
        &self,
        worker: &Worker,
        endpoint: &Arc<Endpoint>,
        version: Version,
    ) -> Result<Lease, ConnectError> {
        let pool = self.pool(endpoint);
        match version {
            Version::Http1 => match pool.idle_http1() {
                Some(lease) => Ok(Lease::Http1(lease)),
                None => Box::pin(pool.open_http1(worker)).await.map(Lease::Http1),
            },
            Version::Http2 => match pool.open_http2_connection() {
                Some(lease) => Ok(Lease::Http2(lease)),
                None => Box::pin(pool.open_http2(worker)).await.map(Lease::Http2),
            },
        }
    }

    /// A new HTTP/1 connection that nobody will use again, for a request that becomes something
    /// else.
    ///
    /// # Errors
    /// When it cannot be made.
    pub async fn open_for_upgrade(
        &self,
        worker: &Worker,
        endpoint: &Arc<Endpoint>,
    ) -> Result<Lease, ConnectError> {
        Box::pin(self.pool(endpoint).open_http1(worker))
            .await
            .map(Lease::Http1)
    }

    /// Closes connections that have been idle for too long or lead to endpoints that are gone.
    pub fn sweep(&self) {
        let now = Instant::now();
        self.pools.lock().retain(|_, pool| {
            pool.sweep(now);
            !pool.is_empty() || Arc::strong_count(pool) > 1
        });
    }

    fn pool(&self, endpoint: &Arc<Endpoint>) -> Arc<Pool> {
        let mut pools = self.pools.lock();
        let pool = pools
            .entry(endpoint.id)
            .or_insert_with(|| Arc::new(Pool::new(endpoint)));
        Arc::clone(pool)
    }
}

impl Pool {
    fn new(endpoint: &Arc<Endpoint>) -> Self {
        Self {
            endpoint: Arc::clone(endpoint),
            http1: Mutex::default(),
            http2: Mutex::default(),
            gate: tokio::sync::Mutex::default(),
        }
    }

    fn idle_time(&self) -> Duration {
        if self.endpoint.is_mesh() {
            MESH_IDLE
        } else {
            PLAIN_IDLE
        }
    }

    /// The connection used last that is ready. One that still has bytes of its last request under
    /// way is passed over.
    fn idle_http1(self: &Arc<Self>) -> Option<Http1Lease> {
        let mut idle = self.http1.lock();
        let mut busy = Vec::new();
        let mut found = None;
        while let Some(one) = idle.pop() {
            if one.sender.is_closed() {
                continue;
            }
            if one.since.elapsed() > self.idle_time() {
                // The others have been idle for longer.
                idle.clear();
                break;
            }
            if one.sender.is_ready() {
                found = Some(one);
                break;
            }
            busy.push(one);
        }
        idle.extend(busy.into_iter().rev());
        let Idle { sender, local, .. } = found?;
        Some(Http1Lease {
            sender,
            local,
            reused: true,
            pool: Arc::clone(self),
        })
    }

    async fn open_http1(self: Arc<Self>, worker: &Worker) -> Result<Http1Lease, ConnectError> {
        let stream = worker.connect(&self.endpoint, Alpn::Http1).await?;
        let local = local_address(&stream)?;
        let (sender, connection) = http1::Builder::new()
            .preserve_header_case(true)
            .max_header_size(MAX_HEADERS)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(handshake_error)?;
        // Ends when the sender is dropped or the peer closes.
        tokio::spawn(async move {
            if let Err(error) = connection.with_upgrades().await {
                tracing::debug!(%error, "A connection to an endpoint failed.");
            }
        });
        Ok(Http1Lease {
            sender,
            local,
            reused: false,
            pool: self,
        })
    }

    fn open_http2_connection(&self) -> Option<Http2Lease> {
        let mut connections = self.http2.lock();
        connections.retain(|connection| !connection.is_closing());
        connections
            .iter()
            .find(|connection| connection.streams.has_room())
            .map(Http2Connection::lease)
    }

    async fn open_http2(self: Arc<Self>, worker: &Worker) -> Result<Http2Lease, ConnectError> {
        let patience = worker.shared.discovery.own().mesh.connect_timeout;
        let gate = tokio::time::timeout(patience, self.gate.lock());
        let _gate = gate.await.map_err(|_| ConnectError::Timeout)?;
        // Whoever held the gate before may have opened what is needed.
        if let Some(lease) = self.open_http2_connection() {
            return Ok(lease);
        }
        let stream = worker.connect(&self.endpoint, Alpn::Http2).await?;
        let local = local_address(&stream)?;
        let (sender, mut connection) = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_header_list_size(MAX_HEADERS as u32)
            .keep_alive_interval(PING)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(handshake_error)?;
        let streams = Arc::new(Streams {
            active: AtomicUsize::new(0),
            limit: AtomicUsize::new(connection.current_max_send_streams()),
            last_used: Mutex::new(Instant::now()),
            closing: AtomicBool::new(false),
        });
        let seen = Arc::clone(&streams);
        tokio::spawn(std::future::poll_fn(move |context| {
            let polled = Pin::new(&mut connection).poll(context);
            seen.limit
                .store(connection.current_max_send_streams(), Ordering::Relaxed);
            polled.map(|result| {
                if let Err(error) = result {
                    tracing::debug!(%error, "A connection to an endpoint failed.");
                }
            })
        }));
        let connection = Http2Connection {
            sender,
            local,
            streams,
        };
        let mut lease = connection.lease();
        lease.reused = false;
        self.http2.lock().push(connection);
        Ok(lease)
    }

    fn sweep(&self, now: Instant) {
        let retired = self.endpoint.is_retired();
        let oldest = now.checked_sub(self.idle_time());
        let is_fresh = |since: Instant| oldest.is_none_or(|oldest| since > oldest);
        self.http1
            .lock()
            .retain(|idle| !retired && !idle.sender.is_closed() && is_fresh(idle.since));
        self.http2.lock().retain(|connection| {
            // A connection with open streams lives on without the pool until they end.
            !retired
                && !connection.is_closing()
                && (connection.streams.is_used() || is_fresh(*connection.streams.last_used.lock()))
        });
    }

    fn is_empty(&self) -> bool {
        self.http1.lock().is_empty() && self.http2.lock().is_empty()
    }
}

impl Http2Connection {
    fn is_closing(&self) -> bool {
        self.sender.is_closed() || self.streams.closing.load(Ordering::Relaxed)
    }

    fn lease(&self) -> Http2Lease {
        self.streams.active.fetch_add(1, Ordering::Relaxed);
        Http2Lease {
            sender: self.sender.clone(),
            local: self.local,
            reused: true,
            streams: Arc::clone(&self.streams),
        }
    }
}

impl Streams {
    /// Less than 80 % of what the peer allows.
    fn has_room(&self) -> bool {
        let limit = self.limit.load(Ordering::Relaxed);
        let comfortable = limit.saturating_sub(limit / 5).max(1);
        self.active.load(Ordering::Relaxed) < comfortable
    }

    fn is_used(&self) -> bool {
        self.active.load(Ordering::Relaxed) > 0
    }
}

impl Lease {
    /// Gives the connection back after a complete response.
    pub fn give_back(self) {
        if let Self::Http1(Http1Lease {
            sender,
            local,
            pool,
            ..
        }) = self
        {
            if sender.is_closed() || pool.endpoint.is_retired() {
                return;
            }
            let mut idle = pool.http1.lock();
            if idle.len() < MAX_IDLE {
                idle.push(Idle {
                    sender,
                    local,
                    since: Instant::now(),
                });
            }
        }
    }

    /// The connection takes no new requests; those under way may end.
    pub fn discard(self) {
        if let Self::Http2(lease) = self {
            lease.streams.closing.store(true, Ordering::Relaxed);
        }
    }

    /// Our end of the connection.
    #[must_use]
    pub fn local(&self) -> SocketAddr {
        match self {
            Self::Http1(lease) => lease.local,
            Self::Http2(lease) => lease.local,
        }
    }

    /// Whether it has carried other requests before.
    #[must_use]
    pub fn is_reused(&self) -> bool {
        match self {
            Self::Http1(lease) => lease.reused,
            Self::Http2(lease) => lease.reused,
        }
    }
}

impl Drop for Http2Lease {
    fn drop(&mut self) {
        *self.streams.last_used.lock() = Instant::now();
        self.streams.active.fetch_sub(1, Ordering::Relaxed);
    }
}

impl std::fmt::Debug for Http1Lease {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "HTTP/1 connection from {}", self.local)
    }
}

impl std::fmt::Debug for Http2Lease {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "HTTP/2 stream from {}", self.local)
    }
}

fn local_address(stream: &Stream) -> Result<SocketAddr, ConnectError> {
    stream.socket().local_addr().map_err(ConnectError::Tcp)
}

fn handshake_error(error: hyper::Error) -> ConnectError {
    ConnectError::Tcp(std::io::Error::other(error))
}
