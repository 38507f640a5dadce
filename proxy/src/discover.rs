//! What the proxy knows about the mesh, and how it learns it: destinations are asked for when the
//! workload first uses them and followed until they have been idle for a while.
//!
//! [`Discovery`] is what connections ask; [`stream`] keeps it current over delta discovery
//! (the xDS transport protocol, incremental variant); `state` holds the rules in between and does
//! no I/O.

mod cache;
mod endpoints;
mod model;
mod state;
pub mod stream;
mod table;
#[cfg(test)]
mod tests;

pub use self::cache::{Discovery, Entry, Link, Snapshot};
pub use self::model::{Answer, Application, InboundPort, Mesh, Own, Service, Workload};
pub use self::table::OptionalEntry;
