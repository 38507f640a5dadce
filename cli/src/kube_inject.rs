//! `lateenctl kube-inject`: adds the sidecar to the workloads of a file, as the injector would.
//! Standard output is YAML only. Whoever injects by hand has decided: the policy and the selectors
//! of the configuration do not apply, what a pod says of itself does.

use std::io::Read;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::{ConfigMap, Node};
use kube::api::ListParams;
use kube::{Api, Client, ResourceExt};
use lateen_webhook::config::{Config, Policy, Sources};
use lateen_webhook::native::{Kubelets, NativeSidecars};
use lateen_webhook::parameters::Parameters;
use lateen_webhook::{Injector, Target, kube_inject};
use lateen_wire::names;

use crate::arguments::{Connection, KubeInject};
use crate::cluster::connect;
use crate::console::Console;

/// Namespace of manifests that name none, where no flag and no context tells.
const DEFAULT_NAMESPACE: &str = "default";

/// Injects the workloads of a file.
///
/// # Errors
/// A file or the cluster's configuration cannot be read, the configuration cannot be used, or a pod
/// has annotations with values they cannot have.
pub async fn run(connection: &Connection, options: &KubeInject, console: &Console) -> Result<()> {
    let revision = options.revision.as_deref().unwrap_or_default();
    ensure!(
        ["", names::DEFAULT_REVISION].contains(&revision),
        "revision {revision:?}: only the default revision can be used so far"
    );
    let manifests = read(&options.filename)?;
    let settings = Settings::gather(connection, options, console).await?;
    let injector = settings.injector(console)?;
    let target = Target {
        namespace: &settings.namespace,
        parameters: &Parameters::default(),
        kubelets: &settings.kubelets,
        owner: None,
    };
    let injected = kube_inject(&manifests, &injector, &target)
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

/// What injection depends on, from files or from the cluster.
struct Settings {
    mesh: String,
    config: String,
    values: String,
    namespace: String,
    kubelets: Kubelets,
}

impl Settings {
    /// Reads the files that are named and asks the cluster for the rest; if all files are named,
    /// there need not be a cluster.
    async fn gather(
        connection: &Connection,
        options: &KubeInject,
        console: &Console,
    ) -> Result<Self> {
        let file = |path: &Option<_>| path.as_deref().map(read).transpose();
        let mesh = file(&options.mesh_config_file)?;
        let config = file(&options.inject_config_file)?;
        let values = file(&options.values_file)?;
        if let (Some(mesh), Some(config), Some(values)) = (&mesh, &config, &values) {
            return Ok(Self {
                mesh: mesh.clone(),
                config: config.clone(),
                values: values.clone(),
                namespace: connection
                    .namespace
                    .clone()
                    .unwrap_or_else(|| DEFAULT_NAMESPACE.to_owned()),
                kubelets: Kubelets::default(),
            });
        }

        let client = connect(connection).await?;
        let live = Live {
            client: &client,
            namespace: connection.system_namespace(),
        };
        let (mesh_map, injector_map) = (
            &options.mesh_config_map_name,
            &options.inject_config_map_name,
        );
        Ok(Self {
            mesh: live.or_key(mesh, mesh_map, "mesh").await?,
            config: live.or_key(config, injector_map, "config").await?,
            values: live.or_key(values, injector_map, "values").await?,
            namespace: connection
                .namespace
                .clone()
                .unwrap_or_else(|| client.default_namespace().to_owned()),
            kubelets: live.kubelets(console).await,
        })
    }

    fn injector(&self, console: &Console) -> Result<Injector> {
        let sources = Sources {
            config: &self.config,
            values: &self.values,
            mesh: &self.mesh,
        };
        let (mut config, notices) = Config::parse(sources)?;
        notices.iter().for_each(|notice| console.warning(notice));
        config.injection.policy = Policy::Enabled;
        config.injection.never_inject.clear();
        config.injection.always_inject.clear();
        Ok(Injector::new(config, NativeSidecars::Auto)?)
    }
}

/// The configuration of a cluster.
struct Live<'a> {
    client: &'a Client,
    namespace: &'a str,
}

impl Live<'_> {
    /// The text that is given, or else one key of a ConfigMap.
    async fn or_key(&self, given: Option<String>, name: &str, key: &str) -> Result<String> {
        if let Some(given) = given {
            return Ok(given);
        }
        let maps: Api<ConfigMap> = Api::namespaced(self.client.clone(), self.namespace);
        let map = maps.get(name).await.with_context(|| {
            format!(
                "cannot read ConfigMap {}/{name}; is the mesh installed there, or is -i another?",
                self.namespace
            )
        })?;
        let text = map.data.and_then(|mut data| data.remove(key));
        text.with_context(|| format!("ConfigMap {}/{name} has no key {key}", self.namespace))
    }

    /// The kubelets, which decide whether native sidecars are possible. Who may not list nodes gets
    /// what a new cluster gets.
    async fn kubelets(&self, console: &Console) -> Kubelets {
        let mut kubelets = Kubelets::default();
        let nodes: Api<Node> = Api::all(self.client.clone());
        match nodes.list(&ListParams::default()).await {
            Ok(nodes) => nodes.iter().for_each(|node| {
                let info = node
                    .status
                    .as_ref()
                    .and_then(|status| status.node_info.as_ref());
                kubelets.insert(
                    &node.name_any(),
                    info.map_or("", |info| &info.kubelet_version),
                );
            }),
            Err(error) => console.warning(&format!(
                "Cannot list nodes, so their kubelets are taken to run native sidecars: {error}"
            )),
        }
        kubelets
    }
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
