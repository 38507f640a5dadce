//! The life of one connection: handshake, requests, end.
//!
//! API servers call webhooks over HTTP/1.1, where a request that meets a closing connection is lost.
//! So such a connection is asked to finish in the head of its next response, and idle ones are left
//! to the API server for as long as possible. HTTP/2 has a message for this.

use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::header::CONNECTION;
use axum::http::{HeaderValue, Request, Version};
use axum::response::Response;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use super::listener::{Limits, Service};

/// Most requests under way on one connection.
const STREAMS: u32 = 250;

/// Bytes of requests that wait to be read: of a connection, and of a stream of HTTP/2 too. More than
/// the head of any request.
const WAITING: u32 = 64 * 1024;

/// How bytes travel.
#[derive(Clone)]
pub enum Transport {
    /// As they are.
    Plain,
    /// Inside TLS.
    Tls(TlsAcceptor),
}

/// When a connection shall end.
#[derive(Clone, Debug, Default)]
pub(super) struct Closing {
    /// As soon as its client can do without it.
    round: CancellationToken,
    /// As soon as it has answered what it was asked.
    all: CancellationToken,
}

impl Closing {
    /// Asks all connections so far to finish, not those to come.
    pub(super) fn end_round(&mut self) {
        self.round.cancel();
        self.round = CancellationToken::new();
    }

    /// Ends all connections that have nothing to answer.
    pub(super) fn end_all(&self) {
        self.all.cancel();
    }
}

/// Serves a peer's connection to its end.
pub(super) async fn serve_connection(
    stream: TcpStream,
    peer: IpAddr,
    service: Service,
    closing: Closing,
) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "Cannot turn off Nagle's algorithm.");
    }
    let acceptor = match &service.transport {
        Transport::Plain => return serve_requests(stream, peer, service, closing).await,
        Transport::Tls(acceptor) => acceptor.accept(stream),
    };
    match timeout(service.limits.handshake, acceptor).await {
        Ok(Ok(stream)) => serve_requests(stream, peer, service, closing).await,
        Ok(Err(error)) => tracing::debug!(%peer, %error, "A TLS handshake failed."),
        Err(_) => tracing::debug!(%peer, "A TLS handshake took too long."),
    }
}

async fn serve_requests(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    peer: IpAddr,
    Service { router, limits, .. }: Service,
    closing: Closing,
) {
    let requests = Arc::new(Requests::default());
    let service = {
        let (requests, round) = (Arc::clone(&requests), closing.round.clone());
        service_fn(move |request: Request<Incoming>| {
            let (router, requests, round) = (router.clone(), Arc::clone(&requests), round.clone());
            async move {
                requests.begin(request.version());
                let mut request = request.map(Body::new);
                request.extensions_mut().insert(ConnectInfo(peer));
                let response = router.oneshot(request).await;
                requests.finished.fetch_add(1, Ordering::Relaxed);
                response.map(|response| requests.with_farewell(response, &round))
            }
        })
    };
    let builder = builder(limits);
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
    let mut idle = pin!(requests.idle(limits.idle));
    let (mut is_round_over, mut is_closing) = (false, false);
    loop {
        tokio::select! {
            result = connection.as_mut() => {
                if let Err(error) = result {
                    tracing::debug!(%error, "A connection ended with an error.");
                }
                return;
            }
            () = closing.round.cancelled(), if !is_round_over => {
                is_round_over = true;
                if !requests.are_http2() {
                    continue;
                }
            }
            () = closing.all.cancelled(), if !is_closing => is_closing = true,
            () = idle.as_mut(), if !is_closing => is_closing = true,
        }
        connection.as_mut().graceful_shutdown();
    }
}

fn builder(limits: Limits) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .max_buf_size(WAITING as usize)
        .header_read_timeout(limits.idle);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS)
        .initial_stream_window_size(WAITING)
        .initial_connection_window_size(WAITING)
        .keep_alive_interval(limits.idle)
        .keep_alive_timeout(limits.handshake);
    builder
}

/// Requests of one connection.
#[derive(Debug, Default)]
struct Requests {
    begun: AtomicU64,
    finished: AtomicU64,
    http2: AtomicBool,
}

impl Requests {
    fn begin(&self, version: Version) {
        self.begun.fetch_add(1, Ordering::Relaxed);
        self.http2
            .store(version == Version::HTTP_2, Ordering::Relaxed);
    }

    fn are_http2(&self) -> bool {
        self.http2.load(Ordering::Relaxed)
    }

    /// Asks the client of an HTTP/1.1 connection for no further request once its round is over.
    fn with_farewell(&self, mut response: Response, round: &CancellationToken) -> Response {
        if round.is_cancelled() && !self.are_http2() {
            response
                .headers_mut()
                .insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }

    /// Returns once a whole period has passed without a request.
    async fn idle(&self, period: Duration) {
        let mut seen = 0;
        loop {
            sleep(period).await;
            let begun = self.begun.load(Ordering::Relaxed);
            if begun == seen && self.finished.load(Ordering::Relaxed) == begun {
                return;
            }
            seen = begun;
        }
    }
}
