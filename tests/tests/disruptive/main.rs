//! What users fear: roll-outs under load, and parts of the mesh that go away. These tests run alone,
//! after the others, and leave the mesh healthy.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

mod api_server;
mod certificates;
mod configuration;
mod control;
mod dns;
mod mesh;
mod outage;
mod revision;
mod rollout;
mod webhook;
