//! What the processes of Lateen say to each other: discovery and certificate messages, identities,
//! and the names and numbers that both sides must agree on. No Kubernetes and no I/O.

#[cfg(feature = "grpc")]
mod generated;
pub mod identity;
pub mod names;
pub mod ports;
pub mod resource;

#[cfg(feature = "grpc")]
pub use generated::{ca, lateen, xds};
pub use identity::{Identity, InvalidIdentity};
