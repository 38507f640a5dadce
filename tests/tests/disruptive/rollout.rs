//! Nothing is lost while pods come and go.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Result, ensure};
use kube::ResourceExt;
use lateen_tests::bed::manifest::container;
use lateen_tests::bed::scene::{ECHO, Scene};
use lateen_tests::bed::within;
use serde_json::json;

/// Restarts `web` again and again until told to stop; how often.
async fn restart_until(scene: &Scene, stop: &AtomicBool) -> Result<usize> {
    let mut restarts = 0;
    while !stop.load(Ordering::SeqCst) {
        scene
            .bed
            .kubectl(&["rollout", "restart", "deployment/web"])
            .await?;
        scene
            .bed
            .kubectl(&["rollout", "status", "deployment/web", "--timeout=180s"])
            .await?;
        restarts += 1;
    }
    Ok(restarts)
}

#[tokio::test]
async fn a_rolling_restart_loses_none_of_50_000_requests() -> Result<()> {
    let mut echo = ECHO.to_vec();
    echo.push("--exit-on-term");
    let change = json!({ "spec": { "containers": [container(&echo)] } });
    let scene = Scene::changed("rollout", 3, &change).await?;
    let stop = AtomicBool::new(false);
    let load = async {
        let flags = ["--requests", "25000", "--concurrency", "8", "--rate", "300"];
        let mut post = flags.to_vec();
        post.extend(["--method", "POST", "--body", "0123456789"]);
        let url = "http://web:8080/";
        let reports = tokio::join!(scene.http(url, &flags), scene.http(url, &post));
        stop.store(true, Ordering::SeqCst);
        (reports.0, reports.1)
    };
    let ((get, post), restarts) = tokio::join!(load, restart_until(&scene, &stop));
    let (get, post) = (get?.all_succeeded()?, post?.all_succeeded()?);
    ensure!(get.requests + post.requests == 50_000, "{get:?} {post:?}");
    ensure!(
        restarts? >= 2,
        "the load was over before the second restart"
    );
    scene.bed.end().await
}

#[tokio::test]
async fn a_removed_endpoint_gets_no_new_request_and_keeps_its_streams() -> Result<()> {
    let scene = Scene::injected("removed", 2).await?;
    // Held through the change: one stream of each kind; the server's banner says to whom.
    let hold = |target: [&'static str; 2]| {
        let mut arguments = vec!["watch", "--duration", "25"];
        arguments.extend(target);
        if target[0] == "--tcp" {
            arguments.push("--banner");
        }
        let scene = &scene;
        async move { scene.client(&arguments).await }
    };
    let change = async {
        within(Duration::from_secs(20), "open streams", async || {
            let mut open = 0.0;
            for pod in &scene.web {
                let name = "istio_tcp_connections_opened_total";
                open += scene
                    .bed
                    .metrics(pod)
                    .await?
                    .sum(name, &[("reporter", "destination")]);
            }
            ensure!(open >= 1.0, "none");
            Ok(())
        })
        .await?;
        // Out of the Service, but alive: the selector no longer finds it.
        for pod in &scene.web {
            scene
                .bed
                .kubectl(&["label", "pod", pod, "app=removed", "--overwrite"])
                .await?;
        }
        let fresh = scene.bed.ready("app=web", 2).await?;
        let fresh: Vec<String> = fresh.iter().map(ResourceExt::name_any).collect();
        within(
            Duration::from_secs(10),
            "requests to the new pods alone",
            async || {
                let report = scene
                    .http("http://web:8080/", &["--requests", "50"])
                    .await?
                    .all_succeeded()?;
                ensure!(
                    report.pods.keys().all(|pod| fresh.contains(pod)),
                    "{:?}",
                    report.pods
                );
                Ok(())
            },
        )
        .await
    };
    let (tcp, websocket, changed) = tokio::join!(
        hold(["--tcp", "web:3306"]),
        hold(["--websocket", "ws://web:8080/websocket"]),
        change,
    );
    changed?;
    for printed in [tcp?, websocket?] {
        ensure!(
            printed.contains("\"breaks\":[]"),
            "a stream broke: {printed}"
        );
    }
    scene.bed.end().await
}
