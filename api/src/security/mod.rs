//! Kinds of the group `security.istio.io`: who may talk to whom, and how they prove who they are.

mod authorization_policy;
mod peer_authentication;
mod request_authentication;

pub use authorization_policy::{
    Action, AuthorizationPolicy, Condition, From, Operation, Provider, Rule, Source, To,
};
pub use peer_authentication::{MutualTls, MutualTlsMode, PeerAuthentication};
pub use request_authentication::{ClaimToHeader, JwtHeader, JwtRule, RequestAuthentication};

/// The API group.
pub const GROUP: &str = "security.istio.io";

/// Versions of all kinds of the group, the stored one first.
const VERSIONS: &[&str] = &["v1", "v1beta1"];
