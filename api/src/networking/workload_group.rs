//! `WorkloadGroup`: what workloads outside Kubernetes that register themselves have in common.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{GROUP, VERSIONS, WorkloadEntry};
use crate::resource::{Column, Kind, Spec};

/// What workloads have in common: to them what a Deployment is to pods.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WorkloadGroup {
    /// Metadata of each WorkloadEntry.
    pub metadata: Option<GroupMetadata>,
    /// Spec of each WorkloadEntry.
    pub template: WorkloadEntry,
    /// How the health of each workload is told.
    pub probe: Option<Probe>,
}

impl Spec for WorkloadGroup {
    const KIND: Kind = Kind {
        group: GROUP,
        kind: "WorkloadGroup",
        plural: "workloadgroups",
        short_names: &["wg"],
        versions: VERSIONS,
        columns: &[Column::AGE],
    };
}

/// Metadata of each WorkloadEntry.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct GroupMetadata {
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its annotations.
    pub annotations: BTreeMap<String, String>,
}

/// How the health of a workload is told. Zero numbers are Kubernetes' defaults.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
#[schemars(extend("x-one-of" = ["httpGet", "tcpSocket", "exec", "grpc"]))]
pub struct Probe {
    /// Seconds from the start of the workload to the first probe.
    pub initial_delay_seconds: u32,
    /// Seconds that a probe may take; zero is 1.
    pub timeout_seconds: u32,
    /// Seconds between probes; zero is 10.
    pub period_seconds: u32,
    /// Good probes in a row until the workload is healthy; zero is 1.
    pub success_threshold: u32,
    /// Bad probes in a row until the workload is not healthy; zero is 3.
    pub failure_threshold: u32,
    /// A request is answered well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http_get: Option<HttpProbe>,
    /// A connection can be opened.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tcp_socket: Option<TcpProbe>,
    /// A program ends well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exec: Option<ExecProbe>,
    /// The gRPC health service says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grpc: Option<GrpcProbe>,
}

/// A request that must be answered well.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HttpProbe {
    /// Its path.
    #[serde(default)]
    pub path: String,
    /// Its port.
    pub port: u16,
    /// Where it goes; empty is the workload.
    #[serde(default)]
    pub host: String,
    /// `HTTP` (also when empty) or `HTTPS`.
    #[serde(default)]
    pub scheme: String,
    /// Its headers.
    #[serde(default)]
    pub http_headers: Vec<HttpHeader>,
}

/// A header.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct HttpHeader {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: String,
}

/// A connection that must open.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TcpProbe {
    /// Where it goes; empty is the workload.
    #[serde(default)]
    pub host: String,
    /// Its port.
    pub port: u16,
}

/// A program that must end well.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExecProbe {
    /// The program and its arguments; no shell.
    pub command: Vec<String>,
}

/// A gRPC health service that must say so.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct GrpcProbe {
    /// Its port.
    pub port: u16,
    /// The service that is asked about; empty is all.
    pub service: String,
}
