//! What the processes of Lateen say to each other: discovery and certificate messages, identities,
//! and the names and numbers that both sides must agree on. No Kubernetes and no I/O.

pub mod identity;
pub mod names;
pub mod ports;
pub mod resource;

#[cfg(feature = "grpc")]
#[path = "generated/envoy.service.discovery.v3.rs"]
#[allow(clippy::all, clippy::restriction, unreachable_pub, unused_qualifications, missing_docs, elided_lifetimes_in_paths, reason = "generated")]
pub mod xds;

#[cfg(feature = "grpc")]
#[path = "generated/istio.v1.auth.rs"]
#[allow(clippy::all, clippy::restriction, unreachable_pub, unused_qualifications, missing_docs, elided_lifetimes_in_paths, reason = "generated")]
pub mod ca;

#[cfg(feature = "grpc")]
#[path = "generated/lateen.v1.rs"]
#[allow(clippy::all, clippy::restriction, unreachable_pub, unused_qualifications, missing_docs, reason = "generated")]
pub mod lateen;

pub use identity::{Identity, InvalidIdentity};
