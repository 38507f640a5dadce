//! Nothing is lost while pods come and go.

use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Result, ensure};
use lateen_tests::bed::scene::Scene;

/// Restarts `web` again and again until told to stop; how often.
async fn restart_until(scene: &Scene, stop: &AtomicBool) -> Result<usize> {
    let mut restarts = 0;
    while !stop.load(Ordering::SeqCst) {
        scene.restart().await?;
        restarts += 1;
    }
    Ok(restarts)
}

#[tokio::test]
async fn a_rolling_restart_loses_none_of_50_000_requests() -> Result<()> {
    let scene = Scene::to_restart("rollout", 3).await?;
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
