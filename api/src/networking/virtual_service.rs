//! `VirtualService`: which requests and connections to a host go where.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{GROUP, HttpRoute, VERSIONS};
use crate::resource::{Column, Kind, Spec};

/// Routes for the hosts that clients ask for. The first route that matches is taken.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct VirtualService {
    /// Hosts that clients ask for: a short name is a Service of this namespace, other names are as
    /// they are, and `*.` stands for any prefix. Only a delegate has none.
    pub hosts: Vec<String>,
    /// Gateways where the routes hold, as `NAMESPACE/NAME` or `NAME`, and `mesh` for all sidecars;
    /// none is `mesh`.
    pub gateways: Vec<String>,
    /// Routes of HTTP, HTTP/2 and gRPC, in order.
    pub http: Vec<HttpRoute>,
    /// Routes of TLS that is not terminated, by SNI.
    pub tls: Vec<TlsRoute>,
    /// Routes of everything else.
    pub tcp: Vec<TcpRoute>,
    /// Namespaces that see this resource: `.` is its own, `*` (also when empty) is all.
    pub export_to: Vec<String>,
}

impl Spec for VirtualService {
    const KIND: Kind = Kind {
        group: GROUP,
        kind: "VirtualService",
        plural: "virtualservices",
        short_names: &["vs"],
        versions: VERSIONS,
        columns: &[
            Column::text(
                "Gateways",
                ".spec.gateways",
                "Gateways where the routes hold.",
            ),
            Column::text("Hosts", ".spec.hosts", "Hosts that clients ask for."),
            Column::AGE,
        ],
    };
}

/// A route of TLS connections that are passed on without being decrypted.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TlsRoute {
    /// When the route is taken: any of these.
    #[serde(rename = "match")]
    pub matches: Vec<TlsMatch>,
    /// Where connections go.
    #[serde(default)]
    pub route: Vec<RouteDestination>,
}

/// TLS connections: all that is set must hold.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TlsMatch {
    /// Server names, each within the hosts of the resource; `*.` stands for any prefix.
    pub sni_hosts: Vec<String>,
    /// Addresses or CIDR blocks of the destination.
    #[serde(default)]
    pub destination_subnets: Vec<String>,
    /// Port of the destination.
    pub port: Option<u16>,
    /// Labels of the client's workload.
    #[serde(default)]
    pub source_labels: BTreeMap<String, String>,
    /// Gateways where this holds, in place of those of the resource.
    #[serde(default)]
    pub gateways: Vec<String>,
    /// Namespace of the client's workload.
    #[serde(default)]
    pub source_namespace: String,
}

/// A route of TCP connections.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct TcpRoute {
    /// When the route is taken: any of these; none is always.
    #[serde(rename = "match")]
    pub matches: Vec<TcpMatch>,
    /// Where connections go.
    pub route: Vec<RouteDestination>,
}

/// TCP connections: all that is set must hold.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct TcpMatch {
    /// Addresses or CIDR blocks of the destination.
    pub destination_subnets: Vec<String>,
    /// Port of the destination.
    pub port: Option<u16>,
    /// Address or CIDR block of the client.
    pub source_subnet: String,
    /// Labels of the client's workload.
    pub source_labels: BTreeMap<String, String>,
    /// Gateways where this holds, in place of those of the resource.
    pub gateways: Vec<String>,
    /// Namespace of the client's workload.
    pub source_namespace: String,
}

/// A share of the connections.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RouteDestination {
    /// Where the share goes.
    pub destination: Destination,
    /// The share, relative to the sum of all weights; a single destination takes all.
    #[serde(default)]
    pub weight: u32,
}

/// A service, or a part of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Destination {
    /// Host of the service; a short name is a Service of the resource's namespace.
    pub host: String,
    /// Subset of the service, as a DestinationRule names it; empty is all of it.
    #[serde(default)]
    pub subset: String,
    /// Port of the service; may be left out if it has only one.
    pub port: Option<Port>,
}

/// A port by number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct Port {
    /// The number.
    pub number: u16,
}
