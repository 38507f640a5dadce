//! Namespaces under a Pod Security level: pods that need no redirection of their own run, and others
//! are refused in words that name what is not allowed.

use anyhow::{Result, ensure};
use lateen_tests::bed::manifest::{deployment, merge, pod, service_account, template};
use lateen_tests::bed::{Bed, eventually};
use serde_json::{Value, json};

/// What redirection needs and the level `baseline` forbids.
const FORBIDDEN: [&str; 4] = ["baseline", "istio-init", "NET_ADMIN", "NET_RAW"];

async fn baseline(test: &str) -> Result<Bed> {
    let labels = json!({
        "istio-injection": "enabled",
        "pod-security.kubernetes.io/enforce": "baseline",
    });
    let bed = Bed::labelled(test, labels).await?;
    bed.apply([service_account("web")]).await?;
    Ok(bed)
}

fn web(annotations: &Value) -> Value {
    let mut template = template("web", &["echo", "--http", "8080"]);
    merge(
        &mut template,
        json!({ "metadata": { "annotations": annotations } }),
    );
    template
}

#[tokio::test]
async fn pods_without_redirection_run_under_baseline() -> Result<()> {
    let bed = baseline("baseline").await?;
    for native in ["true", "false"] {
        let annotations = json!({
            "sidecar.istio.io/interceptionMode": "NONE",
            "sidecar.istio.io/nativeSidecar": native,
        });
        let name = format!("native-{native}");
        bed.apply([pod(&name, &web(&annotations))]).await?;
    }
    bed.ready("app=web", 2).await?;
    let listed = bed.kubectl(&["get", "pods", "--no-headers"]).await?;
    ensure!(listed.lines().all(|line| line.contains("2/2")), "{listed}");
    bed.end().await
}

#[tokio::test]
async fn pods_that_may_not_be_redirected_are_refused_with_the_reason() -> Result<()> {
    let bed = baseline("refused").await?;
    for annotations in [
        json!({}),
        json!({ "sidecar.istio.io/nativeSidecar": "false" }),
        json!({ "sidecar.istio.io/interceptionMode": "TPROXY" }),
    ] {
        let refused = bed.admit(&pod("web", &web(&annotations))).await;
        let said = refused.map_or_else(|error| error.to_string(), |_| "accepted".to_owned());
        for part in FORBIDDEN {
            ensure!(said.contains(part), "{part} is missing in: {said}");
        }
    }
    // Whoever creates a Deployment reads it where pods are missing.
    bed.apply(deployment("web", 1, &web(&json!({})))).await?;
    eventually("an event that says why there is no pod", async || {
        let events = bed.kubectl(&["events", "--types=Warning"]).await?;
        for part in ["FailedCreate"].iter().chain(&FORBIDDEN) {
            ensure!(events.contains(part), "{part} is missing in: {events}");
        }
        Ok(())
    })
    .await?;
    bed.end().await
}
