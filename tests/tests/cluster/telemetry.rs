//! Istio's standard metrics, with every label, as both sides report them.

use anyhow::{Result, ensure};
use lateen_tests::bed::eventually;
use lateen_tests::bed::scene::Scene;

fn labels<'a>(namespace: &'a str, principals: &'a [String; 2]) -> Vec<(&'a str, &'a str)> {
    vec![
        ("source_workload", "client"),
        ("source_canonical_service", "client"),
        ("source_canonical_revision", "v1"),
        ("source_workload_namespace", namespace),
        ("source_app", "client"),
        ("source_version", "v1"),
        ("source_cluster", "Kubernetes"),
        ("source_principal", &principals[0]),
        ("destination_workload", "web"),
        ("destination_workload_namespace", namespace),
        ("destination_principal", &principals[1]),
        ("destination_app", "web"),
        ("destination_version", "v1"),
        ("destination_canonical_service", "web"),
        ("destination_canonical_revision", "v1"),
        ("destination_service_name", "web"),
        ("destination_service_namespace", namespace),
        ("destination_cluster", "Kubernetes"),
    ]
}

fn principals(namespace: &str) -> [String; 2] {
    ["client", "web"].map(|account| format!("spiffe://cluster.local/ns/{namespace}/sa/{account}"))
}

async fn reported(
    scene: &Scene,
    pod: &str,
    name: &str,
    labels: &[(&str, &str)],
    count: f64,
) -> Result<()> {
    eventually(&format!("{name} of {pod}"), async || {
        let metrics = scene.bed.metrics(pod).await?;
        let sum = metrics.sum(name, labels);
        let series: Vec<&str> = metrics.series(name, &[]).collect();
        ensure!(
            (sum - count).abs() < f64::EPSILON,
            "{sum}, not {count}: {series:#?}"
        );
        Ok(())
    })
    .await
}

#[tokio::test]
async fn requests_are_counted_on_both_sides_with_every_label() -> Result<()> {
    let scene = Scene::injected("http-metrics", 1).await?;
    let namespace = scene.bed.namespace.clone();
    let principals = principals(&namespace);
    scene
        .http(
            "http://web:8080/?status=418",
            &["--requests", "7", "--expect", "418"],
        )
        .await?;
    let service = format!("web.{namespace}.svc.cluster.local");
    let mut source = labels(&namespace, &principals);
    source.extend([
        ("destination_service", service.as_str()),
        ("request_protocol", "http"),
        ("response_code", "418"),
        ("response_flags", "-"),
    ]);
    let mut destination = source.clone();
    source.extend([
        ("reporter", "source"),
        ("connection_security_policy", "unknown"),
    ]);
    destination.extend([
        ("reporter", "destination"),
        ("connection_security_policy", "mutual_tls"),
    ]);
    for name in [
        "istio_requests_total",
        "istio_request_duration_milliseconds_count",
        "istio_request_bytes_count",
        "istio_response_bytes_count",
    ] {
        reported(&scene, &scene.client, name, &source, 7.0).await?;
        reported(&scene, &scene.web[0], name, &destination, 7.0).await?;
    }
    scene.bed.end().await
}

#[tokio::test]
async fn grpc_calls_are_counted_as_such() -> Result<()> {
    let scene = Scene::injected("grpc-metrics", 1).await?;
    scene
        .http(
            "http://web:8082/",
            &["--protocol", "grpc", "--requests", "3"],
        )
        .await?
        .all_succeeded()?;
    let labels = [("request_protocol", "grpc"), ("grpc_response_status", "0")];
    reported(&scene, &scene.client, "istio_requests_total", &labels, 3.0).await?;
    reported(&scene, &scene.web[0], "istio_requests_total", &labels, 3.0).await?;
    scene.bed.end().await
}

#[tokio::test]
async fn tcp_connections_are_counted_on_both_sides() -> Result<()> {
    let scene = Scene::injected("tcp-metrics", 1).await?;
    let namespace = scene.bed.namespace.clone();
    let principals = principals(&namespace);
    scene
        .client(&["tcp", "web:9000", "--send", "0123456789"])
        .await?;
    let mut labels = labels(&namespace, &principals);
    labels.push(("request_protocol", "tcp"));
    for pod in [&scene.client, &scene.web[0]] {
        for name in [
            "istio_tcp_connections_opened_total",
            "istio_tcp_connections_closed_total",
        ] {
            reported(&scene, pod, name, &labels, 1.0).await?;
        }
        for name in [
            "istio_tcp_sent_bytes_total",
            "istio_tcp_received_bytes_total",
        ] {
            reported(&scene, pod, name, &labels, 11.0).await?;
        }
    }
    scene.bed.end().await
}

#[tokio::test]
async fn the_application_s_own_metrics_are_merged() -> Result<()> {
    let change = serde_json::json!({ "metadata": { "annotations": {
        "prometheus.io/scrape": "true", "prometheus.io/port": "8080", "prometheus.io/path": "/metrics",
    } } });
    let scene = Scene::changed("merged", 1, &change).await?;
    let pod = scene.bed.pod("app=web").await?;
    let annotations = pod.metadata.annotations.unwrap_or_default();
    ensure!(
        annotations
            .get("prometheus.io/port")
            .is_some_and(|port| port == "15020")
    );
    let metrics = scene.bed.metrics(&scene.web[0]).await?;
    ensure!(
        metrics.sum("istio_build", &[("component", "proxy")]) > 0.0,
        "{}",
        metrics.text()
    );
    // The echo server answers every path with what it saw, so its answer shows the merge.
    ensure!(
        metrics.text().contains("\"path\":\"/metrics\""),
        "{}",
        metrics.text()
    );
    scene.bed.end().await
}
