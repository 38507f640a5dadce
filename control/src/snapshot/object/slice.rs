//! EndpointSlices.

use std::sync::Arc;

use k8s_openapi::api::discovery::v1 as discovery;
use kube::Resource;
use kube::api::ObjectMeta;
use serde::Deserialize;

use super::{Object, address};
use crate::snapshot::{Endpoint, Facts, Names, Slice, SlicePort, Snapshot};

/// Label with the name of the Service.
const SERVICE_NAME: &str = "kubernetes.io/service-name";

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
    hostname: Option<String>,
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
    /// One that is no port number must not keep the whole list from being read.
    port: Option<i32>,
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
                number: u16::try_from(port.port?).ok()?,
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
        let pod: Option<Arc<str>> = self
            .target_ref
            .filter(|target| target.kind == "Pod")
            .map(|target| Arc::from(target.name));
        let hostname = self.hostname.filter(|hostname| !hostname.is_empty());
        Some(Endpoint {
            address: address(self.addresses.first()?)?,
            ready,
            serving: self.conditions.serving.unwrap_or(ready),
            terminating: self.conditions.terminating.unwrap_or(false),
            // A StatefulSet gives its pods their own names: kept once.
            hostname: hostname.map(|hostname| match &pod {
                Some(pod) if **pod == *hostname => pod.clone(),
                _ => Arc::from(hostname),
            }),
            pod,
        })
    }
}

fn null_is_empty<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Deserialize<'de>,
{
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}
