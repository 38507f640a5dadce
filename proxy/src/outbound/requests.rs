//! The requests of one connection of the application: each is routed, balanced and tried for
//! itself.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ::http::{HeaderValue, Request, Response, header, request};
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use tokio::time::Instant;

use super::route::{Route, Routes, host_of};
use super::telemetry;
use crate::access_log::Line;
use crate::discover::Application;
use crate::drain::ActiveConnection;
use crate::http::headers::{
    ATTEMPT_COUNT, FORWARDED_CLIENT_CERT, FORWARDED_PROTO, REQUEST_ID, SERVICE_TIME,
};
use crate::http::{
    self, Exchange, Handle, Handled, NOT_EXECUTED, Record, Reply, RequestBody, ResponseBody, Sent,
    Source, Upgrade, Version,
};
use crate::metrics::Flag;
use crate::shared::Worker;
use crate::upstream::Endpoint;

/// Before a request is tried again: up to this long, and twice as long each further time.
const PAUSE: Duration = Duration::from_millis(25);
/// gRPC status codes that Istio's default policy retries on (`cancelled`, `unavailable`).
const RETRIED_GRPC: [u16; 2] = [1, 14];

/// Answers the requests of one connection.
pub(super) struct Requests {
    worker: Arc<Worker>,
    routes: Routes,
    version: Version,
    client: SocketAddr,
    connection: Arc<ActiveConnection>,
}

/// A request that is ready to be sent, as often as need be.
struct Prepared {
    parts: request::Parts,
    body: Source,
    upgrade: Option<Upgrade>,
}

/// A response, and who gave it.
struct Answered {
    sent: Sent,
    endpoint: Arc<Endpoint>,
    service_time: Duration,
}

impl Requests {
    pub(super) fn new(
        worker: Arc<Worker>,
        routes: Routes,
        version: Version,
        client: SocketAddr,
        connection: ActiveConnection,
    ) -> Self {
        Self {
            worker,
            routes,
            version,
            client,
            connection: Arc::new(connection),
        }
    }

    async fn forward(&self, mut request: Request<Incoming>) -> Response<ResponseBody> {
        let mut exchange = Exchange::begin(&request);
        self.begin_log(&mut exchange, &request);
        let authority = match http::authority(&request) {
            Ok(authority) => authority,
            Err(reason) => return Reply::bad_request(reason).respond(exchange),
        };
        let route = self.routes.by_authority(authority).await;
        self.name_destination(&mut exchange, &route, authority);
        let upgrade = Upgrade::wanted(&request);
        let client = upgrade.is_some().then(|| hyper::upgrade::on(&mut request));
        let prepared = Prepared::new(request, upgrade, &mut exchange);
        match self.try_endpoints(&route, &prepared, &mut exchange).await {
            Ok(answered) => self.respond(answered, exchange, prepared.upgrade.zip(client)),
            Err(reply) => reply.respond(exchange),
        }
    }

    /// Tries endpoints until one answers, or until trying again could execute the request twice.
    async fn try_endpoints(
        &self,
        route: &Route,
        prepared: &Prepared,
        exchange: &mut Exchange,
    ) -> Result<Answered, Reply> {
        let mut tried = Vec::new();
        let mut attempt = 1;
        loop {
            let Some(endpoint) = self.routes.choose(route, &tried) else {
                let telemetry = telemetry::without_endpoint(&self.worker.shared, route);
                exchange.set_recorder(telemetry);
                return Err(no_endpoint(route));
            };
            self.name_endpoint(exchange, route, &endpoint);
            let version = self.upstream_version(route, prepared, exchange);
            let request = prepared.attempt(version, attempt)?;
            let started = Instant::now();
            let upgrade = prepared.upgrade.is_some();
            let result = http::send(&self.worker, &endpoint, version, upgrade, request).await;
            let again = attempt < route.attempts() && prepared.body.can_repeat();
            match result {
                Ok(sent) if !again || !self.is_retried(&sent, &endpoint, exchange) => {
                    prepared.body.settle();
                    let service_time = started.elapsed();
                    return Ok(Answered {
                        sent,
                        endpoint,
                        service_time,
                    });
                }
                Ok(_) => {}
                Err(failure) if prepared.body.client_failed() => {
                    exchange.flag(Flag::DownstreamConnectionTermination);
                    return Err(Reply::failed(&failure));
                }
                Err(failure) if again && failure.kind.is_unexecuted() => {
                    tracing::debug!(address = %endpoint.address, failure.detail, "Trying another endpoint.");
                }
                Err(failure) => {
                    if attempt > 1 {
                        exchange.flag(Flag::RetryLimit);
                    }
                    if let Some(line) = exchange.line() {
                        line.transport_failure.clone_from(&failure.detail);
                    }
                    return Err(Reply::failed(&failure));
                }
            }
            self.worker.shared.metrics.counters().retries.increment();
            tokio::time::sleep(PAUSE.mul_f64(fastrand::f64() * f64::from(attempt))).await;
            tried.push(endpoint.address);
            attempt += 1;
        }
    }

    /// The version to speak to endpoints: what the port declares, or else the client's own.
    fn upstream_version(&self, route: &Route, prepared: &Prepared, exchange: &Exchange) -> Version {
        match (route.application(), self.version) {
            // hyper upgrades from HTTP/1 only.
            _ if prepared.upgrade.is_some() => Version::Http1,
            (Application::Http2, _) => Version::Http2,
            // gRPC on a port called http cannot have meant HTTP/1.
            (Application::Http, Version::Http2) if !exchange.is_grpc() => Version::Http1,
            (_, version) => version,
        }
    }

    /// Whether another endpoint may do better: the peer's proxy did not ask its application, or
    /// the application answered with a gRPC status that stands for that.
    fn is_retried(&self, sent: &Sent, endpoint: &Endpoint, exchange: &Exchange) -> bool {
        let headers = sent.response.headers();
        let unexecuted = self.worker.is_mesh(endpoint) && headers.contains_key(NOT_EXECUTED);
        let refused = exchange.is_grpc()
            && http::grpc_status(headers).is_some_and(|status| RETRIED_GRPC.contains(&status));
        unexecuted || refused
    }

    fn respond(
        &self,
        answered: Answered,
        mut exchange: Box<Exchange>,
        upgrade: Option<(Upgrade, OnUpgrade)>,
    ) -> Response<ResponseBody> {
        let Answered {
            sent: Sent {
                mut response,
                lease,
            },
            endpoint,
            service_time,
        } = answered;
        if self.worker.is_mesh(&endpoint) && response.headers().contains_key(NOT_EXECUTED) {
            exchange.flag(Flag::UpstreamConnectionFailure);
            exchange.flag(Flag::RetryLimit);
        }
        exchange.responded(&response);
        if let Some(line) = exchange.line() {
            line.upstream_local = Some(lease.local());
            line.service_time = Some(service_time);
        }
        if let Some((upgrade, client)) = upgrade
            && upgrade.is_granted(response.status())
        {
            return http::splice(client, response, exchange, Arc::clone(&self.connection));
        }
        http::prepare_response(response.headers_mut());
        let headers = response.headers_mut();
        headers.insert(header::SERVER, HeaderValue::from_static("envoy"));
        let milliseconds = u64::try_from(service_time.as_millis()).unwrap_or(u64::MAX);
        headers.insert(SERVICE_TIME, HeaderValue::from(milliseconds));
        *response.version_mut() = ::http::Version::HTTP_11;
        response.map(|body| ResponseBody::upstream(body, lease, exchange))
    }

    fn begin_log(&self, exchange: &mut Exchange, request: &Request<Incoming>) {
        let shared = &self.worker.shared;
        if shared.access_log.is_on(&shared.discovery.own()) {
            let mut line = Line::of(request);
            line.downstream_local = Some(self.routes.target());
            line.downstream_remote = Some(self.client);
            exchange.log_to(shared.access_log.clone(), Box::new(line));
        }
    }

    fn name_destination(&self, exchange: &mut Exchange, route: &Route, authority: Option<&str>) {
        if let Some(line) = exchange.line() {
            line.upstream_cluster = route.cluster();
        }
        // Others are named by the endpoint.
        if let Route::Outside(_) = route {
            let host = authority.map_or("unknown", host_of);
            exchange.set_recorder(self.worker.outside.telemetry(&self.worker.shared, host));
        }
    }

    fn name_endpoint(&self, exchange: &mut Exchange, route: &Route, endpoint: &Arc<Endpoint>) {
        exchange.set_active(endpoint.enter());
        if let Some(line) = exchange.line() {
            line.upstream_host = Some(endpoint.address);
        }
        if !matches!(route, Route::Outside(_)) {
            let telemetry: Arc<dyn Record> =
                telemetry::of_endpoint(&self.worker.shared, route, endpoint);
            exchange.set_recorder(telemetry);
        }
    }
}

impl Handle for Requests {
    fn handle(self: Arc<Self>, request: Request<Incoming>) -> Handled {
        Box::pin(async move { self.forward(request).await })
    }
}

impl Prepared {
    /// Takes a request apart; what concerned the application's connection stays behind.
    fn new(request: Request<Incoming>, upgrade: Option<Upgrade>, exchange: &mut Exchange) -> Self {
        let (mut parts, body) = request.into_parts();
        let body = Source::new(body, exchange.is_grpc());
        exchange.set_request(body.clone());
        parts.extensions.remove::<OnUpgrade>();
        let headers = &mut parts.headers;
        http::prepare_request(headers);
        // Only the receiving proxy can say whose certificate it saw.
        headers.remove(FORWARDED_CLIENT_CERT);
        headers
            .entry(FORWARDED_PROTO)
            .or_insert(HeaderValue::from_static("http"));
        if !headers.contains_key(REQUEST_ID) {
            let id = http::request_id();
            if let Some(line) = exchange.line() {
                line.request_id = id.to_str().unwrap_or_default().to_owned();
            }
            headers.insert(REQUEST_ID, id);
        }
        if let Some(upgrade) = &upgrade {
            upgrade.restore(headers);
        }
        Self {
            parts,
            body,
            upgrade,
        }
    }

    /// The request as one attempt sends it.
    fn attempt(&self, version: Version, attempt: u32) -> Result<Request<RequestBody>, Reply> {
        let mut parts = self.parts.clone();
        parts
            .headers
            .insert(ATTEMPT_COUNT, HeaderValue::from(attempt));
        http::assemble(parts, version, self.body.attempt())
            .map_err(|_| Reply::bad_request("the request's target is wrong"))
    }
}

fn no_endpoint(route: &Route) -> Reply {
    match route {
        Route::Blocked => Reply::blocked(),
        Route::Refused => Reply::unknown_service(),
        _ => Reply::no_healthy_upstream(),
    }
}
