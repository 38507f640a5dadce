//! Interception mode TPROXY: the application sees who calls it.

use std::net::SocketAddr;

use anyhow::{Context as _, Result, ensure};
use futures::try_join;
use k8s_openapi::api::core::v1::Pod;
use lateen_tests::bed::manifest::merge;
use lateen_tests::bed::{Backend, eventually, is_ready};
use serde_json::{Value, json};

use super::stage::{Stage, annotated, client, outside, server, web};

pub(super) async fn in_mode_tproxy_the_application_sees_the_client(backend: Backend) -> Result<()> {
    let stage = Stage::open("tproxy", backend).await?;
    stage.bed.apply([web()]).await?;
    let pods = [
        // The kubelet itself asks one of them, and the sidecar on its behalf the other.
        transparent("web", "false"),
        transparent("other", "true"),
        client("client", json!({})),
        client("outsider", outside()),
    ];
    stage.enter(pods).await?;
    stage.led("outsider", "web").await?;
    try_join!(
        clients_are_seen(&stage),
        a_pod_reaches_itself_by_its_service(&stage),
        streams_are_heard(&stage),
        many_connections_succeed(&stage),
        probes_pass(&stage),
    )?;
    stage.bed.end().await
}

/// A server in mode TPROXY, with probes of each kind.
fn transparent(name: &str, rewritten: &str) -> Value {
    let mut pod = server(
        name,
        annotated(&json!({
            "sidecar.istio.io/interceptionMode": "TPROXY",
            "sidecar.istio.io/rewriteAppHTTPProbers": rewritten,
        })),
    );
    let often = |mut probe: Value| {
        merge(
            &mut probe,
            json!({ "periodSeconds": 1, "timeoutSeconds": 5 }),
        );
        probe
    };
    let probes = json!({
        "startupProbe": often(json!({ "grpc": { "port": 8080 }, "failureThreshold": 60 })),
        "readinessProbe": often(json!({ "httpGet": { "path": "/", "port": 8080 } })),
        "livenessProbe": often(json!({ "tcpSocket": { "port": 9000 } })),
    });
    if let Some(application) = pod.pointer_mut("/spec/containers/0") {
        merge(application, probes);
    }
    pod
}

async fn clients_are_seen(stage: &Stage) -> Result<()> {
    let (service, pod) = (stage.cluster_addresses("web"), stage.addresses("web"));
    let (service, pod) = try_join!(service, pod)?;
    for (from, certificate) in [
        ("client", Some("client")),
        ("other", Some("other")),
        ("outsider", None),
    ] {
        let own = stage.addresses(from).await?;
        for (to, own) in pod.both().into_iter().zip(own.both()) {
            let seen = stage.seen_at(from, to, 8080).await?;
            ensure!(
                seen.client() == certificate && seen.peer() == own,
                "{from}, which is {own}, to {to}: {seen:?}"
            );
        }
        for to in service.both() {
            let seen = stage.seen_at(from, to, 8081).await?;
            ensure!(
                seen.client() == certificate && own.both().contains(&seen.peer()),
                "{from} to {to}: {seen:?}"
            );
        }
    }
    Ok(())
}

async fn a_pod_reaches_itself_by_its_service(stage: &Stage) -> Result<()> {
    for address in stage.cluster_addresses("web").await?.both() {
        let seen = stage.seen_at("web", address, 8080).await?;
        ensure!(seen.client() == Some("web"), "{address}: {seen:?}");
        let tcp = SocketAddr::new(address, 9000).to_string();
        stage.run("web", &["tcp", &tcp]).await?;
    }
    Ok(())
}

async fn streams_are_heard(stage: &Stage) -> Result<()> {
    for address in stage.cluster_addresses("web").await?.both() {
        let to = |port| SocketAddr::new(address, port).to_string();
        for from in ["client", "outsider"] {
            let printed = stage.run(from, &["tcp", &to(3306), "--banner"]).await?;
            ensure!(printed.contains("\"web\""), "{from}: {printed}");
            stage.run(from, &["tcp", &to(9000)]).await?;
        }
    }
    Ok(())
}

/// Connections in a client's name and those that it makes itself are not taken for each other.
async fn many_connections_succeed(stage: &Stage) -> Result<()> {
    for address in stage.addresses("web").await?.both() {
        let url = format!("http://{}/", SocketAddr::new(address, 8080));
        for from in ["client", "outsider"] {
            let load = [
                "--requests",
                "200",
                "--concurrency",
                "8",
                "--new-connections",
            ];
            let request = ["http", "--output", "json", "--url", &url];
            let report = stage
                .bed
                .send(from, &[&request[..], &load].concat())
                .await?;
            report
                .all_succeeded()
                .with_context(|| format!("{from} to {url}"))?;
        }
    }
    Ok(())
}

async fn probes_pass(stage: &Stage) -> Result<()> {
    for name in ["web", "other"] {
        eventually("probes that passed", async || {
            let pod = stage.bed.api::<Pod>().get(name).await?;
            let probes = stage.bed.probes(&pod).await?;
            let uid = pod.metadata.uid.as_deref().unwrap_or_default();
            for probe in ["Startup", "Readiness", "Liveness"] {
                let passed = [
                    ("pod_uid", uid),
                    ("container", "app"),
                    ("probe_type", probe),
                    ("result", "successful"),
                ];
                let passed = probes.sum("prober_probe_total", &passed);
                ensure!(passed >= 1.0, "{probe} of {name} has not passed");
            }
            Ok(())
        })
        .await?;
        let pod = stage.bed.api::<Pod>().get(name).await?;
        let containers = pod
            .status
            .as_ref()
            .and_then(|status| status.container_statuses.as_ref());
        let restarts: i32 = containers
            .into_iter()
            .flatten()
            .map(|one| one.restart_count)
            .sum();
        ensure!(
            is_ready(&pod) && restarts == 0,
            "{name} restarted {restarts} times"
        );
    }
    Ok(())
}
