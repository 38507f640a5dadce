//! `AuthorizationPolicy`: which requests a workload takes.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{GROUP, VERSIONS};
use crate::resource::{Column, Kind, LabelSelector, Spec, TargetReference};

/// Which requests a workload takes. `CUSTOM` policies are asked first, then `DENY`, then `ALLOW`;
/// once there is an `ALLOW` policy, what none of them matches is denied.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct AuthorizationPolicy {
    /// Workloads that this is for; unset is all of the namespace, or of the mesh in the root
    /// namespace.
    pub selector: Option<LabelSelector>,
    /// Deprecated: `targetRefs` with one entry.
    pub target_ref: Option<TargetReference>,
    /// Gateways and Services of the Gateway API that this is for.
    #[schemars(length(max = 16))]
    pub target_refs: Vec<TargetReference>,
    /// Requests that this is about: any of these. No rule matches nothing, an empty rule everything.
    #[schemars(length(max = 512))]
    pub rules: Vec<Rule>,
    /// What happens to them.
    pub action: Action,
    /// Who is asked, for `CUSTOM`.
    pub provider: Option<Provider>,
}

impl Spec for AuthorizationPolicy {
    const KIND: Kind = Kind {
        group: GROUP,
        kind: "AuthorizationPolicy",
        plural: "authorizationpolicies",
        short_names: &["ap"],
        versions: VERSIONS,
        columns: &[
            Column::text(
                "Action",
                ".spec.action",
                "What happens to requests that match.",
            ),
            Column::AGE,
        ],
    };
}

/// What happens to requests that match.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Action {
    /// They are taken.
    #[default]
    Allow,
    /// They are denied.
    Deny,
    /// They are marked for an audit.
    Audit,
    /// A provider decides.
    Custom,
}

/// Who is asked about requests.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct Provider {
    /// Name among the mesh's `extensionProviders`.
    pub name: String,
}

/// Requests: one of each list that is set must hold.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct Rule {
    /// Who sent it: any of these.
    #[schemars(length(max = 512))]
    pub from: Vec<From>,
    /// What it asks for: any of these.
    pub to: Vec<To>,
    /// What else must hold: all of these.
    pub when: Vec<Condition>,
}

/// Who sent a request.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct From {
    /// The sender.
    pub source: Option<Source>,
}

/// What a request asks for.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct To {
    /// The operation.
    pub operation: Option<Operation>,
}

/// Senders: one value of each list that is set must hold, and none of a `not` list. Values are whole
/// texts, `PREFIX*`, `*SUFFIX`, or `*` for any that is not empty.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct Source {
    /// Identities of peers, as `TRUST_DOMAIN/ns/NAMESPACE/sa/SERVICE_ACCOUNT`.
    pub principals: Vec<String>,
    /// Identities of peers that must not be.
    pub not_principals: Vec<String>,
    /// Identities in tokens, as `ISSUER/SUBJECT`.
    pub request_principals: Vec<String>,
    /// Identities in tokens that must not be.
    pub not_request_principals: Vec<String>,
    /// Namespaces of peers.
    pub namespaces: Vec<String>,
    /// Namespaces of peers that must not be.
    pub not_namespaces: Vec<String>,
    /// Service accounts of peers, as `NAMESPACE/NAME` or `NAME`.
    #[schemars(length(max = 16))]
    pub service_accounts: Vec<String>,
    /// Service accounts of peers that must not be.
    #[schemars(length(max = 16))]
    pub not_service_accounts: Vec<String>,
    /// Addresses or CIDR blocks of peers.
    pub ip_blocks: Vec<String>,
    /// Addresses or CIDR blocks of peers that must not be.
    pub not_ip_blocks: Vec<String>,
    /// Addresses or CIDR blocks of the first sender, as proxies tell it.
    pub remote_ip_blocks: Vec<String>,
    /// Addresses or CIDR blocks of the first sender that must not be.
    pub not_remote_ip_blocks: Vec<String>,
    /// Trust domains of peers.
    pub trust_domains: Vec<String>,
    /// Trust domains of peers that must not be.
    pub not_trust_domains: Vec<String>,
}

/// Operations: one value of each list that is set must hold, and none of a `not` list. Values are as
/// in [`Source`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct Operation {
    /// Hosts; the case of letters does not matter.
    pub hosts: Vec<String>,
    /// Hosts that must not be.
    pub not_hosts: Vec<String>,
    /// Ports.
    pub ports: Vec<String>,
    /// Ports that must not be.
    pub not_ports: Vec<String>,
    /// Methods; gRPC is always `POST`.
    pub methods: Vec<String>,
    /// Methods that must not be.
    pub not_methods: Vec<String>,
    /// Paths; `{*}` stands for a segment and `{**}` for many. gRPC is `/PACKAGE.SERVICE/METHOD`.
    pub paths: Vec<String>,
    /// Paths that must not be.
    pub not_paths: Vec<String>,
}

/// Something else about a request.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// What is looked at, such as `request.headers[x-token]` or `source.ip`.
    pub key: String,
    /// Values of which it must have one.
    #[serde(default)]
    pub values: Vec<String>,
    /// Values of which it must have none.
    #[serde(default)]
    pub not_values: Vec<String>,
}
