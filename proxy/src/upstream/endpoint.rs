//! One address that serves.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use arc_swap::ArcSwapOption;
use lateen_wire::Identity;
use rustls_pki_types::ServerName;

use crate::discover::Workload;
use crate::metrics::Telemetry;
use crate::net::Source;

/// One address that serves, with what must not be forgotten while it does: the number of its
/// active requests and its metrics. Workers share endpoints; connections to them they do not.
#[derive(Debug)]
pub struct Endpoint {
    /// Never reused within the process.
    pub id: u64,
    /// Where it listens.
    pub address: SocketAddr,
    /// Who runs there, if it is known.
    pub workload: Option<Arc<Workload>>,
    /// How connections to it are secured.
    pub security: Security,
    /// Where connections come from, where it matters.
    pub source: Option<Source>,
    active: AtomicUsize,
    retired: AtomicBool,
    telemetry: ArcSwapOption<VersionedTelemetry>,
}

/// How connections to an endpoint are secured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Security {
    /// Not at all.
    Plain,
    /// Mesh mTLS.
    Mesh {
        /// The identity its certificate must carry.
        identity: Identity,
        /// The SNI to send.
        server_name: ServerName<'static>,
    },
}

/// Counts a request or connection as active on an endpoint until it is dropped.
#[derive(Debug)]
pub struct ActiveRequest(Arc<Endpoint>);

#[derive(Debug)]
struct VersionedTelemetry {
    version: u64,
    telemetry: Arc<Telemetry>,
}

static NEXT_ID: AtomicU64 = AtomicU64::new(0);

impl Endpoint {
    /// An endpoint without active requests.
    #[must_use]
    pub fn new(address: SocketAddr, workload: Option<Arc<Workload>>, security: Security) -> Self {
        Self {
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            address,
            workload,
            security,
            source: None,
            active: AtomicUsize::new(0),
            retired: AtomicBool::new(false),
            telemetry: ArcSwapOption::empty(),
        }
    }

    /// A plain endpoint that nobody in the mesh stands behind.
    #[must_use]
    pub fn plain(address: SocketAddr) -> Self {
        Self::new(address, None, Security::Plain)
    }

    /// With connections that come from there.
    #[must_use]
    pub fn from_source(mut self, source: Source) -> Self {
        self.source = Some(source);
        self
    }

    /// Whether peers there are held to mesh mTLS.
    #[must_use]
    pub fn is_mesh(&self) -> bool {
        matches!(self.security, Security::Mesh { .. })
    }

    /// Requests and connections that are under way.
    #[must_use]
    pub fn active(&self) -> usize {
        self.active.load(Ordering::Relaxed)
    }

    /// Counts one more.
    #[must_use]
    pub fn enter(self: &Arc<Self>) -> ActiveRequest {
        self.active.fetch_add(1, Ordering::Relaxed);
        ActiveRequest(Arc::clone(self))
    }

    /// Takes no new requests: pooled connections are closed as soon as they are idle.
    #[must_use]
    pub fn is_retired(&self) -> bool {
        self.retired.load(Ordering::Relaxed)
    }

    /// Says whether it takes new requests.
    pub fn set_retired(&self, retired: bool) {
        self.retired.store(retired, Ordering::Relaxed);
    }

    /// The metrics of traffic to it, made anew when `version` is not the one they were made for.
    pub fn telemetry(&self, version: u64, make: impl FnOnce() -> Telemetry) -> Arc<Telemetry> {
        if let Some(known) = self.telemetry.load().as_ref()
            && known.version == version
        {
            return Arc::clone(&known.telemetry);
        }
        let telemetry = Arc::new(make());
        let versioned = VersionedTelemetry {
            version,
            telemetry: Arc::clone(&telemetry),
        };
        self.telemetry.store(Some(Arc::new(versioned)));
        telemetry
    }
}

impl Drop for ActiveRequest {
    fn drop(&mut self) {
        self.0.active.fetch_sub(1, Ordering::Relaxed);
    }
}
