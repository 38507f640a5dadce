//! Delta discovery on demand (`envoy.service.discovery.v3`, delta variant): a proxy subscribes to
//! the names its workload uses, and each answer is kept current for as long as it is subscribed to.
//!
//! An answer lives once in [`answers`], however many proxies follow it. What a stream still has to
//! be told is a set of names in its `inbox`, so a slow proxy costs no memory and gets the latest.

pub mod answers;
mod connections;
mod inbox;
mod key;
mod service;
mod stream;
mod subscriptions;

pub use connections::{Connection, Connections};
pub use key::{Key, Kind};
pub use service::{Discovery, Limits};

#[cfg(test)]
mod tests;
