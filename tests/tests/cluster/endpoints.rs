//! What a change of a Service's endpoints does to requests and to what is open.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use kube::ResourceExt;
use lateen_tests::bed::scene::Scene;
use lateen_tests::bed::within;
use serde_json::Value;

/// Connections to an application of the scene, as its sidecar counts them.
async fn open_to(scene: &Scene, pod: &str) -> Result<u64> {
    let page = scene.bed.get(pod, 15000, "/server_info").await?;
    let info: Value = serde_json::from_str(&page)?;
    let open = info.pointer("/configuration/inbound_connections");
    open.and_then(Value::as_u64)
        .with_context(|| format!("no count in {page}"))
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
        within(Duration::from_secs(20), "both streams", async || {
            let mut open = 0;
            for pod in &scene.web {
                open += open_to(&scene, pod).await?;
            }
            ensure!(open >= 2, "{open} are open");
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
        let fresh = scene.bed.serving("app=web", 2, 8080).await?;
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
