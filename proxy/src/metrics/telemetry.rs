//! Handles on the series between two parties, kept by an endpoint or a connection, so that a
//! request finds its series by comparing a few integers.

use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;

use super::labels::{Security, Traffic, push_label};
use super::{Flags, HttpRecord, HttpSeries, Registry, TcpSeries};

/// `request_protocol` of HTTP traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestProtocol {
    /// Any HTTP that is not gRPC.
    Http,
    /// By content type.
    Grpc,
}

/// What tells the series of the same two parties apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HttpKey {
    /// HTTP or gRPC.
    pub protocol: RequestProtocol,
    /// Status sent to the client; 0 when none was.
    pub code: u16,
    /// `grpc-status`, when there was one.
    pub grpc_status: Option<u16>,
    /// Response flags.
    pub flags: Flags,
}

/// All series between two parties.
#[derive(Debug)]
pub struct Telemetry {
    registry: Registry,
    labels: String,
    security: Security,
    http: Mutex<Vec<(HttpKey, Arc<HttpSeries>)>>,
    tcp: OnceLock<Arc<TcpSeries>>,
}

/// Counts an open TCP connection until it is dropped.
#[derive(Debug)]
pub struct OpenConnection {
    series: Arc<TcpSeries>,
    registry: Registry,
}

impl Telemetry {
    /// Handles for this traffic; series appear with their first record.
    #[must_use]
    pub fn new(registry: &Registry, traffic: Traffic<'_>) -> Self {
        Self {
            registry: registry.clone(),
            security: traffic.security,
            labels: traffic.to_labels(),
            http: Mutex::default(),
            tcp: OnceLock::new(),
        }
    }

    /// Counts a finished request.
    pub fn count(&self, key: HttpKey, record: &HttpRecord) {
        let series = self.http(key);
        series.record(record, self.registry.seconds());
    }

    /// Counts a TCP connection from now until the returned guard is dropped.
    #[must_use]
    pub fn open(&self) -> OpenConnection {
        let series = self
            .tcp
            .get_or_init(|| self.registry.tcp(self.tcp_labels()));
        series.open(self.registry.seconds());
        OpenConnection {
            series: Arc::clone(series),
            registry: self.registry.clone(),
        }
    }

    fn http(&self, key: HttpKey) -> Arc<HttpSeries> {
        let mut known = self.http.lock();
        if let Some((_, series)) = known.iter().find(|(other, _)| *other == key) {
            return Arc::clone(series);
        }
        let series = self.registry.http(self.http_labels(key));
        known.push((key, Arc::clone(&series)));
        series
    }

    fn http_labels(&self, key: HttpKey) -> String {
        let mut labels = self.labels.clone();
        let grpc_status = key
            .grpc_status
            .map(|status| status.to_string())
            .unwrap_or_default();
        let protocol = match key.protocol {
            RequestProtocol::Http => "http",
            RequestProtocol::Grpc => "grpc",
        };
        push_label(&mut labels, "request_protocol", protocol);
        push_label(&mut labels, "response_code", &key.code.to_string());
        push_label(&mut labels, "grpc_response_status", &grpc_status);
        self.finish_labels(labels, key.flags)
    }

    fn tcp_labels(&self) -> String {
        let mut labels = self.labels.clone();
        push_label(&mut labels, "request_protocol", "tcp");
        self.finish_labels(labels, Flags::NONE)
    }

    fn finish_labels(&self, mut labels: String, flags: Flags) -> String {
        push_label(&mut labels, "response_flags", &flags.to_string());
        push_label(
            &mut labels,
            "connection_security_policy",
            self.security.label(),
        );
        labels.pop();
        labels
    }
}

impl OpenConnection {
    /// Where bytes are counted.
    #[must_use]
    pub fn series(&self) -> &TcpSeries {
        &self.series
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.series.close(self.registry.seconds());
    }
}
