//! What control counts, under the names that Istio's dashboards ask for.

use std::fmt;
use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::{EncodeLabelSet, EncodeMetric, MetricEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::{MetricType, TypedMetric};
use prometheus_client::registry::{Metric, Registry};

use crate::ca::Authority;
use crate::process::Process;

/// Version of this program.
const VERSION: &str = env!("CARGO_PKG_VERSION");
/// Seconds, as Istio's dashboards expect of `pilot_proxy_convergence_time`; the smaller ones are
/// where ours falls.
const CONVERGENCE: [f64; 12] = [
    0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 3.0, 5.0, 10.0, 20.0, 30.0,
];

/// All metrics of the process.
pub struct Metrics {
    registry: Registry,
    /// Discovery streams that are open.
    pub streams: Gauge,
    /// Resources sent, by type.
    pub pushes: Family<TypeLabels, Tally>,
    /// Seconds from a change's arrival to its answer on the way to a proxy.
    pub convergence: Histogram,
    /// Answers that proxies refused.
    pub rejects: Tally,
    /// Acknowledgements of answers that are not the latest of their type.
    pub expired_nonces: Tally,
    /// Streams refused or ended early, by reason.
    pub stream_errors: Family<ReasonLabels, Tally>,
    /// Services known.
    pub services: Gauge,
    /// Events from watches.
    pub registry_events: Family<KindLabels, Tally>,
    /// Names beyond what a stream may follow, by type.
    pub names_refused: Family<TypeLabels, Tally>,
    /// Connections that found no room.
    pub connections_refused: Family<RefusalLabels, Tally>,
    /// TLS handshakes that failed, by reason.
    pub handshake_errors: Family<ReasonLabels, Tally>,
    /// Mesh configurations refused.
    pub mesh_config_errors: Tally,
    /// Fields of the mesh configuration in force that are not acted upon.
    pub mesh_config_not_honoured: Gauge,
    /// Whether this replica is the leader.
    pub leader: Gauge,
    /// The certificate authority's.
    pub authority: AuthorityMetrics,
}

/// Metrics of the certificate authority.
#[derive(Default)]
pub struct AuthorityMetrics {
    /// Requests for certificates.
    pub requests: Tally,
    /// Certificates signed.
    pub issued: Tally,
    /// Callers that could not prove who they are.
    pub authentication_failures: Tally,
    /// Callers that are not the pod they claim to be.
    pub identity_errors: Tally,
    /// Requests that are no good certificate requests.
    pub parsing_errors: Tally,
    /// Failures to sign.
    pub signing_errors: Tally,
    /// Changes of the authority's Secret that could not be taken up.
    pub load_errors: Tally,
    /// Requests turned away because of too many.
    pub throttled: Tally,
    /// End of the root certificate's life, seconds since the epoch.
    pub root_expiry: Gauge,
    /// End of the signing certificate's life, seconds since the epoch.
    pub chain_expiry: Gauge,
}

impl Metrics {
    /// Registers everything.
    #[must_use]
    pub fn new() -> Self {
        let mut metrics = Self {
            registry: Registry::default(),
            streams: Gauge::default(),
            pushes: Family::default(),
            convergence: Histogram::new(CONVERGENCE),
            rejects: Tally::default(),
            expired_nonces: Tally::default(),
            stream_errors: Family::default(),
            services: Gauge::default(),
            registry_events: Family::default(),
            names_refused: Family::default(),
            connections_refused: Family::default(),
            handshake_errors: Family::default(),
            mesh_config_errors: Tally::default(),
            mesh_config_not_honoured: Gauge::default(),
            leader: Gauge::default(),
            authority: AuthorityMetrics::default(),
        };
        let mut registry = Registry::default();
        metrics.register_discovery(&mut registry);
        metrics.register_process(&mut registry);
        metrics.authority.register(&mut registry);
        metrics.registry = registry;
        metrics
    }

    /// All metrics in the text format of Prometheus.
    ///
    /// # Errors
    /// Never: formatting into a string does not fail.
    pub fn encode(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry)?;
        Ok(text)
    }

    fn register_discovery(&mut self, registry: &mut Registry) {
        let streams = Family::<Version, Gauge>::default();
        self.streams = streams.get_or_create(&vec![("version", VERSION)]).clone();
        add(
            registry,
            "pilot_xds",
            "Discovery streams that are open",
            &streams,
        );
        add(
            registry,
            "pilot_xds_pushes",
            "Resources sent, by type",
            &self.pushes,
        );
        add(
            registry,
            "pilot_proxy_convergence_time",
            "Seconds from a change to its answer being sent",
            &self.convergence,
        );
        add(
            registry,
            "pilot_total_xds_rejects",
            "Answers that proxies refused",
            &self.rejects,
        );
        add(
            registry,
            "pilot_xds_expired_nonce",
            "Outdated acknowledgements",
            &self.expired_nonces,
        );
        add(
            registry,
            "lateen_control_stream_errors",
            "Streams refused or ended early",
            &self.stream_errors,
        );
        add(
            registry,
            "lateen_control_names_refused",
            "Names beyond what a stream may follow, by type",
            &self.names_refused,
        );
        add(
            registry,
            "lateen_control_connections_refused",
            "Connections closed at once for want of room",
            &self.connections_refused,
        );
        add(
            registry,
            "lateen_control_handshake_errors",
            "Failed TLS handshakes",
            &self.handshake_errors,
        );
        add(registry, "pilot_services", "Services known", &self.services);
        add(
            registry,
            "pilot_k8s_reg_events",
            "Events from watches",
            &self.registry_events,
        );
    }

    fn register_process(&self, registry: &mut Registry) {
        add(
            registry,
            "lateen_control_mesh_config_errors",
            "Mesh configurations refused",
            &self.mesh_config_errors,
        );
        add(
            registry,
            "lateen_control_mesh_config_not_honoured",
            "Fields of the mesh configuration that are set and not acted upon",
            &self.mesh_config_not_honoured,
        );
        add(
            registry,
            "lateen_control_leader",
            "Whether this replica is the leader",
            &self.leader,
        );

        let info = Family::<Version, Gauge>::default();
        info.get_or_create(&vec![("version", VERSION)]).set(1);
        add(registry, "pilot_info", "Version of this program", &info);
        let build = Family::<Version, Gauge>::default();
        build
            .get_or_create(&vec![("component", "pilot"), ("tag", VERSION)])
            .set(1);
        add(registry, "istio_build", "Version of this component", &build);
        registry.register_collector(Box::new(Process));
    }
}

impl AuthorityMetrics {
    /// Notes when an authority that is in force ends.
    pub fn tell_ends_of(&self, authority: &Authority) {
        self.chain_expiry
            .set(authority.not_after().unix_timestamp());
        let end = authority.root_not_after();
        self.root_expiry
            .set(end.map_or(0, |end| end.unix_timestamp()));
    }

    fn register(&self, registry: &mut Registry) {
        let counters = [
            (
                "citadel_server_csr_count",
                "Requests for certificates",
                &self.requests,
            ),
            (
                "citadel_server_success_cert_issuance_count",
                "Certificates signed",
                &self.issued,
            ),
            (
                "citadel_server_authentication_failure_count",
                "Callers without valid credentials",
                &self.authentication_failures,
            ),
            (
                "citadel_server_id_extraction_err_count",
                "Callers that are not the pod they claim to be",
                &self.identity_errors,
            ),
            (
                "citadel_server_csr_parsing_err_count",
                "Bad certificate requests",
                &self.parsing_errors,
            ),
            (
                "citadel_server_csr_sign_err_count",
                "Failures to sign",
                &self.signing_errors,
            ),
            (
                "lateen_control_authority_load_errors",
                "Changes of the authority that could not be taken up",
                &self.load_errors,
            ),
            (
                "lateen_control_csr_throttled",
                "Requests turned away",
                &self.throttled,
            ),
        ];
        for (name, help, counter) in counters {
            add(registry, name, help, counter);
        }
        add(
            registry,
            "citadel_server_root_cert_expiry_timestamp",
            "End of the root certificate's life, in seconds since the epoch",
            &self.root_expiry,
        );
        add(
            registry,
            "citadel_server_cert_chain_expiry_timestamp",
            "End of the signing certificate's life, in seconds since the epoch",
            &self.chain_expiry,
        );
    }
}

/// Labels of what is the same for the life of the process.
type Version = Vec<(&'static str, &'static str)>;

fn add<M: Metric + Clone>(registry: &mut Registry, name: &str, help: &str, metric: &M) {
    registry.register(name, help, metric.clone());
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

/// A counter that is written without the suffix `_total`, as Istio's counters are.
#[derive(Clone, Debug, Default)]
pub struct Tally(Counter<u64, AtomicU64>);

impl Tally {
    /// Counts one.
    pub fn inc(&self) {
        self.0.inc();
    }

    /// Counts many.
    pub fn inc_by(&self, number: u64) {
        self.0.inc_by(number);
    }

    /// What has been counted.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.get()
    }
}

impl TypedMetric for Tally {
    const TYPE: MetricType = MetricType::Counter;
}

impl EncodeMetric for Tally {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> Result<(), fmt::Error> {
        encoder.encode_gauge(&self.0.get())
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Counter
    }
}

/// Label `type`: a resource type.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct TypeLabels {
    /// Short name of the type.
    pub r#type: &'static str,
}

/// Label `reason`.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct ReasonLabels {
    /// One of a fixed set of words.
    pub reason: &'static str,
}

/// Labels `port` and `reason`: where a connection was refused and why.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct RefusalLabels {
    /// What the port is for.
    pub port: &'static str,
    /// One of a fixed set of words.
    pub reason: &'static str,
}

/// Labels `type` and `event`: a kind of object and what happened to it.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct KindLabels {
    r#type: String,
    event: &'static str,
}

impl KindLabels {
    /// The labels of a kind of object and an event.
    #[must_use]
    pub fn new(kind: &str, event: &'static str) -> Self {
        Self {
            r#type: kind.to_owned(),
            event,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_that_dashboards_ask_for() {
        let metrics = Metrics::new();
        metrics.streams.inc();
        metrics.authority.requests.inc();
        metrics
            .pushes
            .get_or_create(&TypeLabels { r#type: "own" })
            .inc();
        let text = metrics.encode().unwrap();
        for line in [
            format!("pilot_xds{{version=\"{VERSION}\"}} 1"),
            format!("istio_build{{component=\"pilot\",tag=\"{VERSION}\"}} 1"),
            "citadel_server_csr_count 1".to_owned(),
            "pilot_xds_pushes{type=\"own\"} 1".to_owned(),
            "# TYPE citadel_server_csr_count counter".to_owned(),
        ] {
            assert!(
                text.lines().any(|found| found == line),
                "{line} is not in\n{text}"
            );
        }
        assert!(text.contains("process_resident_memory_bytes "), "{text}");
    }
}
