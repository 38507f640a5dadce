//! Istio's metrics of DNS, which its agent has, and a few of our own.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::counters::Counter;
use super::render::{head, line};

/// Upper bounds in seconds; the last bucket is unbounded.
const BOUNDS: [f64; 6] = [0.001, 0.005, 0.01, 0.1, 1.0, 5.0];

/// What the name server counts.
#[derive(Debug, Default)]
pub struct DnsMetrics {
    /// Questions.
    pub requests: Counter,
    /// Questions that were sent on.
    pub upstream_requests: Counter,
    /// Questions that no name server answered.
    pub upstream_failures: Counter,
    /// How long name servers took to answer.
    pub upstream_duration: Durations,
    /// Answers with addresses of the mesh.
    pub mesh_answers: Counter,
    /// Answers that were kept from an earlier question.
    pub cache_answers: Counter,
    /// Questions and connections that were refused because there were too many.
    pub over_limit: Counter,
}

/// How often something took how long.
#[derive(Debug, Default)]
pub struct Durations {
    buckets: [AtomicU64; BOUNDS.len() + 1],
    microseconds: AtomicU64,
}

impl Durations {
    /// Adds one.
    pub fn observe(&self, duration: Duration) {
        let seconds = duration.as_secs_f64();
        let index = BOUNDS.partition_point(|bound| *bound < seconds);
        if let Some(bucket) = self.buckets.get(index) {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
        let microseconds = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        self.microseconds.fetch_add(microseconds, Ordering::Relaxed);
    }

    fn render(&self, text: &mut String, name: &str) {
        head(text, name, "histogram");
        let bounds = BOUNDS.iter().map(ToString::to_string);
        let bounds = bounds.chain(["+Inf".to_owned()]);
        let bucket = format!("{name}_bucket");
        let mut total = 0;
        for (bound, count) in bounds.zip(&self.buckets) {
            total += count.load(Ordering::Relaxed);
            line(text, &bucket, &format!("le=\"{bound}\""), total);
        }
        let seconds = self.microseconds.load(Ordering::Relaxed) as f64 / 1e6;
        line(text, &format!("{name}_sum"), "", seconds);
        line(text, &format!("{name}_count"), "", total);
    }
}

impl DnsMetrics {
    pub(super) fn render(&self, text: &mut String) {
        for (name, counter) in [
            ("istio_agent_dns_requests_total", &self.requests),
            (
                "istio_agent_dns_upstream_requests_total",
                &self.upstream_requests,
            ),
            (
                "istio_agent_dns_upstream_failures_total",
                &self.upstream_failures,
            ),
            ("lateen_proxy_dns_mesh_answers_total", &self.mesh_answers),
            ("lateen_proxy_dns_cache_answers_total", &self.cache_answers),
            ("lateen_proxy_dns_over_limit_total", &self.over_limit),
        ] {
            head(text, name, "counter");
            line(text, name, "", counter.value());
        }
        self.upstream_duration
            .render(text, "istio_agent_dns_upstream_request_duration_seconds");
    }
}
