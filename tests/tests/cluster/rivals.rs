//! A second injector that claims the same pods, as when an old installation was left behind.

use anyhow::{Context as _, Result, bail, ensure};
use k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration;
use k8s_openapi::api::core::v1::Pod;
use kube::api::DeleteParams;
use kube::{Api, ResourceExt as _};
use lateen_tests::bed::admission::injected_by;
use lateen_tests::bed::manifest::{merge, pod, service_account, template};
use lateen_tests::bed::{self, Bed, lateenctl};
use lateen_wire::names::{INIT_CONTAINER, PROXY_CONTAINER};
use serde_json::{Value, json};

/// A label of pods that the second injector is asked about in vain, which shows that it is asked.
const ASKED: &str = "lateen.test/asked";

/// The installation's own configuration once more under another name, for the namespace of `bed`, and
/// an entry without a server.
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
    let entries = entries.context("no entries")?;
    for entry in &mut *entries {
        entry["namespaceSelector"] = here.clone();
        entry["objectSelector"] = json!({});
        entry["reinvocationPolicy"] = json!("IfNeeded");
    }
    let mut nobody = entries.first().context("no entry")?.clone();
    nobody["name"] = json!("nobody.lateen.test");
    nobody["objectSelector"] = json!({ "matchLabels": { ASKED: "true" } });
    nobody["clientConfig"]["service"]["name"] = json!("nobody");
    entries.push(nobody);
    Ok(configuration)
}

/// Waits until the API server goes by what was stored a moment ago.
async fn in_force(bed: &Bed, web: &Value) -> Result<()> {
    let mut asked = web.clone();
    merge(
        &mut asked,
        json!({ "metadata": { "labels": { ASKED: "true" } } }),
    );
    bed::eventually("the second injector is asked", async || {
        match bed.admit(&asked).await {
            Err(error) if error.to_string().contains("nobody.lateen.test") => Ok(()),
            other => bail!("{:?}", other.map(|pod| pod.name_any())),
        }
    })
    .await
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
    in_force(&bed, &web).await?;

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
