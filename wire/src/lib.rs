//! What the processes of Lateen say to each other: discovery and certificate messages, identities,
//! the names and numbers that both sides must agree on, and how each bounds who connects. No Kubernetes
//! and no I/O.

#[cfg(feature = "grpc")]
mod generated;
pub mod identity;
pub mod names;
pub mod ports;
pub mod resource;
pub mod revision;
pub mod slots;
pub mod switch;

#[cfg(feature = "grpc")]
pub use generated::{ca, lateen, xds};
pub use identity::{Identity, InvalidIdentity};
pub use revision::{InvalidRevision, Revision};
