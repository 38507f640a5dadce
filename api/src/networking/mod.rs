//! Kinds of the group `networking.istio.io`: how traffic is routed, balanced and let in and out.

mod connection_pool;
mod destination_rule;
mod envoy_filter;
mod gateway;
mod http_action;
mod http_route;
mod load_balancer;
mod proxy_config;
mod service_entry;
mod sidecar;
mod virtual_service;
mod workload_entry;
mod workload_group;

pub use connection_pool::{
    ConnectionPool, H2UpgradePolicy, Http2KeepAlive, HttpPool, TcpKeepalive, TcpPool,
};
pub use destination_rule::{
    ClientTls, ClientTlsMode, DestinationRule, OutlierDetection, PortTrafficPolicy, ProxyProtocol,
    ProxyProtocolVersion, RetryBudget, Subset, TrafficPolicy, Tunnel,
};
pub use envoy_filter::{
    ApplyTo, ClusterMatch, ConfigPatch, EnvoyFilter, FilterChainMatch, FilterClass, FilterMatch,
    ListenerMatch, NameMatch, Patch, PatchContext, PatchMatch, PatchOperation, ProxyMatch,
    RouteAction, RouteConfigurationMatch, RouteMatch, VirtualHostMatch, WaypointMatch,
};
pub use gateway::{
    Gateway, Server, ServerPort, ServerTls, ServerTlsMode, TlsCertificate, TlsVersion,
};
pub use http_action::{
    Abort, CorsPolicy, Delay, DerivedPort, DirectResponse, Fault, HeaderOperations, Headers,
    Mirror, Percentage, Redirect, RegexRewrite, ResponseBody, Retries, Rewrite,
    UnmatchedPreflights,
};
pub use http_route::{Delegate, HttpDestination, HttpMatch, HttpRoute, StringMatch};
pub use load_balancer::{
    ConsistentHash, CookieAttribute, Distribute, Failover, HashCookie, LoadBalancer,
    LocalityLoadBalancer, Maglev, RingHash, SimpleLoadBalancer, Warmup, ZoneAwareLoadBalancer,
};
pub use proxy_config::{Image, ProxyConfig};
pub use service_entry::{Location, Resolution, ServiceEntry, ServicePort};
pub use sidecar::{
    CaptureMode, EgressListener, IngressListener, OutboundMode, OutboundPolicy, Sidecar,
    SidecarPort,
};
pub use virtual_service::{
    Destination, Port, RouteDestination, TcpMatch, TcpRoute, TlsMatch, TlsRoute, VirtualService,
};
pub use workload_entry::WorkloadEntry;
pub use workload_group::{
    ExecProbe, GroupMetadata, GrpcProbe, HttpHeader, HttpProbe, Probe, TcpProbe, WorkloadGroup,
};

/// The API group.
pub const GROUP: &str = "networking.istio.io";

/// Versions of most kinds of the group, the stored one first.
const VERSIONS: &[&str] = &["v1", "v1beta1", "v1alpha3"];
