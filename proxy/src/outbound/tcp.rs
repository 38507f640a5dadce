//! A TCP connection from the application, balanced when it begins.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::SystemTime;

use super::route::{Route, Routes};
use super::telemetry;
use crate::access_log::Line;
use crate::metrics::{Flag, Flags, Telemetry};
use crate::net::{Relayed, Stream};
use crate::shared::Worker;
use crate::tcp::Record;
use crate::tls::Alpn;
use crate::upstream::{ConnectError, Endpoint};

/// Carries a connection to its end.
pub(super) async fn carry(
    worker: &Arc<Worker>,
    client: Stream,
    routes: &Routes,
    route: Route,
    peer: SocketAddr,
) {
    let shared = &worker.shared;
    let (server, endpoint) = match connect(worker, routes, &route).await {
        Ok(connected) => connected,
        Err(flag) => {
            let telemetry = telemetry::without_endpoint(shared, &route);
            // Opened and closed: the attempt shows in the metrics.
            drop(telemetry.open());
            let record = Record::begin(line(worker, routes, &route, None, peer));
            return record.end(flag.into());
        }
    };
    let _active = endpoint.enter();
    let telemetry = telemetry_of(worker, &route, &endpoint);
    let record = Record::begin(line(
        worker,
        routes,
        &route,
        Some((&endpoint, &server)),
        peer,
    ));
    record.attach(telemetry.open());
    let flags = match record.carry(client, server).await {
        Relayed::Finished => Flags::NONE,
        Relayed::FirstFailed(_) => Flag::DownstreamConnectionTermination.into(),
        Relayed::SecondFailed(_) => Flag::UpstreamConnectionTermination.into(),
    };
    record.end(flags);
}

/// Tries endpoints until one can be connected to.
async fn connect(
    worker: &Worker,
    routes: &Routes,
    route: &Route,
) -> Result<(Stream, Arc<Endpoint>), Flag> {
    let mut tried = Vec::new();
    let mut failure = match route {
        Route::Refused => Flag::NoCluster,
        Route::Blocked => Flag::NoRoute,
        _ => Flag::NoHealthyUpstream,
    };
    for attempt in 1..=route.attempts() {
        let Some(endpoint) = routes.choose(route, &tried) else {
            return Err(failure);
        };
        if attempt > 1 {
            worker.shared.metrics.counters().retries.increment();
        }
        match worker.connect(&endpoint, Alpn::Tcp).await {
            Ok(server) => return Ok((server, endpoint)),
            Err(error) => {
                report(&endpoint, &error);
                tried.push(endpoint.address);
                failure = Flag::UpstreamConnectionFailure;
            }
        }
    }
    Err(failure)
}

fn report(endpoint: &Endpoint, error: &ConnectError) {
    tracing::debug!(address = %endpoint.address, %error, "An endpoint could not be connected to.");
}

fn telemetry_of(worker: &Worker, route: &Route, endpoint: &Endpoint) -> Arc<Telemetry> {
    match route {
        Route::Outside(_) => worker.outside.telemetry(&worker.shared, "unknown"),
        _ => telemetry::of_endpoint(&worker.shared, route, endpoint),
    }
}

fn line(
    worker: &Worker,
    routes: &Routes,
    route: &Route,
    server: Option<(&Endpoint, &Stream)>,
    client: SocketAddr,
) -> Option<(crate::access_log::AccessLog, Line)> {
    let log = &worker.shared.access_log;
    log.is_on(&worker.shared.discovery.own()).then(|| {
        let line = Line {
            start: Some(SystemTime::now()),
            upstream_host: server.map(|(endpoint, _)| endpoint.address),
            upstream_local: server.and_then(|(_, stream)| stream.socket().local_addr().ok()),
            upstream_cluster: route.cluster(),
            downstream_local: Some(routes.target()),
            downstream_remote: Some(client),
            ..Line::default()
        };
        (log.clone(), line)
    })
}
