//! Small pages that show what control knows (`/debug/*` on port 15014): for people, by
//! `kubectl port-forward`, which reaches a pod on its loopback address. To everybody else they would
//! tell who is in the mesh.

use std::collections::BTreeMap;
use std::net::IpAddr;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Json, Router};
use serde_json::{Value, json};

use super::door::Caller;
use super::monitoring::Monitoring;
use crate::resolve;
use crate::snapshot::{Service, Snapshot};

/// What strangers are told.
const REFUSAL: &str = "Debug pages are for callers from the pod itself. \
    Run: kubectl -n NAMESPACE port-forward POD 15014, then ask localhost:15014.\n";

/// The pages, for callers from loopback.
pub(super) fn pages(state: Monitoring) -> Router {
    Router::new()
        .route("/debug/connections", get(connections))
        .route("/debug/syncz", get(sync))
        .route("/debug/registryz", get(registry))
        .route("/debug/endpointz", get(endpoints))
        .route("/debug/mesh", get(mesh))
        .route_layer(middleware::from_fn(only_from_loopback))
        .with_state(state)
}

async fn only_from_loopback(
    Extension(Caller(address)): Extension<Caller>,
    request: Request,
    next: Next,
) -> Response {
    if address.is_loopback() {
        next.run(request).await
    } else {
        (StatusCode::FORBIDDEN, REFUSAL).into_response()
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

/// Where proxies are told to send requests, by service.
async fn endpoints(State(state): State<Monitoring>) -> Json<Value> {
    let snapshot = state.store.read();
    let services: BTreeMap<String, Vec<IpAddr>> = snapshot
        .services()
        .map(|service| {
            (
                format!("{}/{}", service.namespace, service.name),
                ready_endpoints(&snapshot, service),
            )
        })
        .collect();
    Json(json!(services))
}

/// The endpoints of a service that take new requests.
fn ready_endpoints(snapshot: &Snapshot, service: &Service) -> Vec<IpAddr> {
    let namespace = &service.namespace;
    snapshot
        .slices_of(namespace, &service.name)
        .filter_map(|slice| resolve::endpoint_slice(snapshot, namespace, slice).message)
        .flat_map(|slice| slice.endpoints)
        .filter(|endpoint| endpoint.ready)
        .filter_map(|endpoint| address(&endpoint.address))
        .collect()
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    v4.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from))
        .ok()
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resolve::tests::documents;
    use crate::snapshot::Cluster;

    #[test]
    fn ready_endpoints_are_those_that_proxies_are_told() {
        let mut snapshot = Snapshot::new(Cluster::default());
        for document in documents() {
            snapshot.read_manifests(document).unwrap();
        }
        let told = |service| ready_endpoints(&snapshot, snapshot.service("shop", service).unwrap());
        // Not those that are not ready, leave, or are of pods that control has not seen yet.
        let addresses = ["10.244.0.5", "10.244.0.6", "10.99.0.1", "fd00:244::5"];
        assert_eq!(
            told("reviews"),
            addresses.map(|address| address.parse::<IpAddr>().unwrap())
        );
    }
}
