//! What the elected leader writes for everybody: the root certificate, renewed in time and published
//! in every namespace, and the webhook's certificate.

mod authority;
mod lease;
mod root;
mod webhook;

use std::sync::Arc;

use kube::Client;
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::Config;
use crate::ca::CurrentAuthority;
use crate::ca::root::Source;
use crate::metrics::Metrics;
use crate::snapshot::store::Store;

use lease::Lease;

/// Field manager of all that we write.
const MANAGER: &str = lateen_wire::names::CONTROL;

/// The writer of one replica, at work while the replica is the leader.
pub struct Publisher {
    /// To write with.
    pub client: Client,
    /// Who and where we are.
    pub config: Arc<Config>,
    /// Which namespaces there are.
    pub store: Arc<Store>,
    /// What is published, and what signs the webhook's certificate.
    pub authority: Arc<CurrentAuthority>,
    /// Whose authority it is.
    pub source: Source,
    /// Says whether we are the leader.
    pub metrics: Arc<Metrics>,
    /// Ends the work, and the leadership.
    pub stopping: CancellationToken,
}

impl Publisher {
    /// Waits to be elected, writes while elected, and so on until the process stops.
    pub async fn run(self) {
        let lease = Lease::new(&self.client, &self.config);
        while !self.stopping.is_cancelled() {
            if self
                .stopping
                .run_until_cancelled(lease.acquire())
                .await
                .is_none()
            {
                break;
            }
            info!("This replica is the leader.");
            self.metrics.leader.set(1);
            tokio::select! {
                () = self.stopping.cancelled() => {}
                () = lease.hold() => info!("This replica is not the leader any more."),
                () = authority::keep_root(&self) => {}
                () = root::publish(&self) => {}
                () = webhook::keep_certificate(&self) => {}
            }
            self.metrics.leader.set(0);
        }
        lease.release().await;
    }
}
