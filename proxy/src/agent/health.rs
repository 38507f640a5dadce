//! Port 15021: readiness of the proxy, for the kubelet and for `wait`.

use std::net::SocketAddr;
use std::sync::Arc;

use http::{Method, Request, StatusCode};
use hyper::body::Incoming;
use tokio::net::TcpListener;

use super::Context;
use super::server::{self, Answer, plain};

/// The path of the readiness probe, on this port and on the status port.
pub(crate) const READY: &str = "/healthz/ready";

pub(crate) async fn serve(listener: TcpListener, context: Arc<Context>) {
    server::serve(listener, move |peer, request| {
        let context = Arc::clone(&context);
        async move { answer(peer, &request, &context) }
    })
    .await;
}

fn answer(_peer: SocketAddr, request: &Request<Incoming>, context: &Context) -> Answer {
    match (request.method(), request.uri().path()) {
        (&Method::GET | &Method::HEAD, READY) => readiness(context),
        _ => plain(
            StatusCode::NOT_FOUND,
            "Only /healthz/ready is served here.\n",
        ),
    }
}

/// 200 when the proxy is ready, else 503 with the reasons.
pub(crate) fn readiness(context: &Context) -> Answer {
    let pending = context.proxy.pending();
    if pending.is_empty() {
        plain(StatusCode::OK, "ready\n")
    } else {
        plain(
            StatusCode::SERVICE_UNAVAILABLE,
            format!("not ready: {}\n", pending.join(", ")),
        )
    }
}
