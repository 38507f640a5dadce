//! The API server ends and comes back: traffic goes on, and nobody has to mend anything afterwards.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use lateen_tests::bed::installation::Installed;
use lateen_tests::bed::manifest::{client, merge, pod, template};
use lateen_tests::bed::scene::Scene;
use lateen_tests::bed::{Bed, Report, eventually};
use lateen_tests::cluster::{self, Cluster, Spec};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;

use crate::mesh::{admitted, system, with_pod};

/// The local cluster under test.
fn cluster_under_test() -> Result<Cluster> {
    let kubeconfig = std::env::var_os("KUBECONFIG").context("KUBECONFIG is not set")?;
    let name = Path::new(&kubeconfig).parent().and_then(Path::file_name);
    let name = name.and_then(|name| name.to_str()).unwrap_or_default();
    let found = name.parse().ok().map(|name| Cluster::find(&name));
    found
        .with_context(|| format!("{} is not of a local cluster", kubeconfig.display()))?
        .context("Only the API server of a local cluster can be killed")
}

/// A pod that sends requests for a while, whoever sees it, and then tells what came back.
async fn send(bed: &Bed) -> Result<()> {
    let load = [
        "client",
        "http",
        "--url",
        "http://web:8080/",
        "--output",
        "json",
        "--duration",
        "20",
        "--rate",
        "50",
    ];
    let mut template = template("load", &load);
    merge(
        &mut template,
        json!({ "spec": { "restartPolicy": "Never", "serviceAccountName": "client" } }),
    );
    bed.apply([pod("load", &template)]).await?;
    bed.ready("app=load", 1).await.map(drop)
}

#[tokio::test]
async fn an_api_server_that_is_killed_costs_no_request_and_no_repair() -> Result<()> {
    let cluster = cluster_under_test()?;
    let scene = Scene::injected("api-server", 2).await?;
    let (bed, web) = with_pod("api-server-admission").await?;
    let system = system().await?;
    let before = Installed::look(&system).await?.pods();
    send(&scene.bed).await?;

    let status = cluster.status().await.components;
    let api_server = status.iter().find(|row| row.component == "kube-apiserver");
    let process = api_server.and_then(|row| row.pid);
    let process = Pid::from_raw(process.context("no process of the API server")?);
    kill(process, Signal::SIGKILL)?;
    let gone = eventually("an API server that is gone", async || {
        let got = bed.kubectl(&["get", "pods"]).await;
        ensure!(got.is_err(), "it goes on");
        Ok(())
    })
    .await;
    let nodes = cluster.nodes().len().try_into()?;
    let name = cluster.name().clone();
    cluster::up(&Spec { name, nodes }).await?;
    gone?;

    admitted(&bed, &web).await?;
    bed.apply(client("new")).await?;
    bed.ready("app=new", 1).await?;
    let log = eventually("the report of the load", async || {
        let log = scene
            .bed
            .kubectl(&["logs", "load", "--container=app"])
            .await?;
        ensure!(Report::parse(&log).is_ok(), "{log}");
        Ok(log)
    })
    .await?;
    Report::parse(&log)?.all_succeeded()?;
    let changes = Installed::look(&system)
        .await?
        .pods()
        .changes_since(&before);
    ensure!(changes.is_empty(), "{changes:#?}");
    bed.end().await?;
    scene.bed.end().await
}
