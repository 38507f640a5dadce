//! Code that `cargo xtask generate` writes from the definitions in `wire/proto`. The definitions hold
//! the documentation.

#![allow(
    clippy::all,
    clippy::restriction,
    unreachable_pub,
    unused_qualifications,
    missing_docs,
    elided_lifetimes_in_paths,
    reason = "generated"
)]

/// Istio's certificate service.
#[rustfmt::skip]
#[path = "generated/istio.v1.auth.rs"]
pub mod ca;
/// What control tells a proxy.
#[rustfmt::skip]
#[path = "generated/lateen.v1.rs"]
pub mod lateen;
/// The delta discovery protocol.
#[rustfmt::skip]
#[path = "generated/envoy.service.discovery.v3.rs"]
pub mod xds;
