//! The workload that a pod belongs to: what Istio names it in telemetry and labels.

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;

/// The workload that a pod belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// `apiVersion` of the workload, such as `apps/v1`.
    pub api_version: String,
    /// `kind` of the workload, such as `Deployment`.
    pub kind: String,
    /// Name of the workload.
    pub name: String,
}

impl Owner {
    /// The workload of a pod. Only a pod with a generated name has one; any other is its own.
    #[must_use]
    pub fn of(pod: &Pod) -> Self {
        let generated = pod
            .metadata
            .generate_name
            .as_ref()
            .is_some_and(|name| !name.is_empty());
        let mut references = pod.metadata.owner_references.iter().flatten();
        let controller = references.find(|reference| reference.controller == Some(true));
        match controller {
            Some(controller) if generated => Self::behind(controller, pod),
            _ => Self::new("v1", "Pod", own_name(pod)),
        }
    }

    /// The workload as `ISTIO_META_OWNER` spells it.
    #[must_use]
    pub fn url(&self, namespace: &str) -> String {
        let Self {
            api_version,
            kind,
            name,
        } = self;
        let kind = kind.to_ascii_lowercase();
        format!("kubernetes://apis/{api_version}/namespaces/{namespace}/{kind}s/{name}")
    }

    fn new(api_version: &str, kind: &str, name: &str) -> Self {
        Self {
            api_version: api_version.to_owned(),
            kind: kind.to_owned(),
            name: name.to_owned(),
        }
    }

    /// The workload that made the pod's controller, as far as names and labels tell.
    fn behind(controller: &OwnerReference, pod: &Pod) -> Self {
        let OwnerReference {
            api_version,
            kind,
            name,
            ..
        } = controller;
        let label = |key: &str| {
            let value = pod.metadata.labels.as_ref()?.get(key)?;
            (!value.is_empty()).then_some(value.as_str())
        };
        let without = |hash: &str| name.strip_suffix(hash)?.strip_suffix('-');
        match kind.as_str() {
            "ReplicaSet" => {
                if let Some(name) = label("pod-template-hash").and_then(without) {
                    return Self::new(api_version, "Deployment", name);
                }
                if let Some(name) = label("rollouts-pod-template-hash").and_then(without) {
                    return Self::new("v1alpha1", "Rollout", name);
                }
            }
            "ReplicationController" => {
                if let Some(name) = label("deploymentconfig") {
                    return Self::new(api_version, "DeploymentConfig", name);
                }
            }
            "Job" => {
                if let Some(name) = without_time(name) {
                    return Self::new("batch/v1", "CronJob", name);
                }
            }
            _ => {}
        }
        Self::new(api_version, kind, name)
    }
}

/// The pod's name, or what will be the beginning of it.
fn own_name(pod: &Pod) -> &str {
    let name = pod.metadata.name.as_deref().filter(|name| !name.is_empty());
    let prefix = pod
        .metadata
        .generate_name
        .as_deref()
        .map(|prefix| prefix.trim_end_matches('-'));
    name.or(prefix).unwrap_or_default()
}

/// The CronJob's name in `NAME-MINUTES`, the name of a Job that a CronJob made.
fn without_time(job: &str) -> Option<&str> {
    let (name, time) = job.rsplit_once('-')?;
    let is_time = (8..=10).contains(&time.len()) && time.bytes().all(|byte| byte.is_ascii_digit());
    (is_time && !name.is_empty()).then_some(name)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn owner(kind: &str, name: &str, labels: &serde_json::Value) -> Owner {
        let reference = json!({"apiVersion": "x/v1", "kind": kind, "name": name, "uid": "u", "controller": true});
        let pod = json!({"metadata": {
            "generateName": "g-", "name": "p", "labels": labels, "ownerReferences": [reference]
        }});
        Owner::of(&serde_json::from_value(pod).unwrap())
    }

    #[test]
    fn looks_behind_the_controller() {
        let cases = [
            (
                "ReplicaSet",
                "web-7d4",
                json!({"pod-template-hash": "7d4"}),
                "x/v1 Deployment web",
            ),
            (
                "ReplicaSet",
                "web-7d4",
                json!({"pod-template-hash": "other"}),
                "x/v1 ReplicaSet web-7d4",
            ),
            (
                "ReplicaSet",
                "web-7d4",
                json!({"rollouts-pod-template-hash": "7d4"}),
                "v1alpha1 Rollout web",
            ),
            ("ReplicaSet", "web", json!({}), "x/v1 ReplicaSet web"),
            (
                "ReplicationController",
                "web-1",
                json!({"deploymentconfig": "web"}),
                "x/v1 DeploymentConfig web",
            ),
            ("Job", "tick-28912345", json!({}), "batch/v1 CronJob tick"),
            ("Job", "tick-123", json!({}), "x/v1 Job tick-123"),
            ("StatefulSet", "db", json!({}), "x/v1 StatefulSet db"),
        ];
        for (kind, name, labels, expected) in cases {
            let owner = owner(kind, name, &labels);
            assert_eq!(
                format!("{} {} {}", owner.api_version, owner.kind, owner.name),
                expected
            );
        }
    }

    #[test]
    fn a_pod_by_itself_is_its_own_workload() {
        let pod = serde_json::from_value(json!({"metadata": {"name": "alone"}})).unwrap();
        let owner = Owner::of(&pod);
        assert_eq!(
            owner.url("shop"),
            "kubernetes://apis/v1/namespaces/shop/pods/alone"
        );
    }
}
