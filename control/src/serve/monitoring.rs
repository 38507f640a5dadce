//! Plain HTTP: `/ready` on port 8080 for the kubelet, `/metrics` and debug pages on 15014.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use super::debug;
use crate::discovery::Connections;
use crate::metrics::Metrics;
use crate::snapshot::store::Store;
use crate::snapshot::watch::Progress;

/// Content type of Prometheus' text format.
const TEXT_FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What has to be true before this replica takes proxies.
#[derive(Default)]
pub struct Readiness {
    /// Lists of the cluster's objects.
    pub watches: Arc<Progress>,
    /// The mesh configuration has been read, or is known not to be there.
    pub mesh_config: AtomicBool,
    /// The port for proxies is served, with a certificate of the mesh's root.
    pub serving: AtomicBool,
    /// The replica is on its way out.
    pub stopping: AtomicBool,
}

impl Readiness {
    /// What is still missing.
    #[must_use]
    pub fn missing(&self) -> Vec<&'static str> {
        let checks = [
            (
                self.watches.is_complete(),
                "the cluster's objects are being listed",
            ),
            (
                self.mesh_config.load(Ordering::Acquire),
                "the mesh configuration is being read",
            ),
            (
                self.serving.load(Ordering::Acquire),
                "the certificate authority is being set up",
            ),
            (
                !self.stopping.load(Ordering::Acquire),
                "the process is stopping",
            ),
        ];
        checks
            .into_iter()
            .filter(|(done, _)| !done)
            .map(|(_, missing)| missing)
            .collect()
    }
}

/// What the debug pages show.
#[derive(Clone)]
pub struct Monitoring {
    /// The cluster.
    pub store: Arc<Store>,
    /// The open streams.
    pub connections: Arc<Connections>,
    /// All metrics.
    pub metrics: Arc<Metrics>,
    /// Whether we are ready.
    pub readiness: Arc<Readiness>,
}

/// The pages of port 8080.
pub fn health(readiness: Arc<Readiness>) -> Router {
    Router::new()
        .route("/ready", get(ready))
        .with_state(readiness)
}

/// The pages of port 15014.
pub fn monitoring(state: Monitoring) -> Router {
    let readiness = state.readiness.clone();
    Router::new()
        .route("/metrics", get(metrics))
        .with_state(state.clone())
        .merge(debug::pages(state))
        .merge(health(readiness))
}

async fn ready(State(readiness): State<Arc<Readiness>>) -> Response {
    let missing = readiness.missing();
    if missing.is_empty() {
        return (StatusCode::OK, "ready\n").into_response();
    }
    (
        StatusCode::SERVICE_UNAVAILABLE,
        format!("{}\n", missing.join("; ")),
    )
        .into_response()
}

async fn metrics(State(state): State<Monitoring>) -> Response {
    let services = state.store.read().services().count();
    state
        .metrics
        .services
        .set(i64::try_from(services).unwrap_or(i64::MAX));
    match state.metrics.encode() {
        Ok(text) => ([(CONTENT_TYPE, TEXT_FORMAT)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::http::Request;
    use tower::ServiceExt;

    use super::*;
    use crate::serve::door::Caller;
    use crate::snapshot::Cluster;

    async fn ask(path: &str, from: &str) -> StatusCode {
        let metrics = Arc::new(Metrics::new());
        let pages = monitoring(Monitoring {
            store: Arc::new(Store::new(Cluster::default())),
            connections: Arc::new(Connections::new(metrics.clone())),
            metrics,
            readiness: Arc::default(),
        });
        let mut request = Request::new(Body::empty());
        *request.uri_mut() = path.parse().unwrap();
        let caller = Caller(from.parse().unwrap());
        request.extensions_mut().insert(caller);
        pages.oneshot(request).await.unwrap().status()
    }

    #[tokio::test]
    async fn debug_pages_are_for_callers_from_loopback() {
        for page in ["connections", "syncz", "registryz", "endpointz", "mesh"] {
            let page = format!("/debug/{page}");
            assert_eq!(ask(&page, "127.0.0.1").await, StatusCode::OK, "{page}");
            assert_eq!(ask(&page, "::1").await, StatusCode::OK, "{page}");
            for stranger in ["10.244.0.5", "fd00:244::5"] {
                assert_eq!(ask(&page, stranger).await, StatusCode::FORBIDDEN, "{page}");
            }
        }
        assert_eq!(ask("/metrics", "10.244.0.5").await, StatusCode::OK);
        assert_eq!(ask("/nothing", "10.244.0.5").await, StatusCode::NOT_FOUND);
    }
}
