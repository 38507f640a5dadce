//! What a `VirtualService` does with HTTP requests besides sending them somewhere.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Destination, StringMatch};
use crate::Duration;

/// An answer that sends the client elsewhere.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
#[schemars(extend("x-one-of" = ["port", "derivePort"]))]
pub struct Redirect {
    /// Path in place of the whole path.
    pub uri: String,
    /// Prefix in place of the prefix that matched.
    pub prefix_rewrite: String,
    /// Authority in place of the request's.
    pub authority: String,
    /// Port in place of the request's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// Where the port comes from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub derive_port: Option<DerivedPort>,
    /// Scheme in place of the request's.
    pub scheme: String,
    /// Status of the answer: 301 (also when zero), 302, 303, 307 or 308.
    pub redirect_code: u16,
}

/// Where the port of a redirect comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum DerivedPort {
    /// 80 or 443, as the scheme says.
    FromProtocolDefault,
    /// The port of the request.
    FromRequestPort,
}

/// An answer that the proxy gives itself.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DirectResponse {
    /// Its status, 200 to 599.
    pub status: u16,
    /// Its body, at most 1 MiB.
    pub body: Option<ResponseBody>,
}

/// A body, as text or as bytes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
#[schemars(extend("x-one-of" = ["string", "bytes"]))]
pub struct ResponseBody {
    /// The text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub string: Option<String>,
    /// The bytes, in base64.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "byte"))]
    pub bytes: Option<String>,
}

/// Changes to a request before it goes on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct Rewrite {
    /// What comes in place of the matched prefix, or of the whole path for other matches.
    pub uri: String,
    /// What comes in place of the authority.
    pub authority: String,
    /// Changes parts of the path; wins over `uri`.
    pub uri_regex_rewrite: Option<RegexRewrite>,
}

/// A change of the parts of a text that match.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct RegexRewrite {
    /// A regular expression (RE2).
    #[serde(rename = "match")]
    pub pattern: String,
    /// What comes in its place; `\1` is the first group.
    pub rewrite: String,
}

/// When requests are sent again.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct Retries {
    /// How often at most, besides the first time; zero is never.
    pub attempts: u32,
    /// How long each try may take; unset is the route's timeout.
    pub per_try_timeout: Option<Duration>,
    /// Conditions and status codes, separated by commas; empty is the default.
    pub retry_on: String,
    /// Other localities are tried as well.
    pub retry_remote_localities: Option<bool>,
    /// Endpoints that failed before are avoided; unset is yes.
    pub retry_ignore_previous_hosts: Option<bool>,
    /// Base of the growing pause between tries; unset is 25 ms.
    pub backoff: Option<Duration>,
}

/// Faults that are made on purpose; delay first.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct Fault {
    /// Requests wait.
    pub delay: Option<Delay>,
    /// Requests are answered with an error.
    pub abort: Option<Abort>,
}

/// A share of requests that wait.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
#[schemars(extend("x-one-of" = ["fixedDelay", "exponentialDelay"]))]
pub struct Delay {
    /// How long.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fixed_delay: Option<Duration>,
    /// Never did anything in Istio.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exponential_delay: Option<Duration>,
    /// Which share; unset is none.
    pub percentage: Option<Percentage>,
    /// Deprecated: the share in whole percent.
    pub percent: u32,
}

/// A share of requests that are answered with an error.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
#[schemars(extend("x-one-of" = ["httpStatus", "grpcStatus", "http2Error"]))]
pub struct Abort {
    /// Status of the answer, 200 to 599.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http_status: Option<u16>,
    /// gRPC status of the answer by name, such as `UNAVAILABLE`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grpc_status: Option<String>,
    /// Never did anything in Istio.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http2_error: Option<String>,
    /// Which share; unset is none.
    pub percentage: Option<Percentage>,
}

/// A share of a hundred, to four places.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct Percentage {
    /// 0 to 100.
    pub value: f64,
}

/// A service that gets copies of requests.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Mirror {
    /// The service.
    pub destination: Destination,
    /// The share of requests; unset is all.
    pub percentage: Option<Percentage>,
}

/// Which pages of other origins may read answers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct CorsPolicy {
    /// Origins that may.
    pub allow_origins: Vec<StringMatch>,
    /// Deprecated: origins that may, as whole texts.
    pub allow_origin: Vec<String>,
    /// Methods that may be used.
    pub allow_methods: Vec<String>,
    /// Headers that may be sent.
    pub allow_headers: Vec<String>,
    /// Headers that may be read.
    pub expose_headers: Vec<String>,
    /// How long a browser may remember all this.
    pub max_age: Option<Duration>,
    /// Requests may carry cookies.
    pub allow_credentials: Option<bool>,
    /// What becomes of questions from origins that may not.
    pub unmatched_preflights: Option<UnmatchedPreflights>,
}

/// What becomes of preflight requests from origins that are not allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum UnmatchedPreflights {
    /// As `FORWARD`.
    Unspecified,
    /// They go on to the service.
    Forward,
    /// They are answered without permission.
    Ignore,
}

/// Headers that are changed on the way.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct Headers {
    /// Of requests.
    pub request: Option<HeaderOperations>,
    /// Of answers.
    pub response: Option<HeaderOperations>,
}

/// Changes to headers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct HeaderOperations {
    /// Values that replace what is there.
    pub set: BTreeMap<String, String>,
    /// Values that are added to what is there.
    pub add: BTreeMap<String, String>,
    /// Names of headers that are removed.
    pub remove: Vec<String>,
}
