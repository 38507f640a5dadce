//! `lateenctl kube-inject`: adds the sidecar to the workloads of a file, as the injector would.
//! Standard output is YAML only. Whoever injects by hand has decided: the policy and the selectors
//! of the configuration do not apply, what a pod says of itself does.

mod live;
mod settings;
mod surroundings;

use std::io::Read;
use std::path::Path;

use anyhow::{Context, Result};
use lateen_webhook::parameters::Parameters;
use lateen_webhook::{Manifests, Target, kube_inject};

use crate::arguments::{Connection, KubeInject};
use crate::console::Console;
use settings::Settings;
use surroundings::Surroundings;

/// Injects the workloads of a file.
///
/// # Errors
/// A file or the cluster's configuration cannot be read, the configuration cannot be used, or a pod
/// has annotations with values they cannot have.
pub async fn run(connection: &Connection, options: &KubeInject, console: &Console) -> Result<()> {
    if let Some(flag) = options.discovery.first_given() {
        console.warning(&format!(
            "{flag} has no effect: injection happens here, with the configuration of the injector."
        ));
    }
    let manifests = read(&options.filename)?;
    let settings = Settings::gather(connection, options, console).await?;
    let injected = inject(&manifests, &settings, console)
        .await
        .with_context(|| format!("cannot inject {}", options.filename.display()))?;
    injected
        .notices
        .iter()
        .for_each(|notice| console.warning(notice));
    match &options.output {
        None => console.result(&injected.yaml),
        Some(file) => std::fs::write(file, &injected.yaml)
            .with_context(|| format!("cannot write {}", file.display())),
    }
}

/// The manifests with sidecars, by all that is known of the cluster.
async fn inject(manifests: &str, settings: &Settings, console: &Console) -> Result<Manifests> {
    let injector = settings.injector(console)?;
    let on_openshift = injector.config().values.global.is_openshift();
    let surroundings = match &settings.client {
        Some(client) => Surroundings::of(client, on_openshift).await,
        None => Surroundings::unknown(on_openshift),
    };
    let target = Target {
        namespace: &settings.namespace,
        parameters: &Parameters::default(),
        cluster: &surroundings.cluster,
        owner: None,
    };
    let mut injected = kube_inject(manifests, &injector, &target)?;
    injected.notices.splice(..0, surroundings.notices);
    Ok(injected)
}

/// The content of a file, `-` being standard input.
fn read(path: &Path) -> Result<String> {
    let mut text = String::new();
    let outcome = if path == Path::new("-") {
        std::io::stdin().lock().read_to_string(&mut text).map(drop)
    } else {
        std::fs::read_to_string(path).map(|content| text = content)
    };
    outcome.with_context(|| format!("cannot read {}", path.display()))?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::fake_cluster::FakeCluster;

    #[tokio::test]
    async fn pods_get_what_the_cluster_says_of_proxies() {
        let config = json!({"apiVersion": "networking.istio.io/v1beta1", "kind": "ProxyConfig",
            "metadata": {"namespace": "shop", "name": "all"}, "spec": {"concurrency": 3}});
        let settings = Settings {
            mesh: String::new(),
            config: String::new(),
            values: String::new(),
            namespace: "shop".to_owned(),
            client: Some(FakeCluster::with([config]).client()),
        };
        let pod =
            "{apiVersion: v1, kind: Pod, metadata: {name: web}, spec: {containers: [{name: web}]}}";
        let injected = inject(pod, &settings, &Console::for_terminal()).await;
        let injected = injected.unwrap();
        assert!(
            injected.yaml.contains(r#""{\"concurrency\":3}""#),
            "{}",
            injected.yaml
        );
        assert_eq!(injected.notices, Vec::<String>::new());
    }
}
