//! `WasmPlugin`: a WebAssembly program in the proxy.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{GROUP, VERSIONS};
use crate::resource::{Column, Kind, LabelSelector, Spec, TargetReference, object_of_anything};

/// A WebAssembly program in the proxy.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WasmPlugin {
    /// Workloads that this is for; unset is all of the namespace, or of the mesh in the root
    /// namespace.
    pub selector: Option<LabelSelector>,
    /// Deprecated: `targetRefs` with one entry.
    pub target_ref: Option<TargetReference>,
    /// Gateways and Services of the Gateway API that this is for.
    #[serde(default)]
    #[schemars(length(max = 16))]
    pub target_refs: Vec<TargetReference>,
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
    /// Where among the proxy's own filters.
    #[serde(default)]
    pub phase: PluginPhase,
    /// Higher goes first in the same phase.
    pub priority: Option<i32>,
    /// What happens when the program fails.
    #[serde(default)]
    pub fail_strategy: FailStrategy,
    /// The machine that the program runs in.
    pub vm_config: Option<VmConfig>,
    /// Which traffic it is for: any of these; none is all.
    #[serde(default, rename = "match")]
    pub matches: Vec<TrafficSelector>,
    /// What it looks at.
    #[serde(default, rename = "type")]
    pub kind: PluginType,
}

impl Spec for WasmPlugin {
    const KIND: Kind = Kind {
        group: GROUP,
        kind: "WasmPlugin",
        plural: "wasmplugins",
        short_names: &[],
        versions: VERSIONS,
        columns: &[Column::AGE],
    };
}

/// When an image is pulled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ImagePullPolicy {
    /// If it is not there; always for the tag `latest`.
    #[default]
    #[serde(rename = "UNSPECIFIED_POLICY")]
    Unspecified,
    /// If it is not there.
    IfNotPresent,
    /// Whenever the resource changes.
    Always,
}

/// Where among the proxy's own filters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum PluginPhase {
    /// Last, before requests go on.
    #[default]
    UnspecifiedPhase,
    /// Before authentication.
    Authn,
    /// Before authorization.
    Authz,
    /// Before statistics.
    Stats,
}

/// What happens when a program fails.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum FailStrategy {
    /// Requests fail.
    #[default]
    FailClose,
    /// Requests go on without it.
    FailOpen,
    /// It is started anew.
    FailReload,
}

/// What a program looks at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum PluginType {
    /// As `HTTP`.
    #[default]
    UnspecifiedPluginType,
    /// Requests.
    Http,
    /// Connections.
    Network,
}

/// The machine that a program runs in.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct VmConfig {
    /// Its environment variables.
    #[schemars(length(max = 256))]
    pub env: Vec<EnvironmentVariable>,
}

/// An environment variable.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EnvironmentVariable {
    /// Its name.
    pub name: String,
    /// Where its value comes from.
    #[serde(default)]
    pub value_from: ValueFrom,
    /// Its value, for `INLINE`.
    #[serde(default)]
    pub value: String,
}

/// Where the value of a variable comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ValueFrom {
    /// The resource.
    #[default]
    Inline,
    /// The proxy's own environment.
    Host,
}

/// Traffic: all that is set must hold.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct TrafficSelector {
    /// Which end of a connection.
    pub mode: TrafficMode,
    /// Ports; none is all.
    pub ports: Vec<PortSelector>,
}

/// Ends of a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum TrafficMode {
    /// As `CLIENT_AND_SERVER`.
    #[default]
    Undefined,
    /// Outbound.
    Client,
    /// Inbound.
    Server,
    /// Both.
    ClientAndServer,
}

/// A port.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PortSelector {
    /// Its number.
    #[schemars(range(min = 1, max = 65535))]
    pub number: u16,
}
