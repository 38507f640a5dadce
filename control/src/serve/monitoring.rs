//! Plain HTTP: `/ready` on port 8080 for the kubelet, `/metrics` and small debug pages on 15014.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};

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
        .route("/debug/connections", get(connections))
        .route("/debug/syncz", get(sync))
        .route("/debug/registryz", get(registry))
        .route("/debug/mesh", get(mesh))
        .with_state(state)
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

async fn connections(State(state): State<Monitoring>) -> Json<Value> {
    let clients: Vec<Value> = state
        .connections
        .list()
        .iter()
        .map(|connection| connection.to_json())
        .collect();
    Json(json!({ "totalClients": clients.len(), "clients": clients }))
}

/// Which proxies have acknowledged all they were sent.
async fn sync(State(state): State<Monitoring>) -> Json<Value> {
    let connections = state.connections.list();
    Json(
        connections
            .iter()
            .map(|connection| connection.to_json())
            .collect(),
    )
}

async fn registry(State(state): State<Monitoring>) -> Json<Value> {
    let snapshot = state.store.read();
    let services: BTreeMap<String, Value> = snapshot
        .services()
        .map(|service| {
            let ports: Vec<Value> = service
                .ports
                .iter()
                .map(|port| {
                    json!({
                        "name": *port.name,
                        "port": port.number,
                        "protocol": port.protocol.as_str_name(),
                    })
                })
                .collect();
            let slices: Vec<&str> = snapshot
                .slices_of(&service.namespace, &service.name)
                .collect();
            (
                format!("{}/{}", service.namespace, service.name),
                json!({
                    "addresses": service.addresses,
                    "headless": service.headless,
                    "ports": ports,
                    "endpointSlices": slices,
                }),
            )
        })
        .collect();
    Json(json!(services))
}

/// The mesh settings in force, as proxies get them.
async fn mesh(State(state): State<Monitoring>) -> Json<Value> {
    let snapshot = state.store.read();
    let mesh = snapshot.mesh();
    Json(json!({
        "trustDomain": mesh.trust_domain,
        "trustDomainAliases": mesh.trust_domain_aliases,
        "connectTimeoutMs": mesh.connect_timeout_ms,
        "protocolDetectionTimeoutMs": mesh.protocol_detection_timeout_ms,
        "accessLogFile": mesh.access_log_file,
        "accessLogJson": mesh.access_log_json,
        "accessLogFormat": mesh.access_log_format,
        "registryOnly": mesh.registry_only,
        "enableAutoMtls": !mesh.auto_mtls_disabled,
    }))
}
