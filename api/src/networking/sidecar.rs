//! `Sidecar`: what the proxies of a namespace or a workload take in and let out.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ConnectionPool, Destination, GROUP, ServerTls, VERSIONS};
use crate::resource::{Kind, Spec, WorkloadSelector};

/// What proxies take in and let out.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct Sidecar {
    /// Workloads that this is for; unset is all of the namespace.
    pub workload_selector: Option<WorkloadSelector>,
    /// Ports that are taken in; none is every port.
    pub ingress: Vec<IngressListener>,
    /// Hosts that are let out; none is all.
    pub egress: Vec<EgressListener>,
    /// Limits of connections to the application.
    pub inbound_connection_pool: Option<ConnectionPool>,
    /// What becomes of connections to destinations that nobody knows.
    pub outbound_traffic_policy: Option<OutboundPolicy>,
}

impl Spec for Sidecar {
    const KIND: Kind = Kind {
        group: GROUP,
        kind: "Sidecar",
        plural: "sidecars",
        short_names: &[],
        versions: VERSIONS,
        columns: &[],
    };
}

/// A port that is taken in.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct IngressListener {
    /// The port.
    pub port: SidecarPort,
    /// Address to listen on; empty is the pod's.
    #[serde(default)]
    pub bind: String,
    /// How connections come to the proxy.
    #[serde(default)]
    pub capture_mode: CaptureMode,
    /// Where the application listens: `127.0.0.1:PORT`, `0.0.0.0:PORT` (the pod's address) or
    /// `unix://PATH`; empty is the same port.
    #[serde(default)]
    pub default_endpoint: String,
    /// TLS that ends here, besides the mesh's.
    pub tls: Option<ServerTls>,
    /// Limits of connections to the application.
    pub connection_pool: Option<ConnectionPool>,
}

/// Hosts that are let out.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EgressListener {
    /// The port; unset is every port that is not named elsewhere.
    pub port: Option<SidecarPort>,
    /// Address to listen on; empty is every address.
    #[serde(default)]
    pub bind: String,
    /// How connections come to the proxy.
    #[serde(default)]
    pub capture_mode: CaptureMode,
    /// Hosts, as `NAMESPACE/HOST`: namespace `.` is this one, `*` any, `~` none.
    pub hosts: Vec<String>,
}

/// A port of a sidecar.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct SidecarPort {
    /// Its number.
    pub number: u16,
    /// What is spoken: `HTTP`, `HTTPS`, `GRPC`, `HTTP2`, `MONGO`, `TCP` or `TLS`.
    pub protocol: String,
    /// Its name.
    pub name: String,
    /// Deprecated: number at the application.
    pub target_port: Option<u16>,
}

/// How connections come to the proxy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum CaptureMode {
    /// As the pod has it.
    #[default]
    Default,
    /// They are redirected.
    Iptables,
    /// They are not redirected: the application knows the proxy's port.
    None,
}

/// What becomes of connections to destinations that nobody knows.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct OutboundPolicy {
    /// Whether they are let out.
    pub mode: OutboundMode,
    /// Service that they go through.
    pub egress_proxy: Option<Destination>,
}

/// Whether connections to unknown destinations are let out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum OutboundMode {
    /// No.
    #[default]
    RegistryOnly,
    /// Yes.
    AllowAny,
}
