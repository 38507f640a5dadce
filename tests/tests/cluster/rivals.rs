//! A second injector that claims the same pods, as when an old installation was left behind.

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::DeleteParams;
use lateen_tests::bed::admission::injected_by;
use lateen_tests::bed::manifest::{pod, service_account, template};
use lateen_tests::bed::{self, Bed, lateenctl};
use lateen_wire::names::{INIT_CONTAINER, PROXY_CONTAINER};
use serde_json::{Value, json};

/// The installation's own configuration once more under another name, for the namespace of `bed`.
async fn second_injector(bed: &Bed) -> Result<Value> {
    let own = [
        "get",
        "mutatingwebhookconfiguration",
        "istio-sidecar-injector",
    ];
    let printed = bed
        .kubectl(&[&own[..], &["--output", "json"]].concat())
        .await?;
    let mut configuration: Value = serde_json::from_str(&printed)?;
    let name = format!("second-injector-{}", bed.namespace);
    configuration["metadata"] = json!({ "name": name, "labels": { "istio.io/rev": "old" } });
    let here = json!({ "matchLabels": { "kubernetes.io/metadata.name": bed.namespace } });
    let entries = configuration["webhooks"].as_array_mut();
    for entry in entries.into_iter().flatten() {
        entry["namespaceSelector"] = here.clone();
        entry["objectSelector"] = json!({});
        entry["reinvocationPolicy"] = json!("IfNeeded");
    }
    Ok(configuration)
}

/// What a pod consists of, but for the name that the API server makes up for the volume of its token.
fn shape(pod: &Pod) -> Result<String> {
    let spec = pod.spec.as_ref().context("no spec")?;
    let volumes = spec.volumes.iter().flatten();
    let mut names = volumes.map(|volume| volume.name.as_str());
    let token = names.find(|name| name.starts_with("kube-api-access-"));
    let token = token.context("no volume of a token")?;
    Ok(serde_json::to_string_pretty(spec)?.replace(token, "kube-api-access"))
}

#[tokio::test]
async fn a_pod_claimed_by_two_injectors_has_one_sidecar() -> Result<()> {
    let bed = Bed::injected("rivals").await?;
    bed.apply([service_account("web")]).await?;
    let web = pod("web", &template("web", &["sleep"]));
    let alone = bed.admit(&web).await?;
    let second = second_injector(&bed).await?;
    bed.apply([second.clone()]).await?;

    let claimed = bed.admit(&web).await?;
    let spec = claimed.spec.clone().unwrap_or_default();
    let all = spec
        .init_containers
        .iter()
        .flatten()
        .chain(&spec.containers);
    let names: Vec<&str> = all.map(|container| container.name.as_str()).collect();
    ensure!(
        names == [INIT_CONTAINER, PROXY_CONTAINER, "app"],
        "{names:?}"
    );
    ensure!(injected_by(&claimed) == Some("default"), "{claimed:#?}");
    let (claimed, alone) = (shape(&claimed)?, shape(&alone)?);
    ensure!(claimed == alone, "{claimed}\nis not\n{alone}");

    // What shows that there are two.
    let name = second["metadata"]["name"].as_str().unwrap();
    let namespace = format!("namespace/{}", bed.namespace);
    let explained = bed::run(&mut lateenctl(&["check-inject", &namespace])).await?;
    ensure!(
        !explained.success,
        "two injectors are all right: {explained:?}"
    );
    for injector in ["istio-sidecar-injector", name] {
        ensure!(explained.stderr.contains(injector), "{explained:?}");
    }
    let api: Api<MutatingWebhookConfiguration> = Api::all(bed.client.clone());
    api.delete(name, &DeleteParams::default()).await?;
    bed.end().await
}
