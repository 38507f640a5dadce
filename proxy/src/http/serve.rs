//! The server side of a connection.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::Service;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};

use super::pool::{CONNECTION_WINDOW, PING, STREAM_WINDOW};
use super::response_body::ResponseBody;
use super::{MAX_HEADERS, Version};
use crate::drain::{Drain, Graceful, Phase};
use crate::net::Stream;

/// Streams that a client may have open on one connection.
const MAX_STREAMS: u32 = 1_000;

/// What becomes of a request. Boxed, so that a connection without a request stays small.
pub type Handled = Pin<Box<dyn Future<Output = Response<ResponseBody>> + Send>>;

/// Answers the requests of one connection.
pub trait Handle: Send + Sync + 'static {
    /// Answers one request.
    fn handle(self: Arc<Self>, request: Request<Incoming>) -> Handled;
}

/// Boxed, since a future that is handed on is stored once for each hand it passes.
type Connection = Pin<Box<dyn Graceful<Output = hyper::Result<()>> + Send>>;

type Http2 = http2::Connection<TokioIo<Stream>, Handler, TokioExecutor>;

/// A connection that speaks HTTP/1.
struct Http1 {
    connection: http1::UpgradeableConnection<TokioIo<Stream>, Handler>,
    begun: Arc<AtomicBool>,
}

/// What ends a connection before its client does.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ends<'a> {
    /// It ends gracefully once the drain is in this phase; in HTTP/1 the handler says
    /// `connection: close` from then on.
    pub drain: Option<(&'a Drain, Phase)>,
    /// The longest until the header of the next HTTP/1 request is whole.
    pub header: Option<Duration>,
}

/// Serves a connection to its end.
///
/// # Errors
/// When the client breaks the protocol or the connection.
pub fn serve(
    stream: Stream,
    version: Version,
    handler: Arc<dyn Handle>,
    ends: Ends<'_>,
) -> impl Future<Output = hyper::Result<()>> + Send {
    let io = TokioIo::new(stream);
    let handler = Handler {
        requests: handler,
        begun: Arc::default(),
    };
    let connection: Connection = match version {
        Version::Http1 => Box::pin(serve_http1(io, handler, ends.header)),
        Version::Http2 => Box::pin(serve_http2(io, handler)),
    };
    follow(ends.drain, connection)
}

async fn follow(until: Option<(&Drain, Phase)>, connection: Connection) -> hyper::Result<()> {
    match until {
        None => connection.await,
        Some((drain, phase)) => drain.follow(phase, connection).await,
    }
}

fn serve_http1(io: TokioIo<Stream>, handler: Handler, header: Option<Duration>) -> Http1 {
    let begun = Arc::clone(&handler.begun);
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(header)
        .preserve_header_case(true)
        .max_header_size(MAX_HEADERS)
        .auto_date_header(false)
        .serve_connection(io, handler)
        .with_upgrades();
    Http1 { connection, begun }
}

fn serve_http2(io: TokioIo<Stream>, handler: Handler) -> Http2 {
    http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(MAX_HEADERS as u32)
        .keep_alive_interval(PING)
        .auto_date_header(false)
        .serve_connection(io, handler)
}

struct Handler {
    requests: Arc<dyn Handle>,
    /// A request has come.
    begun: Arc<AtomicBool>,
}

impl Service<Request<Incoming>> for Handler {
    type Response = Response<ResponseBody>;
    type Error = Infallible;
    type Future = Answer;

    fn call(&self, request: Request<Incoming>) -> Answer {
        self.begun.store(true, Ordering::Relaxed);
        Answer(Arc::clone(&self.requests).handle(request))
    }
}

/// A response that is certain to come.
struct Answer(Handled);

impl Future for Answer {
    type Output = Result<Response<ResponseBody>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(context).map(Ok)
    }
}

impl Future for Http1 {
    type Output = hyper::Result<()>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.connection).poll(context)
    }
}

impl Graceful for Http1 {
    /// Leaves a connection that has carried nothing to the `connection: close` of its first
    /// response: hyper would close it, and a request may be under way.
    fn finish(mut self: Pin<&mut Self>) {
        if self.begun.load(Ordering::Relaxed) {
            Pin::new(&mut self.connection).graceful_shutdown();
        }
    }
}

impl Graceful for Http2 {
    fn finish(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}
