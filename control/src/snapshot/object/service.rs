//! Services.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1 as core;
use kube::Resource;
use kube::api::ObjectMeta;
use serde::Deserialize;

use super::{Object, address, labels};
use crate::snapshot::protocol::declared;
use crate::snapshot::{Facts, Names, Port, Service, Snapshot, TargetPort};

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
