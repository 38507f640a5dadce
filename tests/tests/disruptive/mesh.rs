//! The mesh's own Deployments: scaled, restarted and waited for.

use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use lateen_tests::bed::admission::sidecar;
use lateen_tests::bed::manifest::{pod, service_account, template};
use lateen_tests::bed::{Bed, eventually, is_ready, within};
use serde_json::{Value, json};

/// The Deployment of the injector.
pub(crate) const INJECTOR: &str = "istio-sidecar-injector";
/// Its pods.
pub(crate) const INJECTORS: &str = "istio=sidecar-injector";

/// Where the mesh lives.
pub(crate) async fn system() -> Result<Bed> {
    Bed::existing("istio-system").await
}

/// Waits until a Deployment of the mesh has all its replicas, of its newest template, and no pod is left
/// that goes.
pub(crate) async fn rolled_out(system: &Bed, name: &str) -> Result<()> {
    within(
        Duration::from_secs(180),
        &format!("roll-out of {name}"),
        async || {
            let deployment = system.api::<Deployment>().get(name).await?;
            let spec = deployment.spec.context("no spec")?;
            let wanted = spec.replicas.unwrap_or_default();
            let status = deployment.status.unwrap_or_default();
            let observed = status.observed_generation == deployment.metadata.generation;
            let updated = status.updated_replicas.unwrap_or_default() == wanted;
            ensure!(observed && updated, "{status:?}");
            // The pods themselves: the status may still be that of before one was killed.
            let labels = spec.selector.match_labels.unwrap_or_default();
            let labels: Vec<String> = labels
                .iter()
                .map(|(key, it)| format!("{key}={it}"))
                .collect();
            let selector = ListParams::default().labels(&labels.join(","));
            let pods = system.api::<Pod>().list(&selector).await?.items;
            let ready = pods.iter().filter(|pod| is_ready(pod)).count();
            let wanted = usize::try_from(wanted)?;
            ensure!(
                pods.len() == wanted && ready == wanted,
                "{ready} of {} pods are ready",
                pods.len()
            );
            Ok(())
        },
    )
    .await
}

/// Sets the number of replicas of a Deployment and waits until it has them.
pub(crate) async fn scale(system: &Bed, name: &str, replicas: usize) -> Result<()> {
    let patch = Patch::Merge(json!({ "spec": { "replicas": replicas } }));
    system
        .api::<Deployment>()
        .patch(name, &PatchParams::default(), &patch)
        .await?;
    rolled_out(system, name).await
}

/// Sets an environment variable of a Deployment's only container, or removes it.
pub(crate) async fn set_variable(
    system: &Bed,
    name: &str,
    variable: &str,
    value: Option<&str>,
) -> Result<()> {
    let assignment = match value {
        Some(value) => format!("{variable}={value}"),
        None => format!("{variable}-"),
    };
    system
        .kubectl(&["set", "env", &format!("deployment/{name}"), &assignment])
        .await?;
    rolled_out(system, name).await
}

/// Kills a pod without a word of warning (SIGKILL).
pub(crate) async fn kill(bed: &Bed, pod: &str) -> Result<()> {
    let now = DeleteParams::default().grace_period(0);
    bed.api::<Pod>().delete(pod, &now).await?;
    Ok(())
}

/// Waits for pods that were not there before.
pub(crate) async fn newcomers(bed: &Bed, selector: &str, before: &[String]) -> Result<Vec<String>> {
    eventually(&format!("new pods {selector}"), async || {
        let mut pods = names(bed, selector).await?;
        pods.retain(|name| !before.contains(name));
        ensure!(!pods.is_empty(), "there are none");
        Ok(pods)
    })
    .await
}

/// Waits until a replica of the injector says why nobody should ask it.
pub(crate) async fn unready(system: &Bed, pod: &str, reason: &str) -> Result<()> {
    eventually(&format!("{pod} that is not ready"), async || {
        match system.get(pod, 15014, "/ready").await {
            Ok(said) => bail!("it says {said}"),
            Err(error) => {
                let said = format!("{error:#}");
                ensure!(said.contains("503") && said.contains(reason), "{said}");
                Ok(())
            }
        }
    })
    .await
}

/// A namespace with injection, and a pod that can be created in it.
pub(crate) async fn with_pod(test: &str) -> Result<(Bed, Value)> {
    let bed = Bed::injected(test).await?;
    bed.apply([service_account("web")]).await?;
    Ok((bed, pod("web", &template("web", &["sleep"]))))
}

/// Waits until pods are injected.
pub(crate) async fn admitted(bed: &Bed, pod: &Value) -> Result<()> {
    eventually("a pod with a sidecar", async || {
        let pod = bed.admit(pod).await?;
        ensure!(sidecar(&pod).is_some(), "it has none");
        Ok(())
    })
    .await
}

/// Names of the pods that a selector finds.
pub(crate) async fn names(bed: &Bed, selector: &str) -> Result<Vec<String>> {
    Ok(bed
        .pods(selector)
        .await?
        .iter()
        .map(|pod| pod.name_any())
        .collect())
}
