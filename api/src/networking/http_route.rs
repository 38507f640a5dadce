//! Routes of HTTP requests in a `VirtualService`: which requests, and where they go.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    CorsPolicy, Destination, DirectResponse, Fault, Headers, Mirror, Percentage, Redirect, Retries,
    Rewrite,
};
use crate::Duration;

/// A route of HTTP requests.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct HttpRoute {
    /// Name in access logs.
    pub name: String,
    /// When the route is taken: any of these; none is always.
    #[serde(rename = "match")]
    pub matches: Vec<HttpMatch>,
    /// Where requests go, by weight.
    pub route: Vec<HttpDestination>,
    /// Requests are answered with a redirect.
    pub redirect: Option<Redirect>,
    /// Requests are answered by the proxy.
    pub direct_response: Option<DirectResponse>,
    /// Another VirtualService, without hosts, has the routes.
    pub delegate: Option<Delegate>,
    /// Path or authority are changed before requests go on.
    pub rewrite: Option<Rewrite>,
    /// How long a request may take with all its retries; unset or zero is for ever.
    pub timeout: Option<Duration>,
    /// When requests are sent again.
    pub retries: Option<Retries>,
    /// Faults that are made on purpose.
    pub fault: Option<Fault>,
    /// A service that gets a copy of requests, and whose answers are thrown away.
    pub mirror: Option<Destination>,
    /// Services that each get a copy of a share of requests; excludes `mirror`.
    pub mirrors: Vec<Mirror>,
    /// Deprecated: whole percent of requests that `mirror` gets.
    pub mirror_percent: Option<u32>,
    /// Deprecated spelling of `mirrorPercent`.
    #[serde(rename = "mirror_percent")]
    pub mirror_percent_deprecated: Option<u32>,
    /// Share of requests that `mirror` gets; unset is all.
    pub mirror_percentage: Option<Percentage>,
    /// Which pages of other origins may read answers.
    pub cors_policy: Option<CorsPolicy>,
    /// Headers that are changed on the way.
    pub headers: Option<Headers>,
}

/// HTTP requests: all that is set must hold.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct HttpMatch {
    /// Name that is added to the route's in access logs.
    pub name: String,
    /// The path, without its query.
    pub uri: Option<StringMatch>,
    /// `http` or `https`.
    pub scheme: Option<StringMatch>,
    /// The method.
    pub method: Option<StringMatch>,
    /// The authority as it was sent, with its port if there is one.
    pub authority: Option<StringMatch>,
    /// Headers by lower-case name; an empty match asks only that the header is there.
    pub headers: BTreeMap<String, StringMatch>,
    /// Port of the destination.
    pub port: Option<u16>,
    /// Labels of the client's workload.
    pub source_labels: BTreeMap<String, String>,
    /// Gateways where this holds, in place of those of the resource.
    pub gateways: Vec<String>,
    /// Parameters of the query by name; an empty match asks only that the parameter is there.
    pub query_params: BTreeMap<String, StringMatch>,
    /// The case of letters does not matter for `exact` and `prefix` of `uri`.
    pub ignore_uri_case: bool,
    /// Headers that must not match; an empty match asks that the header is not there.
    pub without_headers: BTreeMap<String, StringMatch>,
    /// Namespace of the client's workload.
    pub source_namespace: String,
    /// Prefix of the route's statistics.
    pub stat_prefix: String,
}

/// A text that must match; one of the fields, or none where presence is enough.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
#[schemars(extend("x-one-of" = ["exact", "prefix", "regex"]))]
pub struct StringMatch {
    /// The whole text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exact: Option<String>,
    /// How the text begins.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
    /// A regular expression (RE2) for the whole text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub regex: Option<String>,
}

/// A share of the requests.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HttpDestination {
    /// Where the share goes.
    pub destination: Destination,
    /// The share, relative to the sum of all weights; a single destination takes all.
    #[serde(default)]
    pub weight: u32,
    /// Headers that are changed for this share alone.
    pub headers: Option<Headers>,
}

/// Another VirtualService that has the routes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct Delegate {
    /// Its name.
    pub name: String,
    /// Its namespace; empty is the resource's own.
    pub namespace: String,
}
