//! Certificates that live a minute, rotated under load.

use anyhow::{Result, ensure};
use lateen_tests::bed::scene::Scene;

use crate::mesh::{set_variable, system};

/// The serial numbers of the certificate that a sidecar shows now.
async fn certificate(scene: &Scene, pod: &str) -> Result<String> {
    scene.bed.get(pod, 15000, "/certs").await
}

#[tokio::test]
async fn certificates_of_one_minute_rotate_without_an_error() -> Result<()> {
    let system = system().await?;
    let variable = "DEFAULT_WORKLOAD_CERT_TTL";
    set_variable(&system, "istiod", variable, Some("1m")).await?;
    let rotated = async {
        let scene = Scene::injected("rotation", 2).await?;
        let before = certificate(&scene, &scene.web[0]).await?;
        // Longer than the first certificate lives, which is renewed twice meanwhile.
        let flags = ["--duration", "75", "--rate", "100", "--concurrency", "4"];
        let keep_alive = scene.http("http://web:8080/", &flags);
        let mut flags = flags.to_vec();
        flags.push("--new-connections");
        let fresh = scene.http("http://web:8080/", &flags);
        let (keep_alive, fresh) = tokio::join!(keep_alive, fresh);
        keep_alive?.all_succeeded()?;
        fresh?.all_succeeded()?;
        let after = certificate(&scene, &scene.web[0]).await?;
        ensure!(before != after, "the certificate was not rotated: {after}");
        scene.bed.end().await
    }
    .await;
    set_variable(&system, "istiod", variable, None).await?;
    rotated
}
