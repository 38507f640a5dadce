//! One connection of the application spreads over all endpoints, request by request.

use anyhow::{Result, ensure};
use lateen_tests::bed::scene::Scene;

async fn spreads(protocol: &str, url: &str) -> Result<()> {
    let scene = Scene::injected(&format!("spread-{protocol}"), 3).await?;
    let flags = [
        "--requests",
        "300",
        "--concurrency",
        "1",
        "--protocol",
        protocol,
    ];
    let report = scene.http(url, &flags).await?.all_succeeded()?;
    ensure!(
        report.connections == 1,
        "{} connections were opened",
        report.connections
    );
    for pod in &scene.web {
        let share = report.pods.get(pod).copied().unwrap_or_default();
        ensure!(
            share >= 50,
            "{pod} answered {share} of 300: {:?}",
            report.pods
        );
    }
    scene.bed.end().await
}

#[tokio::test]
async fn one_keep_alive_connection_spreads() -> Result<()> {
    spreads("http1", "http://web:8080/").await
}

#[tokio::test]
async fn one_grpc_connection_spreads() -> Result<()> {
    spreads("grpc", "http://web:8082/").await
}
