//! A replica of control ends, and its proxies go on with another.

use std::time::Duration;

use anyhow::{Result, ensure};
use kube::ResourceExt as _;
use lateen_tests::bed::scene::Scene;
use lateen_tests::bed::{Bed, within};

use crate::mesh::{kill, names, rolled_out, system};

/// Proxies connected to a replica of control, by its own count.
async fn connected(system: &Bed, pod: &str) -> Result<f64> {
    let metrics = system.metrics_at(pod, 15014, "/metrics").await?;
    Ok(metrics.sum("pilot_xds", &[]))
}

#[tokio::test]
async fn killing_the_replica_in_use_moves_proxies_to_the_other() -> Result<()> {
    let scene = Scene::injected("kill-control", 2).await?;
    scene.http("http://web:8080/", &[]).await?.all_succeeded()?;
    let system = system().await?;
    let replicas = names(&system, "app=istiod").await?;
    let mut busiest = (replicas[0].clone(), 0.0);
    for pod in replicas {
        let count = connected(&system, &pod).await?;
        if count > busiest.1 {
            busiest = (pod, count);
        }
    }
    ensure!(busiest.1 > 0.0, "no proxy is connected to control");

    let flags = ["--duration", "20", "--rate", "50"];
    let load = scene.http("http://web:8080/", &flags);
    let (killed, load) = tokio::join!(kill(&system, &busiest.0), load);
    killed?;
    load?.all_succeeded()?;
    rolled_out(&system, "istiod").await?;
    // What comes after the kill is heard of: the proxies follow another replica.
    scene
        .bed
        .kubectl(&["scale", "deployment/web", "--replicas=3"])
        .await?;
    let pods = scene.bed.ready("app=web", 3).await?;
    within(
        Duration::from_secs(20),
        "requests to the new pod",
        async || {
            let report = scene
                .http("http://web:8080/", &["--requests", "60"])
                .await?
                .all_succeeded()?;
            ensure!(
                pods.iter()
                    .all(|pod| report.pods.contains_key(&pod.name_any())),
                "{report:?}"
            );
            Ok(())
        },
    )
    .await?;
    scene.bed.end().await
}
