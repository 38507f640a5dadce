//! `RequestAuthentication`: which JSON Web Tokens (RFC 7519) requests may carry.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{GROUP, VERSIONS};
use crate::Duration;
use crate::resource::{Kind, LabelSelector, Spec, TargetReference};

/// Which tokens requests may carry. A request with a bad token is refused; one without a token is
/// let in, unless an AuthorizationPolicy asks for one.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct RequestAuthentication {
    /// Workloads that this is for; unset is all of the namespace, or of the mesh in the root
    /// namespace.
    pub selector: Option<LabelSelector>,
    /// Deprecated: `targetRefs` with one entry.
    pub target_ref: Option<TargetReference>,
    /// Gateways and Services of the Gateway API that this is for.
    #[schemars(length(max = 16))]
    pub target_refs: Vec<TargetReference>,
    /// Tokens that are good.
    #[schemars(length(max = 4096))]
    pub jwt_rules: Vec<JwtRule>,
}

impl Spec for RequestAuthentication {
    const KIND: Kind = Kind {
        group: GROUP,
        kind: "RequestAuthentication",
        plural: "requestauthentications",
        short_names: &["ra"],
        versions: VERSIONS,
        columns: &[],
    };
}

/// Tokens of one issuer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct JwtRule {
    /// The issuer, as tokens name it.
    pub issuer: String,
    /// Audiences of which a token must have one; none is any.
    pub audiences: Vec<String>,
    /// Where the issuer's public keys are; empty is where its OpenID configuration says.
    pub jwks_uri: String,
    /// Deprecated spelling of `jwksUri`.
    #[serde(rename = "jwks_uri")]
    pub jwks_uri_deprecated: String,
    /// The issuer's public keys themselves.
    pub jwks: String,
    /// Headers where tokens are looked for; with none of these three, `Authorization: Bearer` and
    /// the parameter `access_token`.
    pub from_headers: Vec<JwtHeader>,
    /// Parameters of the query where tokens are looked for.
    pub from_params: Vec<String>,
    /// Cookies where tokens are looked for.
    pub from_cookies: Vec<String>,
    /// Header that the application gets the token's payload in, as base64.
    pub output_payload_to_header: String,
    /// The application gets the token too.
    pub forward_original_token: bool,
    /// Headers that the application gets single claims in.
    pub output_claim_to_headers: Vec<ClaimToHeader>,
    /// How long fetching keys may take; unset is 5s.
    pub timeout: Option<Duration>,
    /// Further claims that are lists separated by spaces, besides `scope`.
    #[schemars(length(max = 64))]
    pub space_delimited_claims: Vec<String>,
}

/// A header where a token is looked for.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct JwtHeader {
    /// Its name.
    pub name: String,
    /// What stands before the token, such as `Bearer `.
    #[serde(default)]
    pub prefix: String,
}

/// A header that the application gets a claim in.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClaimToHeader {
    /// Name of the header.
    pub header: String,
    /// Name of the claim.
    pub claim: String,
}
