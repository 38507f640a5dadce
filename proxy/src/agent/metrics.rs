//! Port 15090: the proxy's own metrics in Prometheus' text format.

use std::sync::Arc;

use http::{Method, StatusCode};
use tokio::net::TcpListener;

use super::Context;
use super::server::{self, Answer, plain, typed};

/// The path of the metrics, on this port and (merged with the application's) on the status port.
pub(crate) const PATH: &str = "/stats/prometheus";
/// Prometheus' text exposition format.
pub(crate) const TEXT_FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";

pub(crate) async fn serve(listener: TcpListener, context: Arc<Context>) {
    server::serve(listener, move |_, request| {
        let context = Arc::clone(&context);
        async move {
            match (request.method(), request.uri().path()) {
                (&Method::GET, PATH) => own(&context),
                _ => plain(
                    StatusCode::NOT_FOUND,
                    "Only /stats/prometheus is served here.\n",
                ),
            }
        }
    })
    .await;
}

/// The proxy's metrics alone.
pub(crate) fn own(context: &Context) -> Answer {
    let mut text = String::new();
    context.proxy.write_metrics(&mut text);
    typed(StatusCode::OK, TEXT_FORMAT, text)
}
