//! The injector's configuration: what it says is so for new pods. Where it is spoilt or deleted, the
//! last good one stays in force, and people are told where they look.

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{DeleteParams, Patch, PatchParams};
use lateen_tests::bed::installation::install;
use lateen_tests::bed::manifest::merge;
use lateen_tests::bed::{Backend, Bed, eventually};
use serde_json::{Value, json};

use crate::mesh::{
    INJECTOR, INJECTORS, admitted, kill, names, newcomers, rolled_out, system, unready, with_pod,
};

/// Both the ConfigMap and what it is the configuration of.
const NAME: &str = INJECTOR;

#[tokio::test]
async fn a_spoilt_configuration_is_refused_whole_and_told() -> Result<()> {
    let (bed, pod) = with_pod("spoilt").await?;
    let system = system().await?;
    let refused = refused_configurations(&system).await?;
    let spoilt = Patch::Merge(json!({ "data": { "values": "{\"global\":" } }));
    let (maps, parameters) = (system.api::<ConfigMap>(), PatchParams::default());
    maps.patch(NAME, &parameters, &spoilt).await?;
    let told = async {
        event(&system, "InvalidInjectionConfig").await?;
        eventually("a count of what was refused", async || {
            let now = refused_configurations(&system).await?;
            ensure!(now > refused, "{now} as before");
            Ok(())
        })
        .await?;
        admitted(&bed, &pod).await
    }
    .await;
    // What was changed by hand is overwritten only for those who say so.
    install(&["--force"]).await?;
    told?;
    admitted(&bed, &pod).await?;
    bed.end().await
}

/// Waits for an event about the ConfigMap.
async fn event(system: &Bed, reason: &str) -> Result<()> {
    eventually("an event about the ConfigMap", async || {
        let about = format!("configmap/{NAME}");
        let events = system.kubectl(&["events", "--for", &about]).await?;
        ensure!(events.contains(reason), "{reason} is missing in: {events}");
        Ok(())
    })
    .await
}

/// How many configurations all replicas have refused.
async fn refused_configurations(system: &Bed) -> Result<f64> {
    let mut sum = 0.0;
    for pod in names(system, INJECTORS).await? {
        let metrics = system.metrics_at(&pod, 15014, "/metrics").await?;
        sum += metrics.sum("sidecar_injection_refused_configurations_total", &[]);
    }
    Ok(sum)
}

#[tokio::test]
async fn a_deleted_configuration_stays_in_force_until_it_is_installed_again() -> Result<()> {
    let (bed, pod) = with_pod("deleted").await?;
    let system = system().await?;
    system
        .api::<ConfigMap>()
        .delete(NAME, &DeleteParams::default())
        .await?;
    event(&system, "MissingInjectionConfig").await?;
    admitted(&bed, &pod).await?;

    // A replica that starts now has never known it: nobody asks it, and it says why.
    let replicas = names(&system, INJECTORS).await?;
    kill(&system, &replicas[0]).await?;
    for new in newcomers(&system, INJECTORS, &replicas).await? {
        unready(&system, &new, "no valid injection configuration").await?;
    }
    admitted(&bed, &pod).await?;

    install(&[]).await?;
    rolled_out(&system, INJECTOR).await?;
    admitted(&bed, &pod).await?;
    bed.end().await
}

#[tokio::test]
async fn the_installations_back_end_is_that_of_new_pods() -> Result<()> {
    let (bed, pod) = with_pod("backend").await?;
    let flag = Some("--backend=nftables");
    let chosen = async {
        install(&["--set", "global.proxy_init.backend=nftables"]).await?;
        admitted_with(&bed, &pod, flag).await?;
        // A pod that asks for the other one gets what the installation says.
        let mut pod = pod.clone();
        merge(&mut pod, Backend::Iptables.change(&[]));
        bed.apply([pod]).await?;
        bed.ready("app=web", 1).await?;
        bed.redirected_by("web", Backend::Nftables).await
    }
    .await;
    install(&[]).await?;
    chosen?;
    admitted_with(&bed, &pod, None).await?;
    bed.end().await
}

/// Waits until new pods have this choice of a back end, or none.
async fn admitted_with(bed: &Bed, pod: &Value, flag: Option<&str>) -> Result<()> {
    eventually(&format!("pods with {flag:?}"), async || {
        let mut pod = pod.clone();
        merge(&mut pod, json!({ "metadata": { "name": "another" } }));
        let spec = bed.admit(&pod).await?.spec;
        let init = spec.and_then(|spec| spec.init_containers);
        let mut arguments = init.into_iter().flatten().flat_map(|one| one.args);
        let arguments = arguments.next().context("no istio-init")?;
        let given = arguments.iter().find(|one| one.starts_with("--backend"));
        ensure!(given.map(String::as_str) == flag, "{arguments:?}");
        Ok(())
    })
    .await
}
