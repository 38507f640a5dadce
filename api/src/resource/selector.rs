//! Which workloads a resource is about.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Workloads by their labels, as resources of the networking group write it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct WorkloadSelector {
    /// Labels that a workload must have, all of them.
    pub labels: BTreeMap<String, String>,
}

/// Workloads by their labels, as policies write it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct LabelSelector {
    /// Labels that a workload must have, all of them.
    pub match_labels: BTreeMap<String, String>,
}

/// A Gateway, Service or other resource that a policy is attached to.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TargetReference {
    /// API group; empty is the core group.
    #[serde(default)]
    pub group: String,
    /// Kind of the resource.
    pub kind: String,
    /// Name of the resource.
    pub name: String,
    /// Namespace of the resource; empty is the policy's own.
    #[serde(default)]
    pub namespace: String,
}
