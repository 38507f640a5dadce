//! `ServiceEntry`: a service that Kubernetes does not know.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{GROUP, VERSIONS, WorkloadEntry};
use crate::resource::{Column, Kind, Spec, WorkloadSelector};

/// A service that Kubernetes does not know, or further facts about one that it does.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ServiceEntry {
    /// Names of the service; `*.` stands for any prefix.
    #[schemars(length(min = 1, max = 256))]
    pub hosts: Vec<String>,
    /// Addresses or CIDR blocks of the service.
    #[serde(default)]
    #[schemars(length(max = 256))]
    pub addresses: Vec<String>,
    /// Ports of the service.
    #[serde(default)]
    #[schemars(length(max = 256))]
    pub ports: Vec<ServicePort>,
    /// Whether the service is part of the mesh.
    #[serde(default)]
    pub location: Location,
    /// How the addresses of endpoints are found.
    #[serde(default)]
    pub resolution: Resolution,
    /// Endpoints of the service; excludes `workloadSelector`.
    #[serde(default)]
    #[schemars(length(max = 4096))]
    pub endpoints: Vec<WorkloadEntry>,
    /// Pods and WorkloadEntries of this namespace that are endpoints.
    pub workload_selector: Option<WorkloadSelector>,
    /// Namespaces that see this resource: `.` is its own, `*` (also when empty) is all.
    #[serde(default)]
    pub export_to: Vec<String>,
    /// Names of which the server's certificate must have one.
    #[serde(default)]
    pub subject_alt_names: Vec<String>,
}

impl Spec for ServiceEntry {
    const KIND: Kind = Kind {
        group: GROUP,
        kind: "ServiceEntry",
        plural: "serviceentries",
        short_names: &["se"],
        versions: VERSIONS,
        columns: &[
            Column::text("Hosts", ".spec.hosts", "Names of the service."),
            Column::text(
                "Location",
                ".spec.location",
                "Whether it is part of the mesh.",
            ),
            Column::text("Resolution", ".spec.resolution", "How addresses are found."),
            Column::AGE,
        ],
    };
}

/// A port of a service.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ServicePort {
    /// Number that clients use.
    pub number: u16,
    /// What is spoken: `HTTP`, `HTTPS`, `GRPC`, `GRPC-WEB`, `HTTP2`, `MONGO`, `TCP` or `TLS`.
    #[serde(default)]
    pub protocol: String,
    /// Name of the port.
    pub name: String,
    /// Number at the endpoints; unset is the same.
    pub target_port: Option<u16>,
}

/// Whether a service is part of the mesh.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Location {
    /// No: never mutual TLS.
    #[default]
    MeshExternal,
    /// Yes.
    MeshInternal,
}

/// How the addresses of endpoints are found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Resolution {
    /// The address that the application asked for is used.
    #[default]
    None,
    /// Endpoints have addresses.
    Static,
    /// Names are resolved, and all their addresses used.
    Dns,
    /// Names are resolved, and the first address of each answer used.
    DnsRoundRobin,
    /// The name of each request is resolved.
    DynamicDns,
}
