//! Namespaces under a Pod Security level: gateways and pods that need no redirection of their own run
//! where Istio's would, and others are refused in words that name what is not allowed.

use anyhow::{Context as _, Result, ensure};
use lateen_tests::bed::admission::sidecar;
use lateen_tests::bed::manifest::{deployment, merge, pod, service_account, template};
use lateen_tests::bed::{Bed, eventually};
use serde_json::{Value, json};

/// What redirection needs and the level `baseline` forbids.
const FORBIDDEN: [&str; 4] = ["baseline", "istio-init", "NET_ADMIN", "NET_RAW"];

/// What the level `restricted` asks for, and a gateway does not say by itself.
const HARDENING: [&str; 5] = [
    "restricted",
    "allowPrivilegeEscalation",
    "capabilities.drop",
    "runAsNonRoot",
    "seccompProfile",
];

async fn enforced(level: &str, test: &str) -> Result<Bed> {
    let labels = json!({
        "istio-injection": "enabled",
        "pod-security.kubernetes.io/enforce": level,
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

/// A gateway as people write it down, to be completed by the template `gateway`.
fn gateway() -> Value {
    json!({
        "metadata": {
            "labels": { "app": "web" },
            "annotations": { "inject.istio.io/templates": "gateway" },
        },
        "spec": {
            "serviceAccountName": "web",
            // What is absent here the API server fills in first, and takes `auto` for an image without a tag.
            "containers": [
                { "name": "istio-proxy", "image": "auto", "imagePullPolicy": "IfNotPresent" },
            ],
        }
    })
}

/// What Istio's chart of a gateway says of the container, and of the pod where the level asks for it.
fn hardened(mut template: Value) -> Value {
    let container = json!({
        "allowPrivilegeEscalation": false, "capabilities": { "drop": ["ALL"] },
        "privileged": false, "readOnlyRootFilesystem": true, "runAsNonRoot": true,
    });
    let seccomp = json!({ "seccompProfile": { "type": "RuntimeDefault" } });
    merge(
        &mut template,
        json!({ "spec": { "securityContext": seccomp } }),
    );
    merge(
        &mut template["spec"]["containers"][0],
        json!({ "securityContext": container }),
    );
    template
}

/// Makes a pod of each template, and waits until all of them are ready.
async fn run(bed: &Bed, templates: &[(&str, Value)]) -> Result<()> {
    for (name, template) in templates {
        bed.apply([pod(name, template)]).await?;
    }
    for pod in bed.ready("app=web", templates.len()).await? {
        let proxy = sidecar(&pod).context("a pod without a sidecar")?;
        ensure!(proxy.image != Some("auto".to_owned()), "{proxy:?}");
    }
    Ok(())
}

/// Asks for a pod, and looks for `parts` in the words that it is refused with.
async fn refused(bed: &Bed, template: &Value, parts: &[&str]) -> Result<()> {
    let refused = bed.admit(&pod("web", template)).await;
    let said = refused.map_or_else(|error| error.to_string(), |_| "accepted".to_owned());
    for part in parts {
        ensure!(said.contains(part), "{part} is missing in: {said}");
    }
    Ok(())
}

/// Pods whose proxy does not redirect, in both forms.
fn without_redirection() -> [(&'static str, Value); 2] {
    [("native", "true"), ("classic", "false")].map(|(name, native)| {
        let annotations = json!({
            "sidecar.istio.io/interceptionMode": "NONE",
            "sidecar.istio.io/nativeSidecar": native,
        });
        (name, web(&annotations))
    })
}

#[tokio::test]
async fn pods_without_redirection_run_under_baseline() -> Result<()> {
    let bed = enforced("baseline", "baseline").await?;
    run(&bed, &without_redirection()).await?;
    bed.end().await
}

#[tokio::test]
async fn pods_without_redirection_run_under_restricted_where_they_would_alone() -> Result<()> {
    let bed = enforced("restricted", "restricted").await?;
    let pods = without_redirection().map(|(name, template)| (name, hardened(template)));
    run(&bed, &pods).await?;
    bed.end().await
}

#[tokio::test]
async fn gateways_run_under_baseline() -> Result<()> {
    let bed = enforced("baseline", "gateway-baseline").await?;
    let gateways = [("plain", gateway()), ("hardened", hardened(gateway()))];
    run(&bed, &gateways).await?;
    bed.end().await
}

#[tokio::test]
async fn gateways_run_under_restricted_where_their_manifest_is_hardened() -> Result<()> {
    let bed = enforced("restricted", "gateway-restricted").await?;
    refused(&bed, &gateway(), &HARDENING).await?;
    run(&bed, &[("hardened", hardened(gateway()))]).await?;
    bed.end().await
}

#[tokio::test]
async fn pods_that_may_not_be_redirected_are_refused_with_the_reason() -> Result<()> {
    let bed = enforced("baseline", "refused").await?;
    for annotations in [
        json!({}),
        json!({ "sidecar.istio.io/nativeSidecar": "false" }),
        json!({ "sidecar.istio.io/interceptionMode": "TPROXY" }),
    ] {
        refused(&bed, &web(&annotations), &FORBIDDEN).await?;
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
