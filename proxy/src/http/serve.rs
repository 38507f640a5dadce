//! The server side of a connection.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

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

type Http1 = http1::UpgradeableConnection<TokioIo<Stream>, Handler>;
type Http2 = http2::Connection<TokioIo<Stream>, Handler, TokioExecutor>;

/// Serves a connection to its end, which comes gracefully once the drain reaches `until`.
///
/// # Errors
/// When the client breaks the protocol or the connection.
pub async fn serve(
    stream: Stream,
    version: Version,
    handler: Arc<dyn Handle>,
    until: Option<(&Drain, Phase)>,
) -> hyper::Result<()> {
    let io = TokioIo::new(stream);
    let handler = Handler(handler);
    match version {
        Version::Http1 => follow(until, Box::pin(serve_http1(io, handler))).await,
        Version::Http2 => follow(until, Box::pin(serve_http2(io, handler))).await,
    }
}

/// Boxed, since a future that is handed on is stored once for each hand it passes.
async fn follow<C: Graceful>(until: Option<(&Drain, Phase)>, connection: Pin<Box<C>>) -> C::Output {
    match until {
        None => connection.await,
        Some((drain, phase)) => drain.follow(phase, connection).await,
    }
}

fn serve_http1(io: TokioIo<Stream>, handler: Handler) -> Http1 {
    http1::Builder::new()
        .preserve_header_case(true)
        .max_header_size(MAX_HEADERS)
        .auto_date_header(false)
        .serve_connection(io, handler)
        .with_upgrades()
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

struct Handler(Arc<dyn Handle>);

impl Service<Request<Incoming>> for Handler {
    type Response = Response<ResponseBody>;
    type Error = Infallible;
    type Future = Answer;

    fn call(&self, request: Request<Incoming>) -> Answer {
        Answer(Arc::clone(&self.0).handle(request))
    }
}

/// A response that is certain to come.
struct Answer(Handled);

impl Future for Answer {
    type Output = Result<Response<ResponseBody>, Infallible>;

    fn poll(
        mut self: Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Self::Output> {
        self.0.as_mut().poll(context).map(Ok)
    }
}

impl Graceful for Http1 {
    fn finish(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}

impl Graceful for Http2 {
    fn finish(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}
