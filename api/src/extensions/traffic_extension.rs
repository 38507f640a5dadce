//! `TrafficExtension`: a WebAssembly or Lua program in the proxy.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{
    FailStrategy, GROUP, ImagePullPolicy, PluginType, TrafficSelector, VERSIONS, VmConfig,
};
use crate::resource::{Column, Kind, LabelSelector, Spec, TargetReference, object_of_anything};

/// A program in the proxy.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
#[schemars(extend("x-one-of" = ["wasm", "lua"]))]
pub struct TrafficExtension {
    /// Workloads that this is for; unset is all of the namespace, or of the mesh in the root
    /// namespace.
    pub selector: Option<LabelSelector>,
    /// Gateways and Services of the Gateway API that this is for.
    #[schemars(length(max = 16))]
    pub target_refs: Vec<TargetReference>,
    /// Where among the proxy's own filters.
    pub phase: Phase,
    /// Higher goes first in the same phase.
    pub priority: Option<i32>,
    /// Which traffic it is for: any of these; none is all.
    #[serde(rename = "match")]
    pub matches: Vec<TrafficSelector>,
    /// A WebAssembly program.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wasm: Option<Wasm>,
    /// A Lua program.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lua: Option<Lua>,
}

impl Spec for TrafficExtension {
    const KIND: Kind = Kind {
        group: GROUP,
        kind: "TrafficExtension",
        plural: "trafficextensions",
        short_names: &[],
        versions: VERSIONS,
        columns: &[Column::AGE],
    };
}

/// Where among the proxy's own filters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Phase {
    /// Last, before requests go on.
    #[default]
    Unspecified,
    /// Before authentication.
    Authn,
    /// Before authorization.
    Authz,
    /// Before statistics.
    Stats,
}

/// A Lua program.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Lua {
    /// Its text.
    pub inline_code: String,
}

/// A WebAssembly program.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Wasm {
    /// Where the program is: `oci://` (also when left out), `file://`, `http://` or `https://`.
    pub url: String,
    /// Hash of the program, in hexadecimal.
    #[serde(default)]
    pub sha256: String,
    /// When the image is pulled.
    #[serde(default)]
    pub image_pull_policy: ImagePullPolicy,
    /// Secret with the registry's password.
    #[serde(default)]
    pub image_pull_secret: String,
    /// Never did anything in Istio.
    #[serde(default)]
    pub verification_key: String,
    /// What the program gets as its configuration.
    #[serde(default)]
    #[schemars(schema_with = "object_of_anything")]
    pub plugin_config: Map<String, Value>,
    /// Name of the program among others.
    #[serde(default)]
    pub plugin_name: String,
    /// What happens when the program fails.
    #[serde(default)]
    pub fail_strategy: FailStrategy,
    /// The machine that the program runs in.
    pub vm_config: Option<VmConfig>,
    /// What it looks at.
    #[serde(default, rename = "type")]
    pub kind: PluginType,
}
