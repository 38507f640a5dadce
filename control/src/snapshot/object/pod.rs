//! Pods.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use k8s_openapi::api::core::v1 as core;
use kube::Resource;
use kube::api::ObjectMeta;
use lateen_wire::names;
use serde::Deserialize;

use super::{Object, address, labels};
use crate::snapshot::{Facts, Labels, Names, Pod, Snapshot};

/// A Pod.
#[derive(Clone, Debug, Deserialize, Resource)]
#[resource(inherit = "core::Pod")]
pub struct PodObject {
    metadata: ObjectMeta,
    #[serde(default)]
    spec: PodSpec,
    #[serde(default)]
    status: PodStatus,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct PodSpec {
    service_account_name: Option<String>,
    node_name: String,
    host_network: bool,
    containers: Vec<Container>,
    init_containers: Vec<Container>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Container {
    ports: Vec<ContainerPort>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ContainerPort {
    name: Option<String>,
    container_port: u16,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct PodStatus {
    phase: Option<String>,
    #[serde(rename = "podIP")]
    pod_ip: Option<String>,
    #[serde(rename = "podIPs")]
    pod_ips: Vec<PodIp>,
}

#[derive(Clone, Debug, Deserialize)]
struct PodIp {
    ip: String,
}

impl Object for PodObject {
    fn store(self, snapshot: &mut Snapshot, changed: &mut Facts) {
        if matches!(self.status.phase.as_deref(), Some("Succeeded" | "Failed")) {
            let (namespace, name) = (self.metadata.namespace, self.metadata.name);
            let (namespace, name) = (namespace.unwrap_or_default(), name.unwrap_or_default());
            snapshot.remove_pod(&namespace, &name, changed);
        } else {
            let pod = self.record(snapshot.names());
            snapshot.put_pod(pod, changed);
        }
    }

    fn remove(namespace: &str, name: &str, snapshot: &mut Snapshot, changed: &mut Facts) {
        snapshot.remove_pod(namespace, name, changed);
    }

    fn held(snapshot: &Snapshot) -> Vec<(Arc<str>, Arc<str>)> {
        snapshot.pod_names()
    }
}

impl PodObject {
    fn record(self, names: &mut Names) -> Pod {
        let labels = labels(
            self.metadata.labels.as_ref().unwrap_or(&BTreeMap::new()),
            names,
        );
        let workload = workload_name(&self.metadata, &labels);
        let containers = self
            .spec
            .containers
            .iter()
            .chain(&self.spec.init_containers);
        let named_ports = containers
            .flat_map(|container| &container.ports)
            .filter_map(|port| Some((names.intern(port.name.as_deref()?), port.container_port)))
            .collect();
        let account = self
            .spec
            .service_account_name
            .as_deref()
            .unwrap_or("default");
        Pod {
            namespace: names.intern(self.metadata.namespace.as_deref().unwrap_or_default()),
            name: Arc::from(self.metadata.name.as_deref().unwrap_or_default()),
            uid: Arc::from(self.metadata.uid.as_deref().unwrap_or_default()),
            service_account: names.intern(account),
            node: names.intern(&self.spec.node_name),
            addresses: self.status.addresses(),
            host_network: self.spec.host_network,
            terminating: self.metadata.deletion_timestamp.is_some(),
            workload: names.intern(&workload),
            labels,
            named_ports,
        }
    }
}

impl PodStatus {
    fn addresses(&self) -> Box<[IpAddr]> {
        let listed = self.pod_ips.iter().map(|entry| entry.ip.as_str());
        let only = if self.pod_ips.is_empty() {
            self.pod_ip.as_deref()
        } else {
            None
        };
        listed.chain(only).filter_map(address).collect()
    }
}

/// The name that telemetry knows a pod's workload by: what owns the pod, or rather what owns that
/// where its name tells (a ReplicaSet's Deployment, a Job's CronJob).
fn workload_name(metadata: &ObjectMeta, labels: &Labels) -> String {
    let own = metadata.name.as_deref().unwrap_or_default();
    if let Some(given) = labels.first_of(&[names::WORKLOAD_NAME]) {
        return given.to_owned();
    }
    let owners = metadata.owner_references.as_deref().unwrap_or_default();
    let Some(owner) = owners.iter().find(|owner| owner.controller == Some(true)) else {
        return own.to_owned();
    };
    let above = match owner.kind.as_str() {
        "ReplicaSet" => labels
            .first_of(&["pod-template-hash", "rollouts-pod-template-hash"])
            .and_then(|hash| owner.name.strip_suffix(hash)?.strip_suffix('-')),
        "ReplicationController" => labels.first_of(&["deploymentconfig"]),
        "Job" => owner.name.rsplit_once('-').and_then(|(name, time)| {
            let scheduled = (8..=10).contains(&time.len());
            (scheduled && time.bytes().all(|digit| digit.is_ascii_digit())).then_some(name)
        }),
        _ => None,
    };
    above.unwrap_or(&owner.name).to_owned()
}
