//! `WorkloadEntry`: a workload outside Kubernetes, and an endpoint of a `ServiceEntry`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{GROUP, VERSIONS};
use crate::resource::{Column, Kind, Spec};

/// A workload outside Kubernetes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct WorkloadEntry {
    /// An address, a DNS name, or `unix://` and a path.
    pub address: String,
    /// Port numbers at the workload by the names of the service's ports.
    pub ports: BTreeMap<String, u16>,
    /// Labels of the workload.
    pub labels: BTreeMap<String, String>,
    /// Network of the workload; workloads of different networks meet through gateways.
    pub network: String,
    /// Where the workload is, as `REGION/ZONE/SUBZONE`.
    pub locality: String,
    /// Share of requests, relative to other endpoints; zero is as the others.
    pub weight: u32,
    /// Service account of the workload's identity.
    pub service_account: String,
}

impl Spec for WorkloadEntry {
    const KIND: Kind = Kind {
        group: GROUP,
        kind: "WorkloadEntry",
        plural: "workloadentries",
        short_names: &["we"],
        versions: VERSIONS,
        columns: &[
            Column::AGE,
            Column::text("Address", ".spec.address", "Address of the workload."),
        ],
    };
}
