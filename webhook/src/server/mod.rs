//! The admission server: what reaches the injector over the network, and what comes back.
//!
//! [`listener`] accepts connections, [`connection`] serves them to their end, [`tls`] says who we are, [`routes`] reads
//! requests, [`live`] knows the cluster, [`review`] answers admission reviews, [`readiness`] and [`metrics`] tell others how we
//! fare.

pub mod body;
pub mod connection;
pub mod listener;
pub mod live;
pub mod metrics;
pub mod readiness;
pub mod review;
pub mod routes;
pub mod tls;

mod received;

#[cfg(test)]
pub(crate) mod tests;

use std::sync::Arc;

use tokio::sync::watch;

use crate::inject::Injector;

use self::body::BodyBudget;
use self::live::LiveCluster;
use self::metrics::Metrics;
use self::readiness::Readiness;

/// What the handlers of all requests share.
#[derive(Clone, Debug)]
pub struct Shared {
    /// The injector of the newest good configuration; `None` until there is one.
    pub injector: watch::Receiver<Option<Arc<Injector>>>,
    /// The cluster.
    pub cluster: LiveCluster,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// Whether requests should come here.
    pub readiness: Arc<Readiness>,
    /// Memory that request bodies may take.
    pub bodies: Arc<BodyBudget>,
}
