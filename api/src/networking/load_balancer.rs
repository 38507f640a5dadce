//! Which endpoint of a service gets a request.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Duration;

/// Which endpoint gets a request: by a simple rule or by a hash.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
#[schemars(extend("x-one-of" = ["simple", "consistentHash"]))]
pub struct LoadBalancer {
    /// A rule that looks at endpoints alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub simple: Option<SimpleLoadBalancer>,
    /// A rule that gives the same requests to the same endpoint.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub consistent_hash: Option<ConsistentHash>,
    /// Near endpoints go first.
    pub locality_lb_setting: Option<LocalityLoadBalancer>,
    /// Endpoints of the own zone go first, as far as they can take it.
    pub zone_aware_lb_setting: Option<ZoneAwareLoadBalancer>,
    /// New endpoints get few requests at first.
    pub warmup: Option<Warmup>,
    /// Deprecated: `warmup.duration`.
    pub warmup_duration_secs: Option<Duration>,
}

/// Rules that look at endpoints alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum SimpleLoadBalancer {
    /// As `LEAST_REQUEST`.
    #[default]
    Unspecified,
    /// Deprecated name of `LEAST_REQUEST`.
    LeastConn,
    /// Any endpoint.
    Random,
    /// The address that the application asked for.
    Passthrough,
    /// One after another.
    RoundRobin,
    /// The less busy of two that are chosen at random.
    LeastRequest,
}

/// What is hashed, and how. Without the thing to hash, any endpoint is taken.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct ConsistentHash {
    /// The value of a header.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http_header_name: Option<String>,
    /// The value of a cookie.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http_cookie: Option<HashCookie>,
    /// The client's address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub use_source_ip: Option<bool>,
    /// The value of a parameter of the query.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http_query_parameter_name: Option<String>,
    /// Endpoints are points on a ring; this is the default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ring_hash: Option<RingHash>,
    /// Endpoints share a table.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub maglev: Option<Maglev>,
    /// Deprecated: `ringHash.minimumRingSize`.
    pub minimum_ring_size: u64,
}

/// A cookie to hash.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HashCookie {
    /// Its name.
    pub name: String,
    /// Its path, when the proxy makes one.
    #[serde(default)]
    pub path: String,
    /// How long it lives; when set, even to zero, the proxy makes one that is missing.
    pub ttl: Option<Duration>,
    /// Its attributes, when the proxy makes one.
    #[serde(default)]
    pub attributes: Vec<CookieAttribute>,
}

/// An attribute of a cookie.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CookieAttribute {
    /// Its name.
    pub name: String,
    /// Its value, if it has one.
    #[serde(default)]
    pub value: String,
}

/// Endpoints as points on a ring.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct RingHash {
    /// Fewest points; zero is 1024.
    pub minimum_ring_size: u64,
}

/// Endpoints that share a table.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct Maglev {
    /// Places in the table, a prime; zero is 65537.
    pub table_size: u64,
}

/// Near endpoints go first. Works only together with outlier detection.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct LocalityLoadBalancer {
    /// Shares by locality; excludes the failovers below.
    pub distribute: Vec<Distribute>,
    /// Regions that help out other regions.
    pub failover: Vec<Failover>,
    /// Labels that make an endpoint near, the most telling first: `KEY` or `KEY=VALUE`.
    pub failover_priority: Vec<String>,
    /// Unset is as the mesh has it.
    pub enabled: Option<bool>,
}

/// Shares of the requests from one locality.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct Distribute {
    /// The clients' locality, as `REGION/ZONE/SUBZONE`; `*` stands for any part.
    pub from: String,
    /// Percent by the endpoints' locality; the sum is 100.
    pub to: BTreeMap<String, u32>,
}

/// A region that helps out another one.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct Failover {
    /// The clients' region.
    pub from: String,
    /// The region that helps out.
    pub to: String,
}

/// Endpoints of the own zone go first, as far as they can take it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct ZoneAwareLoadBalancer {
    /// Unset is as the mesh has it.
    pub enabled: Option<bool>,
    /// Regions that help out other regions.
    pub failover: Vec<Failover>,
    /// Labels that make an endpoint near, the most telling first: `KEY` or `KEY=VALUE`.
    pub failover_priority: Vec<String>,
    /// Fewest endpoints for this to hold; unset is 6.
    pub min_cluster_size: Option<u64>,
}

/// New endpoints get few requests at first.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Warmup {
    /// How long an endpoint is new.
    pub duration: Duration,
    /// Percent of its full share to begin with; unset is 10.
    #[schemars(range(min = 0, max = 100))]
    pub minimum_percent: Option<f64>,
    /// How fast the share grows; unset is 1, in a straight line.
    #[schemars(range(min = 0))]
    pub aggression: Option<f64>,
}
