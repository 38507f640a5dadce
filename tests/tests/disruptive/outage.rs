//! Control goes away for minutes, and traffic goes on. Meanwhile nothing else can be tested, so that
//! `cargo xtask test` runs this module on a cluster of its own.

use anyhow::{Context as _, Result, ensure};
use lateen_tests::bed::eventually;
use lateen_tests::bed::manifest::{deployment, service, template};
use lateen_tests::bed::scene::{ECHO, Outside, Scene};

use crate::mesh::{scale, system};

#[tokio::test]
async fn without_control_for_five_minutes_traffic_goes_on() -> Result<()> {
    let scene = Scene::injected("no-control", 2).await?;
    let outside = Outside::start("no-control-outside").await?;
    let url = format!("http://{}/", outside.address);
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
    outside.bed.end().await?;
    scene.bed.end().await
}
