//! Kubernetes objects as they arrive, with the fields that are used and no others, and how each
//! kind enters and leaves the snapshot.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use k8s_openapi::api::core::v1 as core;
use k8s_openapi::api::discovery::v1 as discovery;
use k8s_openapi::api::networking::v1 as networking;
use kube::Resource;
use kube::api::ObjectMeta;
use lateen_wire::names;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::protocol::declared;
use super::record::{Endpoint, Labels, Pod, Port, Service, Slice, SlicePort, TargetPort};
use super::{Facts, Names, Phase, Snapshot};

/// Label of an EndpointSlice with the name of its Service.
const SERVICE_NAME: &str = "kubernetes.io/service-name";
/// Region and zone labels of nodes that Kubernetes wrote before 1.17.
const OLD_REGION: &str = "failure-domain.beta.kubernetes.io/region";
const OLD_ZONE: &str = "failure-domain.beta.kubernetes.io/zone";

/// A kind of object that the snapshot holds.
pub trait Object:
    Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + 'static
{
    /// Enters the snapshot, or replaces what it holds under this name.
    fn store(self, snapshot: &mut Snapshot, changed: &mut Facts);

    /// Leaves the snapshot.
    fn remove(namespace: &str, name: &str, snapshot: &mut Snapshot, changed: &mut Facts);

    /// Namespaces (empty for cluster-wide kinds) and names of all that the snapshot holds.
    fn held(snapshot: &Snapshot) -> Vec<(Arc<str>, Arc<str>)>;
}

/// A Service.
#[derive(Clone, Debug, Deserialize, Resource)]
#[resource(inherit = "core::Service")]
pub struct ServiceObject {
    metadata: ObjectMeta,
    #[serde(default)]
    spec: ServiceSpec,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ServiceSpec {
    r#type: Option<String>,
    #[serde(rename = "clusterIP")]
    cluster_ip: Option<String>,
    #[serde(rename = "clusterIPs")]
    cluster_ips: Vec<String>,
    ports: Vec<ServicePort>,
    selector: BTreeMap<String, String>,
    session_affinity: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ServicePort {
    name: String,
    port: u16,
    protocol: String,
    app_protocol: Option<String>,
    target_port: Option<NumberOrName>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
enum NumberOrName {
    Number(u16),
    Name(String),
}

impl Object for ServiceObject {
    fn store(self, snapshot: &mut Snapshot, changed: &mut Facts) {
        let service = self.record(snapshot.names());
        snapshot.put_service(service, changed);
    }

    fn remove(namespace: &str, name: &str, snapshot: &mut Snapshot, changed: &mut Facts) {
        snapshot.remove_service(namespace, name, changed);
    }

    fn held(snapshot: &Snapshot) -> Vec<(Arc<str>, Arc<str>)> {
        snapshot.service_names()
    }
}

impl ServiceObject {
    fn record(self, names: &mut Names) -> Service {
        let spec = self.spec;
        let headless = spec.cluster_ip.as_deref() == Some("None");
        let listed = if spec.cluster_ips.is_empty() {
            spec.cluster_ip.as_slice()
        } else {
            &spec.cluster_ips
        };
        Service {
            namespace: names.intern(self.metadata.namespace.as_deref().unwrap_or_default()),
            name: names.intern(self.metadata.name.as_deref().unwrap_or_default()),
            addresses: listed.iter().filter_map(|text| address(text)).collect(),
            headless,
            external: spec.r#type.as_deref() == Some("ExternalName"),
            ports: spec
                .ports
                .into_iter()
                .map(|port| port.record(names))
                .collect(),
            selector: labels(&spec.selector, names),
            client_affinity: spec.session_affinity.as_deref() == Some("ClientIP"),
            created: self
                .metadata
                .creation_timestamp
                .map_or(0, |time| time.0.as_second()),
        }
    }
}

impl ServicePort {
    fn record(self, names: &mut Names) -> Port {
        Port {
            number: self.port,
            target: match self.target_port {
                Some(NumberOrName::Name(name)) => TargetPort::Name(names.intern(&name)),
                Some(NumberOrName::Number(number)) if number != 0 => TargetPort::Number(number),
                _ => TargetPort::Number(self.port),
            },
            protocol: declared(&self.protocol, self.app_protocol.as_deref(), &self.name),
            name: names.intern(&self.name),
        }
    }
}

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

/// An EndpointSlice.
#[derive(Clone, Debug, Deserialize, Resource)]
#[resource(inherit = "discovery::EndpointSlice")]
pub struct SliceObject {
    metadata: ObjectMeta,
    #[serde(default, deserialize_with = "null_is_empty")]
    endpoints: Vec<SliceEndpoint>,
    #[serde(default, deserialize_with = "null_is_empty")]
    ports: Vec<EndpointPort>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct SliceEndpoint {
    addresses: Vec<String>,
    conditions: Conditions,
    target_ref: Option<TargetRef>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Conditions {
    ready: Option<bool>,
    serving: Option<bool>,
    terminating: Option<bool>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct TargetRef {
    kind: String,
    name: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct EndpointPort {
    name: Option<String>,
    port: Option<u16>,
}

impl Object for SliceObject {
    fn store(self, snapshot: &mut Snapshot, changed: &mut Facts) {
        let slice = self.record(snapshot.names());
        snapshot.put_slice(slice, changed);
    }

    fn remove(namespace: &str, name: &str, snapshot: &mut Snapshot, changed: &mut Facts) {
        snapshot.remove_slice(namespace, name, changed);
    }

    fn held(snapshot: &Snapshot) -> Vec<(Arc<str>, Arc<str>)> {
        snapshot.slice_names()
    }
}

impl SliceObject {
    fn record(self, names: &mut Names) -> Slice {
        let service = self
            .metadata
            .labels
            .as_ref()
            .and_then(|labels| labels.get(SERVICE_NAME));
        let ports = self.ports.into_iter().filter_map(|port| {
            let name = names.intern(port.name.as_deref().unwrap_or_default());
            Some(SlicePort {
                name,
                number: port.port?,
            })
        });
        Slice {
            ports: ports.collect(),
            service: service.map(|name| names.intern(name)),
            namespace: names.intern(self.metadata.namespace.as_deref().unwrap_or_default()),
            name: Arc::from(self.metadata.name.as_deref().unwrap_or_default()),
            endpoints: self
                .endpoints
                .into_iter()
                .filter_map(SliceEndpoint::record)
                .collect(),
        }
    }
}

impl SliceEndpoint {
    /// None for names in place of addresses (`addressType: FQDN`).
    fn record(self) -> Option<Endpoint> {
        let ready = self.conditions.ready.unwrap_or(true);
        Some(Endpoint {
            address: address(self.addresses.first()?)?,
            ready,
            serving: self.conditions.serving.unwrap_or(ready),
            terminating: self.conditions.terminating.unwrap_or(false),
            pod: self
                .target_ref
                .filter(|target| target.kind == "Pod")
                .map(|target| Arc::from(target.name)),
        })
    }
}

/// A Node; only its labels count.
#[derive(Clone, Debug, Deserialize, Resource)]
#[resource(inherit = "core::Node")]
pub struct NodeObject {
    metadata: ObjectMeta,
}

impl Object for NodeObject {
    fn store(self, snapshot: &mut Snapshot, changed: &mut Facts) {
        let none = BTreeMap::new();
        let labels = labels(
            self.metadata.labels.as_ref().unwrap_or(&none),
            snapshot.names(),
        );
        let name = self.metadata.name.unwrap_or_default();
        snapshot.set_locality(&name, Some(&locality(&labels)), changed);
    }

    fn remove(_: &str, name: &str, snapshot: &mut Snapshot, changed: &mut Facts) {
        snapshot.set_locality(name, None, changed);
    }

    fn held(snapshot: &Snapshot) -> Vec<(Arc<str>, Arc<str>)> {
        snapshot.node_names()
    }
}

fn locality(labels: &Labels) -> String {
    let region = labels
        .first_of(&[names::REGION, OLD_REGION])
        .unwrap_or_default();
    let zone = labels
        .first_of(&[names::ZONE, OLD_ZONE])
        .unwrap_or_default();
    let subzone = labels.first_of(&[names::SUBZONE]).unwrap_or_default();
    format!("{region}/{zone}/{subzone}")
        .trim_end_matches('/')
        .to_owned()
}

/// A Namespace.
#[derive(Clone, Debug, Deserialize, Resource)]
#[resource(inherit = "core::Namespace")]
pub struct NamespaceObject {
    metadata: ObjectMeta,
}

impl Object for NamespaceObject {
    fn store(self, snapshot: &mut Snapshot, _: &mut Facts) {
        let terminating = self.metadata.deletion_timestamp.is_some();
        let phase = if terminating {
            Phase::Terminating
        } else {
            Phase::Active
        };
        snapshot.set_namespace(&self.metadata.name.unwrap_or_default(), Some(phase));
    }

    fn remove(_: &str, name: &str, snapshot: &mut Snapshot, _: &mut Facts) {
        snapshot.set_namespace(name, None);
    }

    fn held(snapshot: &Snapshot) -> Vec<(Arc<str>, Arc<str>)> {
        snapshot.namespace_names()
    }
}

/// A ServiceCIDR.
#[derive(Clone, Debug, Deserialize, Resource)]
#[resource(inherit = "networking::ServiceCIDR")]
pub struct ServiceRangeObject {
    metadata: ObjectMeta,
    #[serde(default)]
    spec: ServiceRangeSpec,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct ServiceRangeSpec {
    cidrs: Vec<String>,
}

impl Object for ServiceRangeObject {
    fn store(self, snapshot: &mut Snapshot, changed: &mut Facts) {
        let ranges = self
            .spec
            .cidrs
            .iter()
            .filter_map(|text| text.parse::<IpNet>().ok());
        let name = self.metadata.name.unwrap_or_default();
        snapshot.set_service_ranges(&name, ranges.collect(), changed);
    }

    fn remove(_: &str, name: &str, snapshot: &mut Snapshot, changed: &mut Facts) {
        snapshot.set_service_ranges(name, Vec::new(), changed);
    }

    fn held(snapshot: &Snapshot) -> Vec<(Arc<str>, Arc<str>)> {
        snapshot.service_range_names()
    }
}

fn labels(pairs: &BTreeMap<String, String>, names: &mut Names) -> Labels {
    Labels::new(
        pairs
            .iter()
            .map(|(name, value)| (names.intern(name), names.intern(value))),
    )
}

/// An address as the API server writes it; anything else (`None`, a host) is none.
fn address(text: &str) -> Option<IpAddr> {
    text.parse::<IpAddr>()
        .ok()
        .map(|address| address.to_canonical())
}

fn null_is_empty<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Deserialize<'de>,
{
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}
