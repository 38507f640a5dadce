//! What users rely on, each point with a namespace of its own in a real cluster with two nodes.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

mod api_server;
mod balance;
mod bookinfo;
mod endpoints;
mod identity;
mod input;
mod kubectl;
mod probes;
mod reach;
mod telemetry;
mod workloads;
