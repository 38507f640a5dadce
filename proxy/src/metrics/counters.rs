//! Counters and gauges about the proxy itself.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use parking_lot::Mutex;

use super::render::{head, line};

/// Ports that [`PortCounter`] tells apart; the rest share the label `other`.
const MAX_PORTS: usize = 100;

/// Only goes up.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

/// A value of the moment.
#[derive(Debug, Default)]
pub struct Gauge(AtomicI64);

/// A counter for each port.
#[derive(Debug, Default)]
pub struct PortCounter(Mutex<BTreeMap<u16, u64>>);

/// Everything the proxy counts about itself.
#[derive(Debug, Default)]
pub struct Counters {
    /// Connections that did not tell in time what they carry and became TCP, by destination port.
    pub detection_timeouts: PortCounter,
    /// Requests sent once more to another endpoint.
    pub retries: Counter,
    /// Connections and requests to services nobody could tell the endpoints of.
    pub refused: Counter,
    /// Connections whose destination was the proxy itself.
    pub loops: Counter,
    /// TLS handshakes with mesh peers that failed, both sides.
    pub handshake_failures: Counter,
    /// Names asked for beyond the limit: each took the place of another, or is not followed.
    pub names_over_limit: Counter,
    /// Names that are followed now.
    pub names: Gauge,
    /// Discovery streams that were opened.
    pub discovery_streams: Counter,
    /// 1 while a discovery stream is open.
    pub discovery_connected: Gauge,
    /// Discovery responses that were refused.
    pub discovery_refused: Counter,
    /// Bytes of resources received.
    pub discovery_bytes: Counter,
    /// Certificates received.
    pub certificates: Counter,
    /// Certificate requests that failed.
    pub certificate_failures: Counter,
    /// End of the present certificate, Unix seconds.
    pub certificate_expiry: Gauge,
    /// Access log lines that found no room.
    pub access_log_dropped: Counter,
    /// Records of traffic whose peer stayed unknown because too many waited for theirs.
    pub peer_lookups_over_limit: Counter,
    /// Sets of labels beyond the limit.
    pub series_over_limit: Counter,
}

impl Counter {
    /// Adds one.
    pub fn increment(&self) {
        self.add(1);
    }

    /// Adds some.
    pub fn add(&self, amount: u64) {
        self.0.fetch_add(amount, Ordering::Relaxed);
    }

    /// The present value.
    #[must_use]
    pub fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Gauge {
    /// Replaces the value.
    pub fn set(&self, value: i64) {
        self.0.store(value, Ordering::Relaxed);
    }

    /// The present value.
    #[must_use]
    pub fn value(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl PortCounter {
    /// Adds one for a port; true when it is the first for it.
    pub fn increment(&self, port: u16) -> bool {
        let mut ports = self.0.lock();
        let full = ports.len() >= MAX_PORTS && !ports.contains_key(&port);
        let count = ports.entry(if full { 0 } else { port }).or_default();
        *count += 1;
        *count == 1
    }
}

impl Counters {
    pub(super) fn render(&self, text: &mut String) {
        let counters = [
            ("lateen_proxy_retries_total", &self.retries),
            ("lateen_proxy_refused_total", &self.refused),
            ("lateen_proxy_loops_total", &self.loops),
            (
                "lateen_proxy_handshake_failures_total",
                &self.handshake_failures,
            ),
            (
                "lateen_proxy_names_over_limit_total",
                &self.names_over_limit,
            ),
            (
                "lateen_proxy_discovery_streams_total",
                &self.discovery_streams,
            ),
            (
                "lateen_proxy_discovery_refused_total",
                &self.discovery_refused,
            ),
            ("lateen_proxy_discovery_bytes_total", &self.discovery_bytes),
            ("lateen_proxy_certificates_total", &self.certificates),
            (
                "lateen_proxy_certificate_failures_total",
                &self.certificate_failures,
            ),
            (
                "lateen_proxy_access_log_dropped_total",
                &self.access_log_dropped,
            ),
            (
                "lateen_proxy_peer_lookups_over_limit_total",
                &self.peer_lookups_over_limit,
            ),
            (
                "lateen_proxy_series_over_limit_total",
                &self.series_over_limit,
            ),
        ];
        for (name, counter) in counters {
            head(text, name, "counter");
            line(text, name, "", counter.value());
        }
        let gauges = [
            ("lateen_proxy_names", &self.names),
            (
                "lateen_proxy_discovery_connected",
                &self.discovery_connected,
            ),
        ];
        for (name, gauge) in gauges {
            head(text, name, "gauge");
            line(text, name, "", gauge.value());
        }
        self.render_expiry(text);
        self.render_ports(text);
    }

    fn render_expiry(&self, text: &mut String) {
        let expiry = self.certificate_expiry.value();
        if expiry == 0 {
            return;
        }
        let now = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .map_or(0, |now| i64::try_from(now.as_secs()).unwrap_or(i64::MAX));
        let name = "istio_agent_cert_expiry_seconds";
        head(text, name, "gauge");
        line(text, name, "resource_name=\"default\"", expiry - now);
    }

    fn render_ports(&self, text: &mut String) {
        let name = "lateen_proxy_detection_timeouts_total";
        head(text, name, "counter");
        for (port, count) in self.detection_timeouts.0.lock().iter() {
            let port = if *port == 0 {
                "other".to_owned()
            } else {
                port.to_string()
            };
            line(text, name, &format!("port=\"{port}\""), count);
        }
    }
}
