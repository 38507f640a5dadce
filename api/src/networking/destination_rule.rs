//! `DestinationRule`: how clients talk to a service once a route has chosen it.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ConnectionPool, GROUP, LoadBalancer, Port, VERSIONS};
use crate::Duration;
use crate::resource::{Column, Kind, LabelSelector, Spec};

/// How clients talk to a service, and the parts (subsets) it has.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DestinationRule {
    /// Host of the service; a short name is a Service of this namespace.
    pub host: String,
    /// Policy for all of the service.
    pub traffic_policy: Option<TrafficPolicy>,
    /// Parts of the service that routes can name.
    #[serde(default)]
    pub subsets: Vec<Subset>,
    /// Namespaces that see this resource: `.` is its own, `*` (also when empty) is all.
    #[serde(default)]
    pub export_to: Vec<String>,
    /// Clients that this is for; unset is all.
    pub workload_selector: Option<LabelSelector>,
}

impl Spec for DestinationRule {
    const KIND: Kind = Kind {
        group: GROUP,
        kind: "DestinationRule",
        plural: "destinationrules",
        short_names: &["dr"],
        versions: VERSIONS,
        columns: &[
            Column::text("Host", ".spec.host", "Host of the service."),
            Column::AGE,
        ],
    };
}

/// A part of a service: the endpoints whose workloads have certain labels.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Subset {
    /// Name for routes.
    pub name: String,
    /// Labels that a workload must have; none is all endpoints.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Policy that goes before that of the whole service, block by block.
    pub traffic_policy: Option<TrafficPolicy>,
}

/// How clients talk to a service.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct TrafficPolicy {
    /// Which endpoint gets a request.
    pub load_balancer: Option<LoadBalancer>,
    /// Limits on connections and requests.
    pub connection_pool: Option<ConnectionPool>,
    /// When an endpoint gets no requests for a while.
    pub outlier_detection: Option<OutlierDetection>,
    /// TLS of the client.
    pub tls: Option<ClientTls>,
    /// Policies of single ports; they replace all of the above for their port.
    #[schemars(length(max = 4096))]
    pub port_level_settings: Vec<PortTrafficPolicy>,
    /// Connections go through a tunnel to another host.
    pub tunnel: Option<Tunnel>,
    /// Connections begin with a PROXY protocol header.
    pub proxy_protocol: Option<ProxyProtocol>,
    /// How many retries may be under way at a time, relative to requests.
    pub retry_budget: Option<RetryBudget>,
}

/// How clients talk to one port of a service.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct PortTrafficPolicy {
    /// The port.
    pub port: Option<Port>,
    /// Which endpoint gets a request.
    pub load_balancer: Option<LoadBalancer>,
    /// Limits on connections and requests.
    pub connection_pool: Option<ConnectionPool>,
    /// When an endpoint gets no requests for a while.
    pub outlier_detection: Option<OutlierDetection>,
    /// TLS of the client.
    pub tls: Option<ClientTls>,
}

/// When an endpoint gets no requests for a while (circuit breaking).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct OutlierDetection {
    /// Errors made by the mesh, such as failed connections, are counted apart.
    pub split_external_local_origin_errors: bool,
    /// Errors made by the mesh in a row; needs the field above. Unset is 5.
    pub consecutive_local_origin_failures: Option<u32>,
    /// Answers 502, 503 and 504 in a row; unset is off.
    pub consecutive_gateway_errors: Option<u32>,
    /// Answers of 500 and above in a row; unset is 5, zero is off.
    #[serde(rename = "consecutive5xxErrors")]
    pub consecutive_5xx_errors: Option<u32>,
    /// Deprecated name of `consecutiveGatewayErrors`.
    pub consecutive_errors: u32,
    /// How often endpoints are looked at; unset is 10s.
    pub interval: Option<Duration>,
    /// How long an endpoint is left out, times how often it was; unset is 30s.
    pub base_ejection_time: Option<Duration>,
    /// Most percent of endpoints that may be left out; zero is 10.
    pub max_ejection_percent: u32,
    /// Percent of healthy endpoints below which nobody is left out.
    pub min_health_percent: u32,
    /// Further status codes that count as errors.
    #[serde(rename = "outlierDetectionHttpErrorCodes")]
    pub http_error_codes: Vec<u16>,
}

/// TLS of clients of a service.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct ClientTls {
    /// Whether, and with which certificates.
    pub mode: ClientTlsMode,
    /// File with the client's certificates.
    pub client_certificate: String,
    /// File with the client's private key.
    pub private_key: String,
    /// File with the roots that the server is checked by; empty is the system's.
    pub ca_certificates: String,
    /// File with certificates that are revoked.
    pub ca_crl: String,
    /// Secret with certificates, in place of files.
    pub credential_name: String,
    /// Names of which the server's certificate must have one.
    pub subject_alt_names: Vec<String>,
    /// Server name that the client asks for.
    pub sni: String,
    /// The server is not checked at all.
    pub insecure_skip_verify: Option<bool>,
}

/// Whether clients use TLS, and with which certificates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ClientTlsMode {
    /// No TLS.
    #[default]
    Disable,
    /// TLS; the client shows no certificate.
    Simple,
    /// TLS; the client shows the certificate given.
    Mutual,
    /// TLS with the mesh's certificates.
    IstioMutual,
}

/// A tunnel to another host.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Tunnel {
    /// Method that opens the tunnel: `CONNECT` (also when empty) or `POST`.
    #[serde(default)]
    pub protocol: String,
    /// Host behind the tunnel.
    pub target_host: String,
    /// Port behind the tunnel.
    pub target_port: u16,
}

/// A PROXY protocol header.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct ProxyProtocol {
    /// Its version.
    pub version: ProxyProtocolVersion,
}

/// Versions of the PROXY protocol.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ProxyProtocolVersion {
    /// The header is text.
    #[default]
    V1,
    /// The header is binary.
    V2,
}

/// How many retries may be under way at a time.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct RetryBudget {
    /// Percent of the requests under way; unset is 20.
    #[schemars(range(min = 0, max = 100))]
    pub percent: Option<f64>,
    /// Retries that are always allowed; unset is 3.
    pub min_retry_concurrency: Option<u32>,
    /// How long requests count.
    pub budget_interval: Option<Duration>,
}
