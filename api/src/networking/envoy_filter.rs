//! `EnvoyFilter`: patches of Envoy's own configuration. There is no Envoy here: the kind is known so
//! that manifests that hold one can be applied and whoever applies them is told.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::GROUP;
use crate::resource::{Kind, Spec, TargetReference, WorkloadSelector, object_of_anything};

/// Patches of Envoy's configuration.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct EnvoyFilter {
    /// Workloads that this is for; unset is all of the namespace.
    pub workload_selector: Option<WorkloadSelector>,
    /// Resources that this is for.
    #[schemars(length(max = 16))]
    pub target_refs: Vec<TargetReference>,
    /// The patches, in order.
    pub config_patches: Vec<ConfigPatch>,
    /// Lower goes first.
    pub priority: i32,
}

impl Spec for EnvoyFilter {
    const KIND: Kind = Kind {
        group: GROUP,
        kind: "EnvoyFilter",
        plural: "envoyfilters",
        short_names: &[],
        versions: &["v1alpha3"],
        columns: &[],
    };
}

/// A patch.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct ConfigPatch {
    /// Which part of the configuration.
    pub apply_to: ApplyTo,
    /// Which objects of that part.
    #[serde(rename = "match")]
    pub matches: Option<PatchMatch>,
    /// What happens to them.
    pub patch: Option<Patch>,
}

/// Parts of Envoy's configuration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[expect(missing_docs, reason = "Envoy's words")]
pub enum ApplyTo {
    #[default]
    Invalid,
    Listener,
    FilterChain,
    NetworkFilter,
    HttpFilter,
    RouteConfiguration,
    VirtualHost,
    HttpRoute,
    Cluster,
    ExtensionConfig,
    Bootstrap,
    ListenerFilter,
}

/// Objects that a patch is for: all that is set must hold.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
#[schemars(extend("x-one-of" = ["listener", "routeConfiguration", "cluster", "waypoint"]))]
pub struct PatchMatch {
    /// Where in the mesh.
    pub context: PatchContext,
    /// Which proxies.
    pub proxy: Option<ProxyMatch>,
    /// Which listeners.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listener: Option<ListenerMatch>,
    /// Which route configurations.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub route_configuration: Option<RouteConfigurationMatch>,
    /// Which clusters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cluster: Option<ClusterMatch>,
    /// Which parts of a waypoint.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waypoint: Option<WaypointMatch>,
}

/// Places in the mesh.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[expect(missing_docs, reason = "they say it themselves")]
pub enum PatchContext {
    #[default]
    Any,
    SidecarInbound,
    SidecarOutbound,
    Gateway,
    Waypoint,
}

/// Proxies.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct ProxyMatch {
    /// A regular expression for Istio's version.
    pub proxy_version: String,
    /// Metadata of the proxy.
    pub metadata: BTreeMap<String, String>,
}

/// Listeners.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct ListenerMatch {
    /// Port of the service or gateway.
    pub port_number: Option<u16>,
    /// Never did anything in Istio.
    pub port_name: String,
    /// A chain of filters.
    pub filter_chain: Option<FilterChainMatch>,
    /// Name of a filter of the listener.
    pub listener_filter: String,
    /// Name of the listener.
    pub name: String,
}

/// A chain of filters.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct FilterChainMatch {
    /// Its name.
    pub name: String,
    /// Server name that it is for.
    pub sni: String,
    /// Transport that it is for, such as `tls`.
    pub transport_protocol: String,
    /// ALPN protocols that it is for, separated by commas.
    pub application_protocols: String,
    /// Port that it is for.
    pub destination_port: Option<u16>,
    /// A filter in it.
    pub filter: Option<FilterMatch>,
}

/// A filter.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct FilterMatch {
    /// Its name.
    pub name: String,
    /// A filter in it.
    pub sub_filter: Option<NameMatch>,
}

/// Something by name.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct NameMatch {
    /// Its name.
    pub name: String,
}

/// Route configurations.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct RouteConfigurationMatch {
    /// Port of the service or gateway.
    pub port_number: Option<u16>,
    /// Name of the gateway's port.
    pub port_name: String,
    /// The gateway, as `NAMESPACE/NAME`.
    pub gateway: String,
    /// A virtual host in it.
    pub vhost: Option<VirtualHostMatch>,
    /// Its name.
    pub name: String,
}

/// A virtual host.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct VirtualHostMatch {
    /// Its name.
    pub name: String,
    /// A domain of it.
    pub domain_name: String,
    /// A route in it.
    pub route: Option<RouteMatch>,
}

/// A route.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct RouteMatch {
    /// Its name.
    pub name: String,
    /// What it does.
    pub action: RouteAction,
}

/// What a route does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[expect(missing_docs, reason = "they say it themselves")]
pub enum RouteAction {
    #[default]
    Any,
    Route,
    Redirect,
    DirectResponse,
}

/// Clusters.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct ClusterMatch {
    /// Port of the service.
    pub port_number: Option<u16>,
    /// Host of the service.
    pub service: String,
    /// Subset of the service.
    pub subset: String,
    /// Name of the cluster.
    pub name: String,
}

/// Parts of a waypoint.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct WaypointMatch {
    /// Port of the service.
    pub port_number: Option<u16>,
    /// A filter.
    pub filter: Option<FilterMatch>,
    /// A route.
    pub route: Option<NameMatch>,
}

/// What happens to the objects.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct Patch {
    /// How the value is put in.
    pub operation: PatchOperation,
    /// Envoy's own configuration.
    #[schemars(schema_with = "object_of_anything")]
    pub value: Value,
    /// Where among other filters.
    pub filter_class: FilterClass,
}

/// How a value is put in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[expect(missing_docs, reason = "they say it themselves")]
pub enum PatchOperation {
    #[default]
    Invalid,
    Merge,
    Add,
    Remove,
    InsertBefore,
    InsertAfter,
    InsertFirst,
    Replace,
    MergeAndReplaceList,
}

/// Where a filter goes among others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum FilterClass {
    /// Wherever the operation says.
    #[default]
    Unspecified,
    /// After authentication.
    Authn,
    /// After authorization.
    Authz,
    /// Before statistics.
    Stats,
}
