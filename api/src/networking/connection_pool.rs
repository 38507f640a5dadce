//! Limits on connections and requests to a service. Zero means "not set" for every number.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Duration;

/// Limits on connections and requests.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct ConnectionPool {
    /// Limits for every protocol.
    pub tcp: Option<TcpPool>,
    /// Limits for HTTP.
    pub http: Option<HttpPool>,
}

/// Limits on connections.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct TcpPool {
    /// Most connections.
    pub max_connections: u32,
    /// How long opening one may take; unset is 10s.
    pub connect_timeout: Option<Duration>,
    /// Probes of connections that are quiet.
    pub tcp_keepalive: Option<TcpKeepalive>,
    /// How long a connection may live; unset is for ever.
    pub max_connection_duration: Option<Duration>,
    /// How long a connection may be quiet; unset is 1h, zero is for ever.
    pub idle_timeout: Option<Duration>,
}

/// Probes of TCP connections that are quiet; what is unset is as the system has it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct TcpKeepalive {
    /// Probes without an answer after which the connection is dead.
    pub probes: u32,
    /// How long a connection is quiet before the first probe.
    pub time: Option<Duration>,
    /// Time between probes.
    pub interval: Option<Duration>,
}

/// Limits on HTTP requests.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct HttpPool {
    /// Most requests that wait for a connection.
    #[serde(rename = "http1MaxPendingRequests")]
    pub max_pending_requests: u32,
    /// Most requests under way, in every version of HTTP.
    #[serde(rename = "http2MaxRequests")]
    pub max_requests: u32,
    /// Most requests of one connection; 1 is no keep-alive.
    pub max_requests_per_connection: u32,
    /// Most retries under way.
    pub max_retries: u32,
    /// How long a connection may be without a request; unset is 1h.
    pub idle_timeout: Option<Duration>,
    /// Whether HTTP/1.1 is carried over HTTP/2.
    pub h2_upgrade_policy: H2UpgradePolicy,
    /// Requests keep the version of HTTP that the client used.
    pub use_client_protocol: bool,
    /// Most requests under way on one HTTP/2 connection.
    pub max_concurrent_streams: u32,
    /// Pings on HTTP/2 connections.
    #[serde(rename = "http2KeepAlive")]
    pub http2_keep_alive: Option<Http2KeepAlive>,
}

/// Whether HTTP/1.1 is carried over HTTP/2.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum H2UpgradePolicy {
    /// As the mesh has it.
    #[default]
    Default,
    /// No.
    DoNotUpgrade,
    /// Yes.
    Upgrade,
}

/// Pings on HTTP/2 connections.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct Http2KeepAlive {
    /// Time between pings.
    pub interval: Option<Duration>,
    /// How long an answer may take.
    pub timeout: Option<Duration>,
}
