//! Counters of the injector, under Istio's names where Istio has one, in OpenMetrics text.

use std::fmt;

use prometheus_client::encoding::text;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

/// Upper bounds in seconds. An injection takes a tenth of a millisecond; whatever takes ten seconds
/// has failed.
const SECONDS: [f64; 10] = [
    0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 10.0,
];

/// The injector's counters.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    /// Admission reviews of pods.
    pub requests: Counter,
    /// Pods that were injected. Istio counts every answer here.
    pub success: Counter,
    /// Pods that should be injected and could not.
    pub failure: Counter,
    /// Pods that are not to be injected, or have been already.
    pub skip: Counter,
    /// Requests that are no admission review of a pod.
    pub bad_requests: Counter,
    /// Configurations that were refused.
    pub refused_configurations: Counter,
    /// Connections that found no room.
    pub refused_connections: Counter,
    /// Seconds from a whole request to its answer.
    pub time: Histogram,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::default();
        let mut counter = |name: &str, help: &str| {
            let counter = Counter::default();
            registry.register(name, help, counter.clone());
            counter
        };
        let requests = counter("sidecar_injection_requests", "Admission reviews of pods");
        let success = counter("sidecar_injection_success", "Pods that were injected");
        let failure = counter(
            "sidecar_injection_failure",
            "Pods that could not be injected",
        );
        let skip = counter("sidecar_injection_skip", "Pods that are not to be injected");
        let bad_requests = counter(
            "sidecar_injection_bad_requests",
            "Requests that are no admission review of a pod",
        );
        let refused_configurations = counter(
            "sidecar_injection_refused_configurations",
            "Configurations that were refused; the last good one stays in force",
        );
        let refused_connections = counter(
            "sidecar_injection_refused_connections",
            "Connections refused because all of them, or all of one peer, were taken",
        );
        let time = Histogram::new(SECONDS);
        let help = "Seconds from a whole request to its answer";
        registry.register("sidecar_injection_time_seconds", help, time.clone());
        Self {
            registry,
            requests,
            success,
            failure,
            skip,
            bad_requests,
            refused_configurations,
            refused_connections,
            time,
        }
    }
}

impl Metrics {
    /// The page that Prometheus scrapes.
    ///
    /// # Errors
    /// Never in practice: text is written into memory.
    pub fn page(&self) -> Result<String, fmt::Error> {
        let mut page = String::new();
        text::encode(&mut page, &self.registry)?;
        Ok(page)
    }
}
