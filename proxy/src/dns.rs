//! The proxy's name server (`ISTIO_META_DNS_CAPTURE`): redirection leads the pod's DNS questions here.
//! Addresses of the mesh's hosts are answered from what control tells; every other question goes to the
//! name servers of the pod, and their answers come back as they are.
//!
//! DNS never depends on control: what it does not answer in time is asked of the name servers too.

mod cache;
mod flights;
mod listen;
mod mesh;
mod message;
mod query;
mod response;
mod server;
#[cfg(test)]
mod tests;
mod upstream;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::Instant;

use self::cache::Cache;
use self::flights::Flights;
use self::listen::Listener;
use self::mesh::MeshNames;
use self::message::Code;
use self::query::{Family, Query, Refusal, Transport};
use self::response::{Response, fit};
use self::upstream::Upstream;
use crate::config::Dns;
use crate::metrics::DnsMetrics;
use crate::runtime::StartError;
use crate::shared::Shared;

/// Questions that wait for name servers at once; one more fails.
const MAX_QUESTIONS: usize = 512;
/// TCP connections at once; one more is closed.
const MAX_CONNECTIONS: usize = 64;
/// How long addresses of the mesh may be kept by those who asked, in seconds.
const TIME_TO_LIVE: u32 = 30;

/// Starts the name server, if DNS is captured; returns where it listens.
///
/// # Errors
/// When an address cannot be bound.
pub fn start(tasks: &mut JoinSet<()>, shared: &Shared) -> Result<Vec<SocketAddr>, StartError> {
    let Some(config) = &shared.config.dns else {
        return Ok(Vec::new());
    };
    if config.name_servers.addresses.is_empty() {
        tracing::warn!("The pod has no name servers: only names of the mesh are answered.");
    }
    let server = Arc::new(NameServer::new(config, shared));
    let mut listening = Vec::new();
    for address in &config.listen {
        if let Some(listener) = Listener::bind(*address)? {
            listening.push(listener.address()?);
            listener.serve(Arc::clone(&server), tasks);
        }
    }
    Ok(listening)
}

/// Answers questions, wherever they come from.
struct NameServer {
    mesh: MeshNames,
    cache: Cache,
    flights: Flights,
    upstream: Upstream,
    metrics: Arc<DnsMetrics>,
    questions: Semaphore,
    connections: Semaphore,
}

impl NameServer {
    fn new(config: &Dns, shared: &Shared) -> Self {
        Self {
            mesh: MeshNames::new(shared.discovery.clone(), &shared.config.pod),
            cache: Cache::default(),
            flights: Flights::default(),
            upstream: Upstream::new(&config.name_servers),
            metrics: shared.metrics.dns(),
            questions: Semaphore::new(MAX_QUESTIONS),
            connections: Semaphore::new(MAX_CONNECTIONS),
        }
    }

    /// The life of a question. None when it gets no answer.
    async fn answer(&self, message: &[u8], transport: Transport) -> Option<Vec<u8>> {
        self.metrics.requests.increment();
        let query = match Query::read(message) {
            Ok(query) => query,
            Err(Refusal::Answer(answer)) => return Some(answer),
            Err(Refusal::Silence) => return None,
        };
        let answer = match self.of_mesh(&query).await {
            Some(answer) => answer,
            None => self.forwarded(&query, transport).await,
        };
        Some(fit(answer, query.limit(transport)))
    }

    /// The answer, if it is for addresses of a host of the mesh. A host without addresses of the
    /// family that is asked for exists all the same.
    async fn of_mesh(&self, query: &Query<'_>) -> Option<Vec<u8>> {
        let family = query.family()?;
        let addresses = self.mesh.addresses(&query.host()?).await?;
        let mut addresses: Vec<IpAddr> = addresses
            .iter()
            .copied()
            .filter(|address| address.is_ipv4() == (family == Family::V4))
            .collect();
        // Most clients take the first.
        fastrand::shuffle(&mut addresses);
        self.metrics.mesh_answers.increment();
        Some(query.addresses(&addresses, TIME_TO_LIVE))
    }

    /// The answer of the pod's name servers.
    async fn forwarded(&self, query: &Query<'_>, transport: Transport) -> Vec<u8> {
        if let Some(response) = self.cache.find(query) {
            self.metrics.cache_answers.increment();
            return response.in_any_order().answer(query);
        }
        let Ok(_slot) = self.questions.try_acquire() else {
            self.metrics.over_limit.increment();
            return query.failure(Code::ServerFailure);
        };
        let ask = self.ask_servers(query, transport);
        match self.flights.join(query, transport, ask).await {
            Some(response) => response.in_any_order().answer(query),
            None => query.failure(Code::ServerFailure),
        }
    }

    async fn ask_servers(&self, query: &Query<'_>, transport: Transport) -> Option<Response> {
        self.metrics.upstream_requests.increment();
        let start = Instant::now();
        let response = Box::pin(self.upstream.ask(query, transport)).await;
        match &response {
            Some(response) => {
                self.metrics.upstream_duration.observe(start.elapsed());
                self.cache.keep(query, response);
            }
            None => self.metrics.upstream_failures.increment(),
        }
        response
    }
}
