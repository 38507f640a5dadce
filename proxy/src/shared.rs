//! What all connections of the process, or all of one worker, have in common.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ahash::AHashMap;
use parking_lot::Mutex;
use tokio::sync::Semaphore;

use crate::access_log::AccessLog;
use crate::config::Config;
use crate::discover::{Discovery, Own};
use crate::drain::Drain;
use crate::http::Pools;
use crate::metrics::Registry;
use crate::net::{Source, Stream};
use crate::outbound::OutsideHosts;
use crate::ready::Readiness;
use crate::tls::{Alpn, Certificates, TrustDomains};
use crate::upstream::{self, ConnectError, Endpoint, Wanted};
use crate::workers::Workers;

/// How often a worker looks for connections that have been idle for too long.
const SWEEP: Duration = Duration::from_secs(1);
/// Addresses outside the mesh, or ports of the application, that a worker keeps endpoints of.
const MAX_ADDRESSES: usize = 1_024;

/// Beyond them a record goes without its peer.
const MAX_WAITING_RECORDS: usize = 1_000;

/// What the whole process shares.
pub struct Shared {
    /// As configured at start.
    pub config: Arc<Config>,
    /// Who we are.
    pub certificates: Certificates,
    /// Whose identities are accepted.
    pub trust_domains: TrustDomains,
    /// Who the others are.
    pub discovery: Discovery,
    /// What happened.
    pub metrics: Registry,
    /// One line for each request.
    pub access_log: AccessLog,
    /// How the process ends.
    pub drain: Drain,
    /// Whether it may be called.
    pub readiness: Readiness,
    /// The threads that carry traffic.
    pub workers: Workers,
    /// Records of traffic that wait to learn who their peer was.
    pub waiting_records: Arc<Semaphore>,
}

/// What the connections of one worker share.
pub struct Worker {
    /// What the whole process shares.
    pub shared: Arc<Shared>,
    /// Connections to endpoints.
    pub pools: Pools,
    /// Metrics of traffic to hosts outside the mesh.
    pub outside: OutsideHosts,
    /// Endpoints that nobody told us of: where traffic is passed through, and the application.
    addresses: Mutex<AHashMap<Reached, Arc<Endpoint>>>,
}

/// An address, and where connections to it come from.
type Reached = (SocketAddr, Option<Source>);

impl Shared {
    /// The parts of a process that has just started.
    #[must_use]
    pub fn new(config: Config) -> Arc<Self> {
        let config = Arc::new(config);
        let metrics = Registry::new();
        let drain = Drain::new();
        let own = Own::assumed(&config);
        let trust_domains = vec![config.identity.trust_domain().to_owned()];
        Arc::new(Self {
            certificates: Certificates::default(),
            trust_domains: Arc::new(arc_swap::ArcSwap::from_pointee(trust_domains)),
            discovery: Discovery::new(own, metrics.clone()),
            access_log: AccessLog::new(metrics.clone()),
            readiness: Readiness::new(drain.clone()),
            workers: Workers::default(),
            waiting_records: Arc::new(Semaphore::new(MAX_WAITING_RECORDS)),
            config,
            metrics,
            drain,
        })
    }
}

impl Worker {
    /// A worker without connections.
    #[must_use]
    pub fn new(shared: Arc<Shared>) -> Arc<Self> {
        Arc::new(Self {
            shared,
            pools: Pools::default(),
            outside: OutsideHosts::default(),
            addresses: Mutex::default(),
        })
    }

    /// Connects to an endpoint as MeshConfig says.
    ///
    /// # Errors
    /// As [`upstream::connect`].
    pub async fn connect(&self, endpoint: &Endpoint, alpn: Alpn) -> Result<Stream, ConnectError> {
        let wanted = {
            let mesh = &self.shared.discovery.own().mesh;
            Wanted {
                certificates: &self.shared.certificates,
                alpn,
                auto_mtls: mesh.auto_mtls,
                timeout: mesh.connect_timeout,
            }
        };
        let result = upstream::connect(endpoint, wanted).await;
        if let Err(ConnectError::Tls(error)) = &result {
            self.shared
                .metrics
                .counters()
                .handshake_failures
                .increment();
            tracing::info!(address = %endpoint.address, %error, "A peer was refused.");
        }
        result
    }

    /// Whether connections to an endpoint are encrypted by the mesh.
    #[must_use]
    pub fn is_mesh(&self, endpoint: &Endpoint) -> bool {
        endpoint.is_mesh() && self.shared.discovery.own().mesh.auto_mtls
    }

    /// The endpoint of an address that discovery does not know, with the connections it has.
    pub fn address(&self, address: SocketAddr, source: Option<Source>) -> Arc<Endpoint> {
        let mut addresses = self.addresses.lock();
        if let Some(endpoint) = addresses.get(&(address, source)) {
            return Arc::clone(endpoint);
        }
        let endpoint = Endpoint::plain(address);
        let endpoint = Arc::new(match source {
            Some(source) => endpoint.from_source(source),
            None => endpoint,
        });
        if addresses.len() < MAX_ADDRESSES {
            addresses.insert((address, source), Arc::clone(&endpoint));
        }
        endpoint
    }

    /// Closes what has been idle for too long, for ever.
    pub async fn sweep(self: Arc<Self>) {
        let mut interval = tokio::time::interval(SWEEP);
        loop {
            interval.tick().await;
            self.pools.sweep();
            self.addresses
                .lock()
                .retain(|_, endpoint| Arc::strong_count(endpoint) > 1);
        }
    }
}
