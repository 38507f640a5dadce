//! Every kind of workload in a labelled namespace gets a sidecar, and unlabelled ones stay untouched.

use anyhow::{Result, ensure};
use kube::ResourceExt as _;
use lateen_tests::bed::admission::sidecar;
use lateen_tests::bed::manifest::{self, deployment, template, workload};
use lateen_tests::bed::{Bed, PATIENCE, within};
use serde_json::{Value, json};

const ECHO: [&str; 3] = ["echo", "--http", "8080"];

async fn ready_with_sidecar(bed: &Bed, app: &str, count: usize) -> Result<()> {
    for pod in bed.ready(&format!("app={app}"), count).await? {
        ensure!(sidecar(&pod).is_some(), "{} has no sidecar", pod.name_any());
    }
    Ok(())
}

#[tokio::test]
async fn a_deployment_gets_sidecars() -> Result<()> {
    let bed = Bed::injected("deployment").await?;
    bed.apply(deployment("web", 2, &template("web", &ECHO)))
        .await?;
    ready_with_sidecar(&bed, "web", 2).await?;
    let listed = bed.kubectl(&["get", "pods", "--no-headers"]).await?;
    ensure!(listed.lines().all(|line| line.contains("2/2")), "{listed}");
    bed.end().await
}

#[tokio::test]
async fn a_stateful_set_gets_sidecars() -> Result<()> {
    let bed = Bed::injected("statefulset").await?;
    let spec = json!({ "replicas": 2, "serviceName": "web" });
    bed.apply(workload(
        "StatefulSet",
        "web",
        &spec,
        &template("web", &ECHO),
    ))
    .await?;
    ready_with_sidecar(&bed, "web", 2).await?;
    bed.end().await
}

#[tokio::test]
async fn a_daemon_set_gets_sidecars() -> Result<()> {
    let bed = Bed::injected("daemonset").await?;
    let nodes: kube::Api<k8s_openapi::api::core::v1::Node> = kube::Api::all(bed.client.clone());
    let nodes = nodes
        .list(&kube::api::ListParams::default())
        .await?
        .items
        .len();
    bed.apply(workload(
        "DaemonSet",
        "web",
        &json!({}),
        &template("web", &ECHO),
    ))
    .await?;
    ready_with_sidecar(&bed, "web", nodes).await?;
    bed.end().await
}

#[tokio::test]
async fn a_bare_pod_gets_a_sidecar() -> Result<()> {
    let bed = Bed::injected("pod").await?;
    let pod = manifest::pod("web", &template("web", &ECHO));
    bed.apply([manifest::service_account("web"), pod]).await?;
    ready_with_sidecar(&bed, "web", 1).await?;
    bed.end().await
}

/// A template of a pod that sends one request through its sidecar and ends.
fn one_request() -> Value {
    let url = "http://web:8080/";
    let mut template = template(
        "caller",
        &["client", "http", "--url", url, "--timeout", "30"],
    );
    manifest::merge(
        &mut template,
        json!({ "spec": { "restartPolicy": "Never" } }),
    );
    template
}

async fn callee(bed: &Bed) -> Result<()> {
    bed.apply(deployment("web", 1, &template("web", &ECHO)))
        .await?;
    let service = manifest::service("web", &[("http", 8080, 8080)]);
    bed.apply([service, manifest::service_account("caller")])
        .await?;
    bed.serving("app=web", 1, 8080).await.map(drop)
}

#[tokio::test]
async fn a_job_with_a_sidecar_completes() -> Result<()> {
    let bed = Bed::injected("job").await?;
    callee(&bed).await?;
    bed.apply([json!({
        "apiVersion": "batch/v1", "kind": "Job", "metadata": { "name": "caller" },
        "spec": { "backoffLimit": 0, "template": one_request() },
    })])
    .await?;
    bed.completed("caller").await?;
    bed.end().await
}

#[tokio::test]
async fn a_cron_job_with_a_sidecar_completes() -> Result<()> {
    let bed = Bed::injected("cronjob").await?;
    callee(&bed).await?;
    bed.apply([json!({
        "apiVersion": "batch/v1", "kind": "CronJob", "metadata": { "name": "caller" },
        "spec": {
            "schedule": "* * * * *",
            "jobTemplate": { "spec": { "backoffLimit": 0, "template": one_request() } },
        },
    })])
    .await?;
    // A minute may go by until one is made.
    within(PATIENCE * 2, "a job of the CronJob", async || {
        let jobs = bed.api::<k8s_openapi::api::batch::v1::Job>();
        let jobs = jobs.list(&kube::api::ListParams::default()).await?;
        let done = jobs
            .iter()
            .any(|job| job.status.as_ref().is_some_and(|s| s.succeeded == Some(1)));
        ensure!(done, "no job has completed");
        Ok(())
    })
    .await?;
    bed.end().await
}

#[tokio::test]
async fn unlabelled_namespaces_stay_untouched() -> Result<()> {
    let bed = Bed::plain("unlabelled").await?;
    bed.apply(deployment("web", 1, &template("web", &ECHO)))
        .await?;
    let pods = bed.ready("app=web", 1).await?;
    ensure!(sidecar(&pods[0]).is_none(), "a sidecar was injected");
    let status = pods[0].annotations().get("sidecar.istio.io/status");
    ensure!(status.is_none(), "the pod has the annotation {status:?}");
    bed.end().await
}
