//! The labels of traffic that leaves, as the source reports it.

use std::sync::Arc;

use super::route::Route;
use crate::discover::{Own, Service};
use crate::metrics::{Party, Registry, Reporter, Security, ServiceLabels, Telemetry, Traffic};
use crate::shared::Shared;
use crate::upstream::{self, Endpoint};

const UNKNOWN: &str = "unknown";

/// Metrics of traffic to an endpoint of the mesh.
pub(super) fn of_endpoint(shared: &Shared, route: &Route, endpoint: &Endpoint) -> Arc<Telemetry> {
    let own = shared.discovery.own();
    endpoint.telemetry(own.version, || {
        let labels = match route {
            Route::Service(service) => of_service(service),
            _ => of_workload(endpoint),
        };
        make(shared, &own, Some(endpoint), labels)
    })
}

/// Metrics of requests that reached no endpoint.
pub(super) fn without_endpoint(shared: &Shared, route: &Route) -> Arc<Telemetry> {
    let own = shared.discovery.own();
    let labels = match route {
        Route::Service(service) => of_service(service),
        Route::Blocked | Route::Refused => outside(UNKNOWN, "BlackHoleCluster"),
        Route::Workload(_) | Route::Outside(_) => outside(UNKNOWN, "PassthroughCluster"),
    };
    Arc::new(make(shared, &own, None, labels))
}

/// Metrics of traffic to a host outside the mesh.
pub(super) fn of_host(shared: &Shared, host: &str) -> Arc<Telemetry> {
    let own = shared.discovery.own();
    Arc::new(make(
        shared,
        &own,
        None,
        outside(host, "PassthroughCluster"),
    ))
}

fn make(
    shared: &Shared,
    own: &Own,
    endpoint: Option<&Endpoint>,
    service: ServiceLabels<'_>,
) -> Telemetry {
    let registry: &Registry = &shared.metrics;
    let expected = match endpoint.map(|endpoint| &endpoint.security) {
        Some(upstream::Security::Mesh { identity, .. }) if own.mesh.auto_mtls => Some(identity),
        _ => None,
    };
    let issued = shared.certificates.current();
    let own_identity = issued.as_ref().map(|issued| &issued.identity);
    Telemetry::new(
        registry,
        Traffic {
            reporter: Reporter::Source,
            source: Party {
                workload: Some(&own.workload),
                principal: own_identity.filter(|_| expected.is_some()),
            },
            destination: Party {
                workload: endpoint.and_then(|endpoint| endpoint.workload.as_deref()),
                principal: expected,
            },
            service,
            // Only the destination can tell.
            security: Security::Unknown,
        },
    )
}

fn of_service(service: &Service) -> ServiceLabels<'_> {
    let definition = &service.definition;
    ServiceLabels {
        host: &definition.host,
        name: &definition.name,
        namespace: &definition.namespace,
    }
}

/// A workload that was called by its address has no service; its canonical one says who it is.
fn of_workload(endpoint: &Endpoint) -> ServiceLabels<'_> {
    match &endpoint.workload {
        Some(workload) => ServiceLabels {
            host: UNKNOWN,
            name: &workload.canonical_name,
            namespace: &workload.namespace,
        },
        None => outside(UNKNOWN, "PassthroughCluster"),
    }
}

fn outside<'a>(host: &'a str, name: &'a str) -> ServiceLabels<'a> {
    ServiceLabels {
        host,
        name,
        namespace: UNKNOWN,
    }
}
