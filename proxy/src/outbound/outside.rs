//! Metrics of hosts outside the mesh, whose number the application chooses: beyond a limit they
//! share the label `unknown`.

use std::sync::Arc;
use std::time::Duration;

use ahash::AHashMap;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::telemetry;
use crate::metrics::Telemetry;
use crate::shared::Shared;

/// Hosts with labels of their own.
const MAX_HOSTS: usize = 100;
/// A host that was not called for this long makes room for another.
const IDLE: Duration = Duration::from_secs(600);
/// The label of all hosts beyond the limit.
const OTHERS: &str = "unknown";

/// Metrics by host.
#[derive(Default)]
pub struct OutsideHosts {
    hosts: Mutex<AHashMap<Box<str>, Known>>,
}

struct Known {
    telemetry: Arc<Telemetry>,
    version: u64,
    last_used: Instant,
}

impl OutsideHosts {
    /// The metrics of a host.
    pub(super) fn telemetry(&self, shared: &Shared, host: &str) -> Arc<Telemetry> {
        let now = Instant::now();
        let version = shared.discovery.own().version;
        let mut hosts = self.hosts.lock();
        if let Some(known) = hosts.get_mut(host).filter(|known| known.version == version) {
            known.last_used = now;
            return Arc::clone(&known.telemetry);
        }
        if hosts.len() >= MAX_HOSTS {
            hosts.retain(|_, known| now.duration_since(known.last_used) < IDLE);
        }
        if hosts.len() >= MAX_HOSTS && !hosts.contains_key(host) && host != OTHERS {
            drop(hosts);
            return self.telemetry(shared, OTHERS);
        }
        let telemetry = telemetry::of_host(shared, host);
        let known = Known {
            telemetry: Arc::clone(&telemetry),
            version,
            last_used: now,
        };
        hosts.insert(host.into(), known);
        telemetry
    }
}
