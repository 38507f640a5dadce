//! Installing again changes nothing, with the command line and with Helm, and injection by hand.

use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};
use lateen_tests::bed::installation::{Installed, install, values};
use lateen_tests::bed::manifest::{client, deployment, service, template};
use lateen_tests::bed::scene::{ECHO, PORTS, Scene};
use lateen_tests::bed::{self, Bed, lateenctl};
use lateen_tests::checkout;
use serde_json::json;
use tokio::process::Command;
use tokio::sync::Mutex;

/// Held by whoever installs, so that nobody else sees half of it.
static INSTALLATION: Mutex<()> = Mutex::const_new(());

/// The charts and the names of their releases, in the order of installation.
const RELEASES: [(&str, &str); 2] = [("istio-base", "base"), ("istiod", "istiod")];

#[tokio::test]
async fn installing_again_changes_nothing() -> Result<()> {
    let _alone = INSTALLATION.lock().await;
    let system = Bed::existing("istio-system").await?;
    let before = Installed::look(&system).await?;
    ensure!(before != Installed::default(), "nothing is installed");
    ensure_unchanged(&install(&[]).await?)?;
    let changes = Installed::look(&system).await?.changes_since(&before);
    ensure!(changes.is_empty(), "{changes:#?}");
    Ok(())
}

#[tokio::test]
async fn helm_takes_over_changes_nothing_again_and_gives_back() -> Result<()> {
    let _alone = INSTALLATION.lock().await;
    let system = Bed::existing("istio-system").await?;
    let pods = Installed::look(&system).await?.pods();
    for (release, chart) in RELEASES {
        upgrade(release, chart, &["--take-ownership"]).await?;
    }
    let adopted = Installed::look(&system).await?;
    let restarted = adopted.clone().pods().changes_since(&pods);
    ensure!(restarted.is_empty(), "taking over: {restarted:#?}");
    for (release, chart) in RELEASES {
        upgrade(release, chart, &[]).await?;
    }
    let changes = Installed::look(&system).await?.changes_since(&adopted);
    ensure!(changes.is_empty(), "upgrading again: {changes:#?}");

    // The way back, as the documentation has it.
    system
        .kubectl(&["delete", "secret", "--selector", "owner=helm"])
        .await?;
    install(&[]).await?;
    let restarted = Installed::look(&system).await?.pods().changes_since(&pods);
    ensure!(restarted.is_empty(), "giving back: {restarted:#?}");
    ensure_unchanged(&install(&[]).await?)
}

#[tokio::test]
async fn workloads_injected_by_hand_are_in_the_mesh() -> Result<()> {
    let bed = Bed::plain("by-hand").await?;
    let mut objects = deployment("web", 1, &template("web", &ECHO));
    objects.push(service("web", &PORTS));
    objects.extend(client("client"));
    let list = json!({ "apiVersion": "v1", "kind": "List", "items": objects });
    let folder = tempfile::tempdir()?;
    let (plain, injected) = (
        folder.path().join("plain.json"),
        folder.path().join("injected.yaml"),
    );
    std::fs::write(&plain, list.to_string())?;
    let inject = ["kube-inject", "--namespace", &bed.namespace, "--filename"];
    let printed = bed::run(lateenctl(&inject).arg(&plain)).await?.stdout()?;
    std::fs::write(&injected, printed)?;
    let file = injected.display().to_string();
    bed.kubectl(&["apply", "--filename", &file]).await?;

    let scene = Scene::found(bed, 1).await?;
    let sent = scene
        .http("http://web:8080/", &["--requests", "10"])
        .await?
        .all_succeeded()?;
    bed::eventually("requests over mutual TLS", async || {
        let labels = [("connection_security_policy", "mutual_tls")];
        let served = scene.served(&labels).await?;
        ensure!(served >= 10.0, "{served} of {}", sent.requests);
        Ok(())
    })
    .await?;
    scene.bed.end().await
}

fn ensure_unchanged(told: &str) -> Result<()> {
    let last = told
        .lines()
        .find(|line| line.contains("Installation complete"));
    let last = last.with_context(|| format!("no end is told: {told}"))?;
    ensure!(
        last.contains("unchanged") && !last.contains("configured") && !last.contains("created"),
        "{told}"
    );
    Ok(())
}

async fn upgrade(release: &str, chart: &str, flags: &[&str]) -> Result<()> {
    let (hub, tag) = bed::hub_and_tag();
    // Where kubectl is ours, so is helm.
    let kubectl = std::env::var_os("KUBECTL").map(PathBuf::from);
    let helm = kubectl.map_or_else(|| "helm".into(), |kubectl| kubectl.with_file_name("helm"));
    let mut helm = Command::new(helm);
    helm.args([
        "upgrade",
        "--install",
        "--namespace",
        "istio-system",
        release,
    ])
    .arg(checkout().join("charts").join(chart))
    .args(flags);
    if chart == "istiod" {
        helm.args(values(&hub, &tag));
    }
    bed::run(&mut helm).await?.stdout().map(drop)
}
