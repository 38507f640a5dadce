//! The sections of the charts' values that the objects are built from.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Affinity, Toleration};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Text that may also be written as a number or boolean, such as an image tag `1.2`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(from = "Scalar")]
pub struct Text(String);

impl Text {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The text, or another if it is empty.
    #[must_use]
    pub fn or<'a>(&'a self, other: &'a str) -> &'a str {
        if self.0.is_empty() { other } else { &self.0 }
    }

    /// The text unless it is empty.
    #[must_use]
    pub fn given(&self) -> Option<String> {
        (!self.0.is_empty()).then(|| self.0.clone())
    }
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "expected text, a number or a boolean")]
enum Scalar {
    Text(String),
    Boolean(bool),
    Number(serde_json::Number),
    Null(()),
}

impl From<Scalar> for Text {
    fn from(scalar: Scalar) -> Self {
        Self(match scalar {
            Scalar::Text(text) => text,
            Scalar::Boolean(boolean) => boolean.to_string(),
            Scalar::Number(number) => number.to_string(),
            Scalar::Null(()) => String::new(),
        })
    }
}

/// `global`.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Global {
    /// Where images come from.
    pub hub: Text,
    /// Tag of the images.
    pub tag: Text,
    /// Namespace of the control plane.
    pub istio_namespace: Text,
    /// Pull policy of our images; empty leaves it to Kubernetes.
    #[serde(default)]
    pub image_pull_policy: Text,
    /// Names of Secrets to pull images with.
    #[serde(default)]
    pub image_pull_secrets: Vec<String>,
    /// Priority class of the control plane's pods.
    #[serde(default)]
    pub priority_class_name: Text,
    /// Whether there are PodDisruptionBudgets.
    #[serde(default)]
    pub default_pod_disruption_budget: Switch,
    /// Whether there are NetworkPolicies.
    #[serde(default)]
    pub network_policy: Switch,
    /// `meshNetworks.networks`.
    #[serde(default)]
    pub mesh_networks: Map<String, Value>,
    /// `openshift`, or any other platform.
    #[serde(default)]
    pub platform: Text,
    /// The cluster's place among several.
    #[serde(default)]
    pub multi_cluster: MultiCluster,
    /// How workloads prove who they are.
    #[serde(default)]
    pub sds: Sds,
    /// Suffix of the tag of the data plane's image.
    #[serde(default)]
    pub variant: Text,
    /// The sidecar.
    pub proxy: Proxy,
    /// The container that programs redirection.
    #[serde(rename = "proxy_init")]
    pub proxy_init: ProxyInit,
}

/// Something that is on or off.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Switch {
    /// Whether it is on.
    pub enabled: bool,
}

/// `global.multiCluster`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MultiCluster {
    /// Name of this cluster; empty means `Kubernetes`.
    #[serde(default)]
    pub cluster_name: Text,
}

/// `global.sds`.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Sds {
    /// The tokens of workloads.
    #[serde(default)]
    pub token: Token,
}

/// `global.sds.token`.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Token {
    /// Their audience; empty means `istio-ca`.
    #[serde(default)]
    pub aud: Text,
}

/// The part of `global.proxy` that objects depend on; the injector reads the rest.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Proxy {
    /// Whether pods of injected namespaces get a sidecar unless they ask for it.
    pub auto_inject: AutoInject,
    /// DNS domain of the cluster; empty means `cluster.local`.
    #[serde(default)]
    pub cluster_domain: Text,
}

/// `global.proxy_init`; the injector reads the rest.
#[derive(Clone, Debug, Deserialize)]
pub struct ProxyInit {
    /// Name of the image, or a whole reference if it has a `/`.
    pub image: Text,
}

/// Whether silence means injection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum AutoInject {
    /// Pods that say nothing are left alone.
    Disabled,
    /// Pods that say nothing are injected.
    Enabled,
}

/// `pilot`, and the part of `sidecarInjectorWebhook` that is alike.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Component {
    /// Number of pods.
    pub replica_count: i32,
    /// Name of the image, or a whole reference if it has a `/`.
    pub image: Text,
    /// Overrides `global.hub`.
    #[serde(default)]
    pub hub: Text,
    /// Overrides `global.tag`.
    #[serde(default)]
    pub tag: Text,
    /// Resource requests and limits of the container.
    #[serde(default)]
    pub resources: BTreeMap<String, BTreeMap<String, Text>>,
    /// Environment variables of the container.
    #[serde(default)]
    pub env: BTreeMap<String, Text>,
    /// Labels that a node must have.
    #[serde(default)]
    pub node_selector: BTreeMap<String, Text>,
    /// Taints of nodes that do not matter.
    #[serde(default)]
    pub tolerations: Vec<Toleration>,
    /// Replaces the default: prefer a node without another replica.
    #[serde(default)]
    pub affinity: Affinity,
    /// Annotations of the pods.
    #[serde(default)]
    pub pod_annotations: BTreeMap<String, Text>,
    /// Labels of the pods.
    #[serde(default)]
    pub pod_labels: BTreeMap<String, Text>,
    /// Annotations of the Service.
    #[serde(default)]
    pub service_annotations: BTreeMap<String, Text>,
}

/// The part of `sidecarInjectorWebhook` that decides what is injected.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Injection {
    /// Whether namespaces without a label are injected too.
    pub enable_namespaces_by_default: bool,
    /// Whether later webhooks' changes call the injector again.
    pub reinvocation_policy: ReinvocationPolicy,
}

/// Whether a webhook is called again after a later one changed the object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub enum ReinvocationPolicy {
    /// Called again if needed.
    IfNeeded,
    /// Called once.
    Never,
}
