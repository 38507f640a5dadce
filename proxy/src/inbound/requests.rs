//! The requests of one connection to the application. They are never tried twice here: a request
//! that certainly did not reach the application goes back to the caller's proxy, which may know
//! another endpoint.

use std::sync::Arc;
use std::time::Duration;

use ::http::{HeaderMap, HeaderValue, Request, Response, header};
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use tokio::time::Instant;

use super::Accepted;
use super::peer::Peer;
use crate::access_log::Line;
use crate::discover::Application;
use crate::drain::Phase;
use crate::http::headers::{FORWARDED_CLIENT_CERT, FORWARDED_PROTO, REQUEST_ID, SERVICE_TIME};
use crate::http::{
    self, Exchange, Failure, Handle, Handled, NOT_EXECUTED, Reply, RequestBody, ResponseBody, Sent,
    Source, Upgrade, Version,
};

/// Answers the requests of one connection.
pub(super) struct Requests {
    accepted: Accepted,
    peer: Arc<Peer>,
    version: Version,
    server_name: String,
}

impl Requests {
    pub(super) fn new(
        accepted: Accepted,
        peer: Peer,
        version: Version,
        server_name: String,
    ) -> Self {
        Self {
            accepted,
            peer: Arc::new(peer),
            version,
            server_name,
        }
    }

    async fn forward(&self, mut request: Request<Incoming>) -> Response<ResponseBody> {
        let mut exchange = Exchange::begin(&request);
        self.begin_log(&mut exchange, &request);
        exchange.set_recorder(Arc::clone(&self.peer) as _);
        exchange.set_in_hand(self.accepted.connection.request());
        if let Err(reason) = http::authority(&request) {
            return self.reply(Reply::bad_request(reason), exchange);
        }
        let upgrade = Upgrade::wanted(&request);
        let client = upgrade.is_some().then(|| hyper::upgrade::on(&mut request));
        let version = self.application_version(upgrade.as_ref());
        let request = match self.prepare(request, version, upgrade.as_ref(), &mut exchange) {
            Ok(request) => request,
            Err(reply) => return self.reply(reply, exchange),
        };
        exchange.set_active(self.accepted.application.enter());
        let started = Instant::now();
        let (worker, application) = (&self.accepted.worker, &self.accepted.application);
        match http::send(worker, application, version, upgrade.is_some(), request).await {
            Ok(sent) => self.respond(sent, started.elapsed(), exchange, upgrade.zip(client)),
            Err(failure) => self.fail(&failure, exchange),
        }
    }

    /// The version to speak to the application: what the port declares, or else the client's own.
    fn application_version(&self, upgrade: Option<&Upgrade>) -> Version {
        match (self.accepted.declared, upgrade) {
            // hyper upgrades from HTTP/1 only.
            (_, Some(_)) => Version::Http1,
            (Application::Http2, None) => Version::Http2,
            (_, None) => self.version,
        }
    }

    fn prepare(
        &self,
        request: Request<Incoming>,
        version: Version,
        upgrade: Option<&Upgrade>,
        exchange: &mut Exchange,
    ) -> Result<Request<RequestBody>, Reply> {
        let (mut parts, body) = request.into_parts();
        let body = Source::new(body, exchange.is_grpc());
        // There will be one attempt only: nothing needs to be kept.
        body.settle();
        exchange.set_request(body.clone());
        parts.extensions.remove::<OnUpgrade>();
        http::prepare_request(&mut parts.headers);
        self.describe_client(&mut parts.headers);
        if let Some(upgrade) = upgrade {
            upgrade.restore(&mut parts.headers);
        }
        http::assemble(parts, version, body.attempt())
            .map_err(|_| Reply::bad_request("the request's target is wrong"))
    }

    /// Tells the application who calls. What a client without a certificate says of itself there
    /// is not passed on.
    fn describe_client(&self, headers: &mut HeaderMap) {
        match self.peer.forwarded_cert() {
            None => {
                headers.remove(FORWARDED_CLIENT_CERT);
            }
            Some(cert) => {
                let before = headers
                    .get(FORWARDED_CLIENT_CERT)
                    .map(HeaderValue::as_bytes);
                let all = match before {
                    None => Some(cert.clone()),
                    Some(before) => {
                        HeaderValue::from_bytes(&[before, b",", cert.as_bytes()].concat()).ok()
                    }
                };
                if let Some(all) = all {
                    headers.insert(FORWARDED_CLIENT_CERT, all);
                }
            }
        }
        headers
            .entry(FORWARDED_PROTO)
            .or_insert(HeaderValue::from_static("http"));
        if !headers.contains_key(REQUEST_ID) {
            headers.insert(REQUEST_ID, http::request_id());
        }
    }

    fn respond(
        &self,
        sent: Sent,
        service_time: Duration,
        mut exchange: Box<Exchange>,
        upgrade: Option<(Upgrade, OnUpgrade)>,
    ) -> Response<ResponseBody> {
        let Sent {
            mut response,
            lease,
        } = sent;
        exchange.responded(&response);
        if let Some(line) = exchange.line() {
            line.upstream_local = Some(lease.local());
            line.service_time = Some(service_time);
        }
        if let Some((upgrade, client)) = upgrade
            && upgrade.is_granted(response.status())
        {
            exchange.release_in_hand();
            let connection = Arc::clone(&self.accepted.connection);
            return http::splice(client, response, exchange, connection);
        }
        http::prepare_response(response.headers_mut());
        let headers = response.headers_mut();
        headers.insert(header::SERVER, HeaderValue::from_static("istio-envoy"));
        let milliseconds = u64::try_from(service_time.as_millis()).unwrap_or(u64::MAX);
        headers.insert(SERVICE_TIME, HeaderValue::from(milliseconds));
        self.announce_drain(headers);
        *response.version_mut() = ::http::Version::HTTP_11;
        response.map(|body| ResponseBody::upstream(body, lease, exchange))
    }

    fn fail(&self, failure: &Failure, mut exchange: Box<Exchange>) -> Response<ResponseBody> {
        tracing::debug!(target = %self.accepted.target, failure.detail, "The application did not answer.");
        if let Some(line) = exchange.line() {
            line.transport_failure.clone_from(&failure.detail);
        }
        let mut response = self.reply(Reply::failed(failure), exchange);
        if failure.kind.is_unexecuted() && self.peer.is_mesh() {
            let reason = HeaderValue::from_static("connect-failure");
            response.headers_mut().insert(NOT_EXECUTED, reason);
        }
        response
    }

    fn reply(&self, reply: Reply, exchange: Box<Exchange>) -> Response<ResponseBody> {
        let mut response = reply.respond(exchange);
        self.announce_drain(response.headers_mut());
        response
    }

    /// While draining, callers are asked to take their next request elsewhere.
    fn announce_drain(&self, headers: &mut HeaderMap) {
        let draining = self.accepted.worker.shared.drain.phase() >= Phase::Draining;
        if draining && self.version == Version::Http1 {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
    }

    fn begin_log(&self, exchange: &mut Exchange, request: &Request<Incoming>) {
        let shared = &self.accepted.worker.shared;
        if shared.access_log.is_on(&shared.discovery.own()) {
            let line = Line {
                upstream_host: Some(self.accepted.target),
                upstream_cluster: self.accepted.cluster(),
                downstream_local: Some(self.accepted.target),
                downstream_remote: Some(self.accepted.client),
                server_name: self.server_name.clone(),
                ..Line::of(request)
            };
            exchange.log_to(shared.access_log.clone(), Box::new(line));
        }
    }
}

impl Handle for Requests {
    fn handle(self: Arc<Self>, request: Request<Incoming>) -> Handled {
        Box::pin(async move { self.forward(request).await })
    }
}
