//! What users rely on, each point with a namespace of its own in a real cluster with two nodes.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

mod abuse;
mod acceptance;
mod api_server;
mod balance;
mod bookinfo;
mod boutique;
mod certificates;
mod decision;
mod endpoints;
mod identity;
mod input;
mod install;
mod kubectl;
mod pod_security;
mod probes;
mod reach;
mod redirection;
mod rivals;
mod telemetry;
mod workloads;

use anyhow::{Context as _, Result};
use kube::ResourceExt as _;
use lateen_tests::bed::Bed;

/// A pod of the mesh itself, with the namespace that it is in.
async fn system_pod(selector: &str) -> Result<(Bed, String)> {
    let system = Bed::existing("istio-system").await?;
    let pod = system
        .pods(selector)
        .await?
        .first()
        .context("no pod")?
        .name_any();
    Ok((system, pod))
}
