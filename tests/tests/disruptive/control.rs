//! Control goes away, and traffic goes on.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use kube::ResourceExt as _;
use lateen_tests::bed::manifest::{deployment, merge, service, template};
use lateen_tests::bed::scene::{ECHO, Scene};
use lateen_tests::bed::{Bed, eventually, within};
use serde_json::json;

use crate::mesh::{kill, names, rolled_out, scale, system};

/// A server outside the mesh, on a node's address; where it listens.
async fn outside() -> Result<(Bed, String)> {
    let bed = Bed::plain("no-control-outside").await?;
    let port = 20000 + fastrand::u16(..10000);
    let mut host = template("host", &["echo", "--http", &port.to_string()]);
    merge(&mut host, json!({ "spec": { "hostNetwork": true } }));
    bed.apply(deployment("host", 1, &host)).await?;
    let pod = bed.ready("app=host", 1).await?.remove(0);
    let address = pod
        .status
        .and_then(|status| status.host_ip)
        .context("no host IP")?;
    Ok((bed, format!("http://{address}:{port}/")))
}

#[tokio::test]
async fn without_control_for_five_minutes_traffic_goes_on() -> Result<()> {
    let scene = Scene::injected("no-control", 2).await?;
    let (outside, url) = outside().await?;
    scene
        .bed
        .apply(deployment("other", 1, &template("other", &ECHO)))
        .await?;
    scene
        .bed
        .apply([service("other", &[("http", 8080, 8080)])])
        .await?;
    scene.bed.ready("app=other", 1).await?;
    scene
        .http("http://web:8080/", &["--requests", "10"])
        .await?
        .all_succeeded()?;

    let system = system().await?;
    scale(&system, "istiod", 0).await?;
    let checked = async {
        let flags = ["--duration", "300", "--rate", "20"];
        let load = scene.http("http://web:8080/", &flags);
        let unknown = async {
            let report = scene.http("http://other:8080/", &[]).await?;
            ensure!(
                report.statuses.get("503") == Some(&1),
                "a name never asked for: {report:?}"
            );
            scene
                .http(&url, &[])
                .await?
                .all_succeeded()
                .context("Passing through")
        };
        let (load, unknown) = tokio::join!(load, unknown);
        unknown?;
        load?.all_succeeded()?;
        let encrypted = scene
            .served(&[("connection_security_policy", "mutual_tls")])
            .await?;
        ensure!(encrypted >= 5000.0, "{encrypted} requests were encrypted");
        ensure!(
            scene
                .served(&[("connection_security_policy", "none")])
                .await?
                == 0.0
        );
        anyhow::Ok(())
    }
    .await;
    scale(&system, "istiod", 2).await?;
    checked?;
    eventually("the name that was refused", async || {
        scene
            .http("http://other:8080/", &[])
            .await?
            .all_succeeded()
            .map(drop)
    })
    .await?;
    outside.end().await?;
    scene.bed.end().await
}

/// Proxies connected to a replica of control, by its own count.
async fn connected(system: &Bed, pod: &str) -> Result<f64> {
    let text = system.get(pod, 15014, "/metrics").await?;
    let line = text
        .lines()
        .find(|line| line.starts_with("pilot_xds{") || line.starts_with("pilot_xds "));
    let value = line
        .and_then(|line| line.rsplit(' ').next())
        .context("no metric pilot_xds")?;
    Ok(value.parse()?)
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
