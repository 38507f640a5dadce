//! What has no namespace: Nodes, Namespaces, ServiceCIDRs.

use std::collections::BTreeMap;
use std::sync::Arc;

use ipnet::IpNet;
use k8s_openapi::api::core::v1 as core;
use k8s_openapi::api::networking::v1 as networking;
use kube::Resource;
use kube::api::ObjectMeta;
use lateen_wire::names;
use serde::Deserialize;

use super::{Object, labels};
use crate::snapshot::{Facts, Labels, Phase, Snapshot};

/// Region and zone labels of nodes that Kubernetes wrote before 1.17.
const OLD_REGION: &str = "failure-domain.beta.kubernetes.io/region";
const OLD_ZONE: &str = "failure-domain.beta.kubernetes.io/zone";

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
