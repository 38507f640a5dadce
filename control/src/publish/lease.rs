//! Leader election by a Lease, as Kubernetes' own components do it: whoever writes its name and
//! keeps renewing has it; when nobody has renewed for the lease's duration, the next may take it.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease as LeaseObject, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::Timestamp;
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client};
use lateen_wire::names::LEADER_LEASE;
use tokio::time::{Instant, sleep, timeout};
use tracing::{debug, warn};

use crate::Config;

/// How long a lease is good for without being renewed, in seconds.
const SECONDS: i32 = 15;
const DURATION: Duration = Duration::from_secs(15);
/// How often it is renewed, and how often others look.
const INTERVAL: Duration = Duration::from_secs(3);
/// A leader that could not renew for this long stops before others may start.
const GIVE_UP: Duration = Duration::from_secs(10);

/// Our candidacy.
pub(super) struct Lease {
    leases: Api<LeaseObject>,
    name: String,
    candidate: String,
}

impl Lease {
    pub(super) fn new(client: &Client, config: &Config) -> Self {
        Self {
            leases: Api::namespaced(client.clone(), &config.pod_namespace),
            name: config.revision.name_of(LEADER_LEASE),
            candidate: config.pod_name.clone(),
        }
    }

    /// Returns when we have the lease.
    pub(super) async fn acquire(&self) {
        let mut seen = Seen::default();
        loop {
            match self.try_acquire(&mut seen).await {
                Ok(true) => return,
                Ok(false) => {}
                Err(error) => debug!(%error, "The lease cannot be had now."),
            }
            sleep(INTERVAL).await;
        }
    }

    /// Renews; returns when the lease is lost.
    pub(super) async fn hold(&self) {
        let mut renewed = Instant::now();
        while renewed.elapsed() < GIVE_UP {
            sleep(INTERVAL).await;
            match timeout(INTERVAL, self.renew()).await {
                Ok(Ok(true)) => renewed = Instant::now(),
                Ok(Ok(false)) => return,
                Ok(Err(error)) => warn!(%error, "Renewing the lease failed."),
                Err(_) => warn!("Renewing the lease took too long."),
            }
        }
    }

    /// Gives the lease back if we have it, so that the next need not wait.
    pub(super) async fn release(&self) {
        if let Err(error) = timeout(INTERVAL, self.try_release()).await {
            debug!(%error, "The lease could not be released.");
        }
    }

    async fn try_acquire(&self, seen: &mut Seen) -> Result<bool, kube::Error> {
        let Some(current) = self.leases.get_opt(&self.name).await? else {
            let ours = self.object(
                ObjectMeta {
                    name: Some(self.name.clone()),
                    ..ObjectMeta::default()
                },
                0,
            );
            return won(self.leases.create(&PostParams::default(), &ours).await);
        };
        if !self.is_ours(&current) && !is_free(&current) && !seen.is_stale(&current) {
            return Ok(false);
        }
        let transitions = current
            .spec
            .as_ref()
            .and_then(|spec| spec.lease_transitions);
        let ours = self.object(current.metadata, transitions.unwrap_or(0) + 1);
        won(self
            .leases
            .replace(&self.name, &PostParams::default(), &ours)
            .await)
    }

    async fn renew(&self) -> Result<bool, kube::Error> {
        let mut current = self.leases.get(&self.name).await?;
        if !self.is_ours(&current) {
            return Ok(false);
        }
        if let Some(spec) = &mut current.spec {
            spec.renew_time = Some(now());
        }
        won(self
            .leases
            .replace(&self.name, &PostParams::default(), &current)
            .await)
    }

    async fn try_release(&self) -> Result<(), kube::Error> {
        let Some(mut current) = self.leases.get_opt(&self.name).await? else {
            return Ok(());
        };
        if self.is_ours(&current) {
            if let Some(spec) = &mut current.spec {
                spec.holder_identity = None;
                spec.lease_duration_seconds = Some(1);
            }
            self.leases
                .replace(&self.name, &PostParams::default(), &current)
                .await?;
        }
        Ok(())
    }

    fn is_ours(&self, lease: &LeaseObject) -> bool {
        holder(lease) == Some(&self.candidate)
    }

    fn object(&self, metadata: ObjectMeta, transitions: i32) -> LeaseObject {
        let spec = LeaseSpec {
            holder_identity: Some(self.candidate.clone()),
            lease_duration_seconds: Some(SECONDS),
            acquire_time: Some(now()),
            renew_time: Some(now()),
            lease_transitions: Some(transitions),
            ..LeaseSpec::default()
        };
        LeaseObject {
            metadata,
            spec: Some(spec),
        }
    }
}

/// The lease as we last saw it change. Clocks of replicas are not compared.
#[derive(Default)]
struct Seen {
    version: Option<String>,
    at: Option<Instant>,
}

impl Seen {
    /// Whether the lease has not changed for as long as it is good for.
    fn is_stale(&mut self, lease: &LeaseObject) -> bool {
        if self.version == lease.metadata.resource_version {
            return self.at.is_some_and(|at| at.elapsed() > DURATION);
        }
        self.version.clone_from(&lease.metadata.resource_version);
        self.at = Some(Instant::now());
        false
    }
}

fn holder(lease: &LeaseObject) -> Option<&String> {
    lease
        .spec
        .as_ref()?
        .holder_identity
        .as_ref()
        .filter(|holder| !holder.is_empty())
}

fn is_free(lease: &LeaseObject) -> bool {
    holder(lease).is_none()
}

/// Somebody else's write in between is not an error: they have won.
fn won(written: Result<LeaseObject, kube::Error>) -> Result<bool, kube::Error> {
    match written {
        Ok(_) => Ok(true),
        Err(kube::Error::Api(status)) if status.code == 409 => Ok(false),
        Err(error) => Err(error),
    }
}

fn now() -> MicroTime {
    MicroTime(Timestamp::now())
}
