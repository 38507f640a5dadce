//! Who calls: the identity of the certificate, and the workload at the address the connection
//! comes from, which discovery is asked for and which must fit the certificate. A request that ends
//! before the answer is there is recorded when it comes, aside from the path.

use std::net::SocketAddr;
use std::sync::Arc;

use ::http::HeaderValue;
use arc_swap::ArcSwapOption;
use lateen_wire::Identity;
use rustls_pki_types::CertificateDer;
use sha2::{Digest, Sha256};

use super::Accepted;
use crate::discover::{OptionalEntry, Workload};
use crate::http::Record;
use crate::metrics::{
    HttpKey, HttpRecord, Party, Reporter, Security, ServiceLabels, Telemetry, Traffic,
};
use crate::shared::Shared;

/// The client of one connection.
pub(super) struct Peer {
    shared: Arc<Shared>,
    target: SocketAddr,
    identified: Option<Identified>,
    settled: ArcSwapOption<Settled>,
}

/// Metrics of the client's traffic.
struct Settled {
    telemetry: Arc<Telemetry>,
    /// They name the client's workload: nothing more is to be learnt.
    named: bool,
}

/// A client that has shown a certificate.
struct Identified {
    identity: Identity,
    own: Identity,
    forwarded_cert: HeaderValue,
    workload: Option<Arc<OptionalEntry<Workload>>>,
}

impl Peer {
    /// A client without a certificate.
    pub(super) fn plain(accepted: &Accepted) -> Self {
        Self::new(accepted, None)
    }

    /// A client of the mesh.
    pub(super) fn mesh(
        accepted: &Accepted,
        identity: Identity,
        certificate: &CertificateDer<'_>,
        own: &Identity,
    ) -> Self {
        let forwarded_cert = forwarded_cert(own, certificate, &identity);
        let workload = accepted
            .worker
            .shared
            .discovery
            .workload(accepted.client.ip());
        let own = own.clone();
        Self::new(
            accepted,
            Some(Identified {
                identity,
                own,
                forwarded_cert,
                workload,
            }),
        )
    }

    fn new(accepted: &Accepted, identified: Option<Identified>) -> Self {
        Self {
            shared: Arc::clone(&accepted.worker.shared),
            target: accepted.target,
            identified,
            settled: ArcSwapOption::empty(),
        }
    }

    /// Whether the client has shown an identity.
    pub(super) fn is_mesh(&self) -> bool {
        self.identified.is_some()
    }

    /// What is said about the client in `x-forwarded-client-cert`.
    pub(super) fn forwarded_cert(&self) -> Option<&HeaderValue> {
        self.identified
            .as_ref()
            .map(|identified| &identified.forwarded_cert)
    }

    /// The metrics of its traffic, once it is known who it is.
    pub(super) async fn telemetry(&self) -> Arc<Telemetry> {
        if let Some(telemetry) = self.known() {
            return telemetry;
        }
        let workload = match self.workload() {
            Some(entry) => self.shared.discovery.answer(entry).await,
            None => None,
        };
        self.settle(workload.as_deref().and_then(Option::as_deref))
    }

    /// The metrics of its traffic, if there is nothing to wait for.
    fn known(&self) -> Option<Arc<Telemetry>> {
        if let Some(settled) = self.settled.load().as_ref().filter(|one| one.named) {
            return Some(Arc::clone(&settled.telemetry));
        }
        let workload = match self.workload() {
            Some(entry) => Some(entry.answer()?),
            None => None,
        };
        Some(self.settle(workload.as_deref().and_then(Option::as_deref)))
    }

    /// What control says of the address the client calls from.
    fn workload(&self) -> Option<&OptionalEntry<Workload>> {
        self.identified.as_ref()?.workload.as_deref()
    }

    /// The metrics of a client that is this workload. Those of an unknown one are used until
    /// control knows it, which may be later than its first request.
    fn settle(&self, workload: Option<&Workload>) -> Arc<Telemetry> {
        let identity = self.identified.as_ref().map(|one| &one.identity);
        // Another workload has the address by now, or the address is shared: not this client.
        let workload = workload.filter(|one| identity.is_some_and(|identity| one.is(identity)));
        let settled = self.settled.load();
        if let Some(settled) = settled
            .as_ref()
            .filter(|one| one.named || workload.is_none())
        {
            return Arc::clone(&settled.telemetry);
        }
        let telemetry = Arc::new(self.make(workload));
        self.settled.store(Some(Arc::new(Settled {
            telemetry: Arc::clone(&telemetry),
            named: workload.is_some(),
        })));
        telemetry
    }

    fn make(&self, workload: Option<&Workload>) -> Telemetry {
        let own = self.shared.discovery.own();
        let identified = self.identified.as_ref();
        let service = match own.inbound.get(&self.target.port()) {
            Some(port) => ServiceLabels {
                host: &port.service_host,
                name: &port.service_name,
                namespace: &port.service_namespace,
            },
            None => ServiceLabels {
                host: "unknown",
                name: "InboundPassthroughCluster",
                namespace: &own.workload.namespace,
            },
        };
        Telemetry::new(
            &self.shared.metrics,
            Traffic {
                reporter: Reporter::Destination,
                source: Party {
                    workload,
                    principal: identified.map(|one| &one.identity),
                },
                destination: Party {
                    workload: Some(&own.workload),
                    principal: identified.map(|one| &one.own),
                },
                service,
                security: if identified.is_some() {
                    Security::MutualTls
                } else {
                    Security::None
                },
            },
        )
    }
}

impl Record for Peer {
    fn record(self: Arc<Self>, key: HttpKey, record: HttpRecord) {
        if let Some(telemetry) = self.known() {
            return telemetry.count(key, &record);
        }
        match Arc::clone(&self.shared.waiting_records).try_acquire_owned() {
            Ok(place) => {
                tokio::spawn(async move {
                    self.telemetry().await.count(key, &record);
                    drop(place);
                });
            }
            Err(_) => {
                self.shared
                    .metrics
                    .counters()
                    .peer_lookups_over_limit
                    .increment();
                self.make(None).count(key, &record);
            }
        }
    }
}

/// Envoy's form of the client's certificate (`By`, `Hash`, `Subject`, `URI`). Mesh certificates
/// have no subject.
fn forwarded_cert(
    own: &Identity,
    certificate: &CertificateDer<'_>,
    identity: &Identity,
) -> HeaderValue {
    use std::fmt::Write;
    let mut hash = String::with_capacity(64);
    for byte in Sha256::digest(certificate) {
        let written = write!(hash, "{byte:02x}");
        debug_assert!(written.is_ok(), "writing to a string does not fail");
    }
    let text = format!("By={own};Hash={hash};Subject=\"\";URI={identity}");
    HeaderValue::try_from(text).unwrap_or_else(|_| HeaderValue::from_static(""))
}
