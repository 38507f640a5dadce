//! Two revisions of the mesh side by side, and a namespace that moves from one to the other and back
//! under load.

use anyhow::{Result, ensure};
use lateen_tests::bed::admission::injected_by;
use lateen_tests::bed::installation::{Installed, install};
use lateen_tests::bed::manifest::{pod, template};
use lateen_tests::bed::scene::Scene;
use lateen_tests::bed::{self, Bed, eventually, lateenctl};

use crate::mesh::{INJECTOR, names, rolled_out, system};

/// The other revision, and a tag of the first one.
const CANARY: &str = "canary";
const TAG: &str = "stable";

#[tokio::test]
async fn a_namespace_moves_to_another_revision_and_back_without_losing_a_request() -> Result<()> {
    let system = system().await?;
    let before = Installed::look(&system).await?.pods();
    install(&["--revision", CANARY]).await?;
    let moved = async {
        rolled_out(&system, &format!("istiod-{CANARY}")).await?;
        rolled_out(&system, &format!("{INJECTOR}-{CANARY}")).await?;
        let tag = ["tag", "set", TAG, "--revision", "default", "-y"];
        bed::run(&mut lateenctl(&tag)).await?.stdout()?;
        move_under_load(&system).await
    }
    .await;
    for command in [
        ["tag", "remove", TAG, "-y"].as_slice(),
        &["uninstall", "--revision", CANARY, "-y"],
    ] {
        bed::run(&mut lateenctl(command)).await?.stdout()?;
    }
    moved?;
    eventually("nothing but the first revision, as it was", async || {
        let after = Installed::look(&system).await?.pods();
        let changes = after.changes_since(&before);
        ensure!(changes.is_empty(), "{changes:#?}");
        Ok(())
    })
    .await
}

async fn move_under_load(system: &Bed) -> Result<()> {
    let scene = Scene::to_restart("revision", 2).await?;
    let flags = ["--duration", "45", "--rate", "100", "--concurrency", "4"];
    let load = scene.http("http://web:8080/", &flags);
    let moving = async {
        let canary = ["istio-injection-", "istio.io/rev=canary"];
        relabel(&scene.bed, &canary, CANARY).await?;
        restarted_by(&scene, CANARY).await?;
        ensure!(
            followers(system).await? > 0.0,
            "nobody follows the new revision"
        );
        // Back by a tag, which is how people name a revision without knowing it.
        let stable = ["istio.io/rev=stable", "--overwrite"];
        relabel(&scene.bed, &stable, "default").await?;
        restarted_by(&scene, "default").await
    };
    let (load, moved) = tokio::join!(load, moving);
    moved?;
    load?.all_succeeded()?;
    scene.bed.end().await
}

/// Labels a namespace and waits until the API server goes by that, and asks a revision about its pods.
async fn relabel(bed: &Bed, labels: &[&str], revision: &str) -> Result<()> {
    let namespace = ["label", "namespace", &bed.namespace];
    bed.kubectl(&[&namespace[..], labels].concat()).await?;
    let asked = pod("asked", &template("web", &["sleep"]));
    eventually(&format!("{revision} is asked"), async || {
        let pod = bed.admit(&asked).await?;
        let by = injected_by(&pod);
        ensure!(by == Some(revision), "it is {by:?}");
        Ok(())
    })
    .await
}

/// Restarts `web`; its new pods must be of a revision.
async fn restarted_by(scene: &Scene, revision: &str) -> Result<()> {
    scene.restart().await?;
    for pod in scene.bed.ready("app=web", 2).await? {
        let by = injected_by(&pod);
        ensure!(
            by == Some(revision),
            "a pod is of {by:?}, not of {revision}"
        );
    }
    Ok(())
}

/// How many proxies follow the control plane of the other revision, by its own count.
async fn followers(system: &Bed) -> Result<f64> {
    let mut sum = 0.0;
    for pod in names(system, &format!("app=istiod,istio.io/rev={CANARY}")).await? {
        let metrics = system.metrics_at(&pod, 15014, "/metrics").await?;
        sum += metrics.sum("pilot_xds", &[]);
    }
    Ok(sum)
}
