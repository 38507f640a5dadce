//! What users rely on, each point with a namespace of its own in a real cluster with two nodes.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

mod balance;
mod bookinfo;
mod identity;
mod input;
mod kubectl;
mod probes;
mod reach;
mod telemetry;
mod workloads;
