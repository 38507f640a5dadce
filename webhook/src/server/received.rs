//! A pod as it is in a review. Who set which field (`managedFields`) is a good part of one, and of no
//! use to an injector: it is passed over, not read and thrown away.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Pod, PodSpec, PodStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{
    ManagedFieldsEntry, ObjectMeta, OwnerReference, Time,
};
use serde::Deserialize;

/// A pod without `managedFields`.
#[derive(Debug, Deserialize)]
pub(super) struct Received(#[serde(with = "PodFields")] pub(super) Pod);

#[derive(Deserialize)]
#[serde(remote = "Pod")]
struct PodFields {
    #[serde(with = "MetadataFields", default)]
    metadata: ObjectMeta,
    spec: Option<PodSpec>,
    status: Option<PodStatus>,
}

#[derive(Deserialize)]
#[serde(remote = "ObjectMeta", rename_all = "camelCase")]
struct MetadataFields {
    annotations: Option<BTreeMap<String, String>>,
    creation_timestamp: Option<Time>,
    deletion_grace_period_seconds: Option<i64>,
    deletion_timestamp: Option<Time>,
    finalizers: Option<Vec<String>>,
    generate_name: Option<String>,
    generation: Option<i64>,
    labels: Option<BTreeMap<String, String>>,
    #[serde(skip)]
    managed_fields: Option<Vec<ManagedFieldsEntry>>,
    name: Option<String>,
    namespace: Option<String>,
    owner_references: Option<Vec<OwnerReference>>,
    resource_version: Option<String>,
    self_link: Option<String>,
    uid: Option<String>,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn everything_but_the_managed_fields_is_read() {
        let text = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {
                "annotations": {"a": "b"}, "creationTimestamp": "2026-01-01T00:00:00Z",
                "deletionGracePeriodSeconds": 3, "deletionTimestamp": "2026-01-02T00:00:00Z",
                "finalizers": ["f"], "generateName": "web-", "generation": 2, "labels": {"c": "d"},
                "managedFields": [{"manager": "m", "fieldsV1": {"f:spec": {}}}], "name": "web-1",
                "namespace": "n", "resourceVersion": "7", "selfLink": "/web", "uid": "u",
                "ownerReferences": [
                    {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web", "uid": "v"}
                ],
            },
            "spec": {"containers": [{"name": "app"}]},
            "status": {"phase": "Pending"},
        })
        .to_string();
        let Received(received) = serde_json::from_str(&text).unwrap();
        let mut whole: Pod = serde_json::from_str(&text).unwrap();
        assert!(whole.metadata.managed_fields.take().is_some());
        assert_eq!(received, whole);
    }

    #[test]
    fn a_pod_may_have_next_to_nothing() {
        for text in [
            "{}",
            r#"{"metadata":{"creationTimestamp":null},"spec":null}"#,
        ] {
            let Received(received) = serde_json::from_str(text).unwrap();
            assert_eq!(received, Pod::default());
        }
    }
}
