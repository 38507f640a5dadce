//! `ProxyConfig`: settings of proxies that are read when a pod is injected.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::GROUP;
use crate::resource::{Kind, LabelSelector, Spec};

/// Settings of proxies.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct ProxyConfig {
    /// Workloads that this is for; unset is all of the namespace, or of the mesh in the root
    /// namespace.
    pub selector: Option<LabelSelector>,
    /// Worker threads; 0 is all cores.
    #[schemars(range(max = 2_147_483_647))]
    pub concurrency: Option<u32>,
    /// Further environment variables of the proxy's container.
    #[schemars(extend("additionalProperties" = {"type": "string", "maxLength": 2048}))]
    pub environment_variables: BTreeMap<String, String>,
    /// Variant of the proxy's image.
    pub image: Option<Image>,
}

impl Spec for ProxyConfig {
    const KIND: Kind = Kind {
        group: GROUP,
        kind: "ProxyConfig",
        plural: "proxyconfigs",
        short_names: &[],
        versions: &["v1beta1"],
        columns: &[],
    };
}

/// Variant of the proxy's image.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct Image {
    /// `default`, `debug` or `distroless`.
    pub image_type: String,
}
