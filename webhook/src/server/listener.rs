//! Accepts connections, bounds them, and ends them without losing a request.
//!
//! The end of a replica: it is asked to end and stops being ready, but new connections still arrive
//! until the last API server has heard that this endpoint is gone. So the listener stays open until
//! no connection has arrived for a while; then open connections finish what they have begun.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, interval, sleep, sleep_until, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;

/// How connections are bounded and ended.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Most open connections; further ones wait to be accepted.
    pub connections: usize,
    /// How long a TLS handshake, or the head of a request, may take.
    pub head: Duration,
    /// A connection without a request for this long is closed.
    pub idle: Duration,
    /// Once asked to end, new connections are accepted for at least this long,
    pub least_lingering: Duration,
    /// then until none has arrived for this long,
    pub quiet: Duration,
    /// but at most for this long.
    pub most_lingering: Duration,
    /// How long open connections may finish after that.
    pub finishing: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 1024,
            head: Duration::from_secs(30),
            idle: Duration::from_secs(90),
            least_lingering: Duration::from_secs(5),
            quiet: Duration::from_secs(3),
            most_lingering: Duration::from_secs(15),
            finishing: Duration::from_secs(12),
        }
    }
}

/// How bytes travel.
#[derive(Clone)]
pub enum Transport {
    /// As they are.
    Plain,
    /// Inside TLS.
    Tls(TlsAcceptor),
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
    let closing = CancellationToken::new();
    let permits = Arc::new(Semaphore::new(limits.connections));
    let mut last_connection = Instant::now();
    let mut ending_since = None;
    loop {
        let deadline = ending_since.map(|since| {
            let quiet = last_connection + limits.quiet;
            quiet
                .max(since + limits.least_lingering)
                .min(since + limits.most_lingering)
        });
        tokio::select! {
            () = ending.cancelled(), if ending_since.is_none() => ending_since = Some(Instant::now()),
            () = sleep_until(deadline.unwrap_or_else(Instant::now)), if deadline.is_some() => break,
            accepted = accept(&listener, &permits) => {
                last_connection = Instant::now();
                let (stream, permit) = accepted;
                let (transport, router) = (transport.clone(), router.clone());
                let closing = closing.clone();
                connections.spawn(async move {
                    open(stream, transport, router, limits, closing).await;
                    drop(permit);
                });
            }
        }
    }
    drop(listener);
    closing.cancel();
    connections.close();
    if timeout(limits.finishing, connections.wait()).await.is_err() {
        let open = connections.len();
        tracing::warn!(open, "Some connections did not finish in time and are cut.");
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

async fn open(
    stream: TcpStream,
    transport: Transport,
    router: Router,
    limits: Limits,
    closing: CancellationToken,
) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "Cannot turn off Nagle's algorithm.");
    }
    match transport {
        Transport::Plain => connection(stream, router, limits, closing).await,
        Transport::Tls(acceptor) => match timeout(limits.head, acceptor.accept(stream)).await {
            Ok(Ok(stream)) => connection(stream, router, limits, closing).await,
            Ok(Err(error)) => tracing::debug!(%error, "A TLS handshake failed."),
            Err(_) => tracing::debug!("A TLS handshake took too long."),
        },
    }
}

async fn connection(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    router: Router,
    limits: Limits,
    closing: CancellationToken,
) {
    let requests = Arc::new(Requests::default());
    let counted = Arc::clone(&requests);
    let service = hyper::service::service_fn(move |request: Request<Incoming>| {
        let (router, requests) = (router.clone(), Arc::clone(&counted));
        async move {
            requests.begun.fetch_add(1, Ordering::Relaxed);
            let response = router.oneshot(request.map(Body::new)).await;
            requests.finished.fetch_add(1, Ordering::Relaxed);
            response
        }
    });
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(250)
        .keep_alive_interval(limits.idle)
        .keep_alive_timeout(limits.head);
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
    let mut idle = pin!(requests.idle(limits.idle));
    let mut is_closing = false;
    loop {
        tokio::select! {
            result = connection.as_mut() => {
                if let Err(error) = result {
                    tracing::debug!(%error, "A connection ended with an error.");
                }
                return;
            }
            () = closing.cancelled(), if !is_closing => {}
            () = idle.as_mut(), if !is_closing => {}
        }
        is_closing = true;
        connection.as_mut().graceful_shutdown();
    }
}

/// Requests of one connection.
#[derive(Debug, Default)]
struct Requests {
    begun: AtomicU64,
    finished: AtomicU64,
}

impl Requests {
    /// Returns once a whole period has passed without a request.
    async fn idle(&self, period: Duration) {
        let mut ticks = interval(period);
        let mut seen = u64::MAX;
        loop {
            ticks.tick().await;
            let begun = self.begun.load(Ordering::Relaxed);
            if begun == seen && self.finished.load(Ordering::Relaxed) == begun {
                return;
            }
            seen = begun;
        }
    }
}
