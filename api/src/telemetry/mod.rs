//! `Telemetry`, the only kind of the group `telemetry.istio.io`: what is measured, logged and traced.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Duration;
use crate::resource::{Column, Kind, LabelSelector, Spec, TargetReference};

/// The API group.
pub const GROUP: &str = "telemetry.istio.io";

/// What is measured, logged and traced. A workload goes before its namespace, a namespace before
/// the mesh.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct Telemetry {
    /// Workloads that this is for; unset is all of the namespace, or of the mesh in the root
    /// namespace.
    pub selector: Option<LabelSelector>,
    /// Deprecated: `targetRefs` with one entry.
    pub target_ref: Option<TargetReference>,
    /// Gateways and Services of the Gateway API that this is for.
    #[schemars(length(max = 16))]
    pub target_refs: Vec<TargetReference>,
    /// Traces.
    pub tracing: Vec<Tracing>,
    /// Metrics.
    pub metrics: Vec<Metrics>,
    /// Access logs.
    pub access_logging: Vec<AccessLogging>,
}

impl Spec for Telemetry {
    const KIND: Kind = Kind {
        group: GROUP,
        kind: "Telemetry",
        plural: "telemetries",
        short_names: &["telemetry"],
        versions: &["v1", "v1alpha1"],
        columns: &[Column::AGE],
    };
}

/// Traces.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct Tracing {
    /// Which end of a connection this is for.
    #[serde(rename = "match")]
    pub matches: Option<ModeMatch>,
    /// Where spans go; at most one.
    pub providers: Vec<ProviderName>,
    /// Percent of traces that begin here.
    #[schemars(range(min = 0, max = 100))]
    pub random_sampling_percentage: Option<f64>,
    /// Spans are made but not sent.
    pub disable_span_reporting: Option<bool>,
    /// Further tags of spans.
    pub custom_tags: BTreeMap<String, CustomTag>,
    /// The decision is kept in the request's ID.
    pub use_request_id_for_trace_sampling: Option<bool>,
    /// Spans carry Istio's own tags.
    pub enable_istio_tags: Option<bool>,
    /// Headers of traces are not passed on.
    pub disable_context_propagation: Option<bool>,
}

/// Where the value of a tag comes from.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
#[schemars(extend("x-one-of" = ["literal", "environment", "header", "formatter"]))]
pub struct CustomTag {
    /// It is always the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub literal: Option<TagValue>,
    /// An environment variable of the proxy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub environment: Option<TagSource>,
    /// A header of the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub header: Option<TagSource>,
    /// A format of access logs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub formatter: Option<TagValue>,
}

/// A value or a format.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TagValue {
    /// The text.
    pub value: String,
}

/// A variable or a header.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TagSource {
    /// Its name.
    pub name: String,
    /// Value where there is none.
    #[serde(default)]
    pub default_value: String,
}

/// Metrics.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct Metrics {
    /// Who gets them.
    pub providers: Vec<ProviderName>,
    /// Changes, in order.
    pub overrides: Vec<MetricOverride>,
    /// How often TCP connections that are open are counted; unset is 5s.
    pub reporting_interval: Option<Duration>,
}

/// A change of metrics.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct MetricOverride {
    /// Which metrics; unset is all.
    #[serde(rename = "match")]
    pub matches: Option<MetricMatch>,
    /// They are not made.
    pub disabled: Option<bool>,
    /// Changes of labels by name.
    pub tag_overrides: BTreeMap<String, TagOverride>,
}

/// Metrics: all that is set must hold.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
#[schemars(extend("x-one-of" = ["metric", "customMetric"]))]
pub struct MetricMatch {
    /// One of Istio's metrics.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metric: Option<Metric>,
    /// Another metric by name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub custom_metric: Option<String>,
    /// Which end of a connection.
    pub mode: Mode,
}

/// Istio's metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[expect(missing_docs, reason = "they are named after the metrics")]
pub enum Metric {
    /// Every metric.
    AllMetrics,
    RequestCount,
    RequestDuration,
    RequestSize,
    ResponseSize,
    TcpOpenedConnections,
    TcpClosedConnections,
    TcpSentBytes,
    TcpReceivedBytes,
    GrpcRequestMessages,
    GrpcResponseMessages,
}

/// A change of a label.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct TagOverride {
    /// What happens to it.
    pub operation: TagOperation,
    /// An expression (CEL) for its value.
    pub value: String,
}

/// What happens to a label.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum TagOperation {
    /// It is added or changed.
    #[default]
    Upsert,
    /// It is removed.
    Remove,
}

/// Access logs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct AccessLogging {
    /// Which end of a connection this is for.
    #[serde(rename = "match")]
    pub matches: Option<ModeMatch>,
    /// Who gets them.
    pub providers: Vec<ProviderName>,
    /// They are not made.
    pub disabled: Option<bool>,
    /// Which requests are logged; unset is all.
    pub filter: Option<LogFilter>,
}

/// Which requests are logged.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct LogFilter {
    /// An expression (CEL), such as `response.code >= 400`.
    pub expression: String,
}

/// A provider among the mesh's `extensionProviders`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProviderName {
    /// Its name.
    pub name: String,
}

/// An end of a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct ModeMatch {
    /// Which one.
    pub mode: Mode,
}

/// Ends of a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Mode {
    /// Both.
    #[default]
    ClientAndServer,
    /// Outbound.
    Client,
    /// Inbound.
    Server,
}
