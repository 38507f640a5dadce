//! Port 15000, loopback only: what people look at when something is odd. Paths are those that users of
//! Istio know from its proxy; the content is our own.

use std::sync::Arc;

use http::{Method, StatusCode};
use tokio::net::TcpListener;

use super::health::readiness;
use super::server::{self, Answer, plain, typed};
use super::{Context, metrics};

const HELP: &str = "\
GET  /certs               the mesh certificate in use
GET  /config_dump         what discovery said, as it is in force
GET  /ready               whether the proxy is ready, or what it waits for
GET  /server_info         version and effective configuration
GET  /stats               statistics in Prometheus' text format (also /stats/prometheus)
POST /drain_listeners     begin to drain
POST /quitquitquit        drain and end
";

pub(crate) async fn serve(listener: TcpListener, context: Arc<Context>) {
    server::serve(listener, move |_, request| {
        let context = Arc::clone(&context);
        async move { answer(request.method(), request.uri().path(), &context) }
    })
    .await;
}

fn answer(method: &Method, path: &str, context: &Context) -> Answer {
    let proxy = &context.proxy;
    match (method, path) {
        (&Method::GET, "/" | "/help") => plain(StatusCode::OK, HELP),
        (&Method::GET, "/certs") => json(&proxy.certificates()),
        (&Method::GET, "/config_dump") => json(&proxy.discovered()),
        (&Method::GET, "/ready") => readiness(context),
        (&Method::GET, "/server_info") => json(&serde_json::json!({
            "version": env!("CARGO_PKG_VERSION"),
            "configuration": proxy.configuration(),
        })),
        (&Method::GET, "/stats" | metrics::PATH) => metrics::own(context),
        (&Method::POST, "/drain_listeners") => {
            proxy.drain();
            plain(StatusCode::OK, "OK\n")
        }
        (&Method::POST, "/quitquitquit") => {
            proxy.quit();
            plain(StatusCode::OK, "OK\n")
        }
        _ => plain(StatusCode::NOT_FOUND, HELP),
    }
}

fn json(value: &serde_json::Value) -> Answer {
    typed(StatusCode::OK, "application/json", format!("{value:#}\n"))
}
