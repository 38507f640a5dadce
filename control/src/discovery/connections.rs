//! The streams that are open, for limits and for the debug pages.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use lateen_wire::Identity;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::answers::StreamId;
use crate::metrics::Metrics;

/// One stream, as people and limits see it.
pub struct Connection {
    /// Number of the stream.
    pub id: StreamId,
    /// Namespace of the proxy's pod.
    pub namespace: Arc<str>,
    /// Name of the proxy's pod.
    pub pod: Arc<str>,
    /// The identity it proved.
    pub identity: Identity,
    /// The other end.
    pub address: IpAddr,
    /// Its program and version, as it says.
    pub agent: String,
    /// When the stream began.
    pub since: Instant,
    /// Names it follows.
    pub names: AtomicUsize,
    /// Responses sent, by the nonce of the last.
    pub sent: AtomicU64,
    /// Responses acknowledged or refused.
    pub acknowledged: AtomicU64,
    /// Responses refused.
    pub rejected: AtomicU64,
}

impl Connection {
    /// The stream as a debug page shows it.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let sent = self.sent.load(Ordering::Relaxed);
        let acknowledged = self.acknowledged.load(Ordering::Relaxed);
        json!({
            "id": self.id,
            "proxy": format!("{}.{}", self.pod, self.namespace),
            "identity": self.identity.to_string(),
            "address": self.address,
            "agent": self.agent,
            "seconds": self.since.elapsed().as_secs(),
            "names": self.names.load(Ordering::Relaxed),
            "sent": sent,
            "acknowledged": acknowledged,
            "rejected": self.rejected.load(Ordering::Relaxed),
            "synced": sent == acknowledged,
        })
    }
}

/// All open streams of this replica.
pub struct Connections {
    open: Mutex<HashMap<StreamId, Arc<Connection>>>,
    metrics: Arc<Metrics>,
}

impl Connections {
    /// No streams.
    #[must_use]
    pub fn new(metrics: Arc<Metrics>) -> Self {
        Self {
            open: Mutex::default(),
            metrics,
        }
    }

    /// Lists a stream for as long as the guard lives. None when its pod has `limit` already.
    #[must_use]
    pub fn open(self: &Arc<Self>, connection: Connection, limit: usize) -> Option<Open> {
        let mut open = self.open.lock();
        let same_pod = |other: &&Arc<Connection>| {
            other.pod == connection.pod && other.namespace == connection.namespace
        };
        if open.values().filter(same_pod).count() >= limit {
            return None;
        }
        let connection = Arc::new(connection);
        open.insert(connection.id, connection.clone());
        self.metrics.streams.inc();
        Some(Open {
            connections: self.clone(),
            connection,
        })
    }

    /// The open streams, oldest first.
    #[must_use]
    pub fn list(&self) -> Vec<Arc<Connection>> {
        let mut list: Vec<_> = self.open.lock().values().cloned().collect();
        list.sort_unstable_by_key(|connection| connection.id);
        list
    }
}

/// A stream on the list.
pub struct Open {
    connections: Arc<Connections>,
    /// The stream.
    pub connection: Arc<Connection>,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.connections.open.lock().remove(&self.connection.id);
        self.connections.metrics.streams.dec();
    }
}
