//! Admission goes on while replicas of the webhook come and go.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use lateen_tests::bed::Bed;
use lateen_tests::bed::manifest::{deployment, merge, service_account, template};
use lateen_tests::bed::within;
use serde_json::json;

use crate::mesh::{kill, names, rolled_out, system};

const SELECTOR: &str = "istio=sidecar-injector";
const DEPLOYMENT: &str = "istio-sidecar-injector";

/// Creates pods, in a dry run, until told to stop; how many were admitted with a sidecar.
async fn admit_until(bed: &Bed, stop: &AtomicBool) -> Result<usize> {
    let mut pod = template("web", &["sleep"]);
    merge(
        &mut pod,
        json!({ "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "web" } }),
    );
    let pod: k8s_openapi::api::core::v1::Pod = serde_json::from_value(pod)?;
    let dry_run = kube::api::PostParams {
        dry_run: true,
        ..Default::default()
    };
    let mut admitted = 0;
    while !stop.load(Ordering::SeqCst) {
        let created = bed
            .api::<k8s_openapi::api::core::v1::Pod>()
            .create(&dry_run, &pod)
            .await?;
        let containers = created
            .spec
            .and_then(|spec| spec.init_containers)
            .unwrap_or_default();
        ensure!(
            containers
                .iter()
                .any(|container| container.name == "istio-proxy")
        );
        admitted += 1;
    }
    Ok(admitted)
}

#[tokio::test]
async fn deleting_a_replica_fails_no_admission() -> Result<()> {
    let bed = Bed::injected("admission").await?;
    bed.apply([service_account("web")]).await?;
    let system = system().await?;
    let stop = AtomicBool::new(false);
    let delete = async {
        let result = async {
            for pod in names(&system, SELECTOR).await? {
                system.kubectl(&["delete", "pod", &pod]).await?;
                rolled_out(&system, DEPLOYMENT).await?;
            }
            anyhow::Ok(())
        }
        .await;
        stop.store(true, Ordering::SeqCst);
        result
    };
    let (deleted, admitted) = tokio::join!(delete, admit_until(&bed, &stop));
    deleted?;
    let admitted = admitted?;
    ensure!(
        admitted >= 50,
        "only {admitted} pods were admitted meanwhile"
    );
    bed.end().await
}

#[tokio::test]
async fn after_a_kill_fifty_pods_are_ready_within_a_minute() -> Result<()> {
    let bed = Bed::injected("fifty").await?;
    let system = system().await?;
    let replica = names(&system, SELECTOR).await?.remove(0);
    kill(&system, &replica).await?;
    let start = Instant::now();
    let web = template("web", &["echo", "--http", "8080"]);
    bed.apply(deployment("web", 50, &web)).await?;
    within(Duration::from_secs(60), "fifty ready pods", async || {
        let pods = bed.pods("app=web").await?;
        let ready = pods
            .iter()
            .filter(|pod| lateen_tests::bed::is_ready(pod))
            .count();
        ensure!(ready == 50, "{ready} are ready");
        Ok(())
    })
    .await?;
    println!("50 pods were ready after {:?}.", start.elapsed());
    rolled_out(&system, DEPLOYMENT).await?;
    bed.end().await
}

#[tokio::test]
async fn the_mesh_restarts_in_a_labelled_namespace_of_its_own() -> Result<()> {
    let system = system().await?;
    let label = [
        "label",
        "namespace",
        "istio-system",
        "--overwrite",
        "istio-injection=enabled",
    ];
    system.kubectl(&label).await?;
    let restarted = async {
        // Everything at once: nobody is left who could inject.
        for selector in [SELECTOR, "app=istiod"] {
            for pod in names(&system, selector).await? {
                kill(&system, &pod).await?;
            }
        }
        rolled_out(&system, "istiod").await?;
        rolled_out(&system, DEPLOYMENT).await
    }
    .await;
    system
        .kubectl(&["label", "namespace", "istio-system", "istio-injection-"])
        .await?;
    restarted?;
    let bed = Bed::injected("after-restart").await?;
    bed.apply(lateen_tests::bed::manifest::client("client"))
        .await?;
    bed.ready("app=client", 1).await?;
    bed.end().await
}
