//! The HTTP/1.1 server behind the agent's ports: few connections, small answers, no state.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use lateen_wire::slots::Slots;
use tokio::net::TcpListener;
use tracing::{debug, warn};

/// More than every kubelet, scraper and person that may ask one pod at once,
const CONNECTION_LIMIT: usize = 128;
/// and more than any one of them needs.
const CONNECTION_LIMIT_OF_PEER: usize = 16;
/// A client that trickles its request is cut off.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// Pause after a failed accept (out of file descriptors), so that the failure is not spun on.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// An answer that is whole before it is sent.
pub(crate) type Answer = Response<Full<Bytes>>;

/// Serves every connection of `listener` by `handle`, which is told the peer's address. Never returns.
pub(crate) async fn serve<H, F>(listener: TcpListener, handle: H)
where
    H: Fn(SocketAddr, Request<Incoming>) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Answer> + Send + 'static,
{
    let slots = Slots::new(CONNECTION_LIMIT, CONNECTION_LIMIT_OF_PEER);
    loop {
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                warn!(%error, "Accepting a connection of the agent failed.");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let slot = match slots.take(peer.ip()) {
            Ok(slot) => slot,
            Err(reason) => {
                debug!(%peer, %reason, "A connection of the agent was refused.");
                continue;
            }
        };
        let handle = handle.clone();
        tokio::spawn(async move {
            let service = service_fn(|request| {
                let answer = handle(peer, request);
                async move { Ok::<_, Infallible>(answer.await) }
            });
            let served = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEADER_TIMEOUT)
                .serve_connection(TokioIo::new(stream), service)
                .await;
            if let Err(error) = served {
                debug!(%peer, %error, "Agent connection ended early.");
            }
            drop(slot);
        });
    }
}

/// A short answer in plain text.
pub(crate) fn plain(status: StatusCode, text: impl Into<Bytes>) -> Answer {
    typed(status, "text/plain; charset=utf-8", text)
}

/// An answer of the given media type.
pub(crate) fn typed(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Answer {
    let mut answer = Answer::new(Full::new(body.into()));
    *answer.status_mut() = status;
    answer
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    answer
}

/// Whether a peer is a process of this pod: only those may end or drain the proxy.
pub(crate) fn is_local(peer: SocketAddr) -> bool {
    peer.ip().to_canonical().is_loopback()
}
