//! The whole proxy in process: real listeners, real TLS, a stand-in for control that speaks the
//! real protocols, and peers that misbehave on purpose. No netfilter: loopback addresses stand for
//! original destinations.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod bad_peers;
mod discovery;
mod dns;
mod drain;
mod http;
mod inbound;
mod interoperability;
mod rotation;
mod support;
mod tcp;
mod workers;
