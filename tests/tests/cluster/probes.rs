//! Probes of every form pass and fail rightly through the rewrite.

use anyhow::{Result, ensure};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;
use lateen_tests::bed::manifest::{container, deployment, merge, service_account, template};
use lateen_tests::bed::{Bed, eventually};
use serde_json::{Value, json};

fn with_probe(app: &str, probe: &Value) -> Vec<Value> {
    let mut template = template(app, &["echo", "--http", "8080", "--tcp", "9000"]);
    let mut app_container = container(&["echo", "--http", "8080", "--tcp", "9000"]);
    let ports = json!([{ "name": "web", "containerPort": 8080 }]);
    merge(
        &mut app_container,
        json!({ "ports": ports, "readinessProbe": probe, "livenessProbe": probe }),
    );
    merge(
        &mut template,
        json!({ "spec": { "containers": [app_container] } }),
    );
    deployment(app, 1, &template)
}

#[tokio::test]
async fn healthy_applications_are_ready() -> Result<()> {
    let bed = Bed::injected("probes").await?;
    let command = ["/usr/local/bin/lateen-samples", "--version"];
    for (app, probe) in [
        ("http", json!({ "httpGet": { "path": "/", "port": 8080 } })),
        (
            "named",
            json!({ "httpGet": { "path": "/", "port": "web" } }),
        ),
        ("tcp", json!({ "tcpSocket": { "port": 9000 } })),
        ("grpc", json!({ "grpc": { "port": 8080 } })),
        ("exec", json!({ "exec": { "command": command } })),
    ] {
        bed.apply(with_probe(app, &probe)).await?;
    }
    for app in ["http", "named", "tcp", "grpc", "exec"] {
        bed.ready(&format!("app={app}"), 1).await?;
    }
    bed.end().await
}

#[tokio::test]
async fn sick_applications_are_not() -> Result<()> {
    let bed = Bed::injected("sick").await?;
    for (app, probe) in [
        (
            "http",
            json!({ "httpGet": { "path": "/?status=500", "port": 8080 }, "periodSeconds": 1 }),
        ),
        (
            "tcp",
            json!({ "tcpSocket": { "port": 9999 }, "periodSeconds": 1 }),
        ),
        (
            "grpc",
            json!({ "grpc": { "port": 9000 }, "periodSeconds": 1 }),
        ),
    ] {
        let mut objects = with_probe(app, &probe);
        let only_readiness = json!({ "livenessProbe": null });
        merge(
            &mut objects[1]["spec"]["template"]["spec"]["containers"][0],
            only_readiness,
        );
        bed.apply(objects).await?;
    }
    for app in ["http", "tcp", "grpc"] {
        let pod = eventually("a failed probe", async || {
            let pod = bed.pod(&format!("app={app}")).await?;
            let events = bed
                .kubectl(&["events", "--for", &format!("pod/{}", pod.name_any())])
                .await?;
            ensure!(
                events.contains("Readiness probe failed"),
                "events of {app}: {events}"
            );
            anyhow::Ok(pod)
        })
        .await?;
        ensure!(!app_is_ready(&pod), "{app} is ready");
    }
    bed.end().await
}

fn app_is_ready(pod: &Pod) -> bool {
    let statuses = pod
        .status
        .as_ref()
        .and_then(|status| status.container_statuses.as_ref());
    statuses
        .into_iter()
        .flatten()
        .any(|status| status.name == "app" && status.ready)
}

#[tokio::test]
async fn a_failing_liveness_probe_restarts_the_application() -> Result<()> {
    let bed = Bed::injected("liveness").await?;
    let probe = json!({ "httpGet": { "path": "/?status=500", "port": 8080 },
        "periodSeconds": 1, "failureThreshold": 1 });
    let mut pod = template("web", &["echo", "--http", "8080"]);
    merge(
        &mut pod["spec"]["containers"][0],
        json!({ "livenessProbe": probe }),
    );
    merge(
        &mut pod,
        json!({ "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "web" } }),
    );
    bed.apply([service_account("web"), pod]).await?;
    eventually("a restart of the application", async || {
        let pod = bed.pod("app=web").await?;
        let statuses = pod
            .status
            .unwrap_or_default()
            .container_statuses
            .unwrap_or_default();
        let restarts = statuses
            .iter()
            .find(|s| s.name == "app")
            .map_or(0, |s| s.restart_count);
        ensure!(restarts > 0, "no restart yet");
        Ok(())
    })
    .await?;
    bed.end().await
}
