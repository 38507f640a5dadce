//! A place to test in: one namespace of a real cluster, with helpers to put objects there, wait for
//! them, run commands in pods and read what came out.
//!
//! The cluster is the one of `KUBECONFIG`; the images are `LATEEN_HUB/NAME:LATEEN_TAG`. `cargo xtask
//! test cluster` sets all three.

pub mod admission;
mod command;
mod endpoints;
pub mod inside;
pub mod installation;
pub mod manifest;
mod metrics;
mod redirection;
mod report;
pub mod scene;
pub mod secure;
mod seen;
pub mod token;
mod wait;

use std::env;
use std::time::Duration;

use anyhow::{Context as _, Result};
use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::api::{Api, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use kube::core::{GroupVersionKind, TypeMeta};
use kube::discovery::pinned_kind;
use kube::{Client, ResourceExt as _};
use serde_json::{Value, json};

pub use self::command::{Output, lateenctl, run};
pub use self::metrics::Metrics;
pub use self::redirection::Backend;
pub use self::report::Report;
pub use self::seen::Seen;
pub use self::wait::{eventually, is_ready, within};

/// How long a pod may take to be ready on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(120);
/// The field manager of everything that tests apply.
const MANAGER: &str = "lateen-tests";

/// One namespace of a cluster. It is deleted by [`Bed::end`], or with the cluster.
pub struct Bed {
    /// A client of the cluster with all rights.
    pub client: Client,
    /// The namespace.
    pub namespace: String,
}

impl Bed {
    /// A fresh namespace labelled `istio-injection=enabled`.
    ///
    /// # Errors
    /// When there is no cluster, or it refuses.
    pub async fn injected(test: &str) -> Result<Self> {
        Self::labelled(test, json!({ "istio-injection": "enabled" })).await
    }

    /// A fresh namespace without labels.
    ///
    /// # Errors
    /// When there is no cluster, or it refuses.
    pub async fn plain(test: &str) -> Result<Self> {
        Self::labelled(test, json!({})).await
    }

    /// A fresh namespace with these labels.
    ///
    /// # Errors
    /// When there is no cluster, or it refuses.
    pub async fn labelled(test: &str, labels: Value) -> Result<Self> {
        let client = client().await?;
        let namespace = format!("{test}-{:05x}", fastrand::u32(..0x10_0000));
        let object: Namespace =
            serde_json::from_value(json!({ "metadata": { "name": namespace, "labels": labels } }))?;
        Api::all(client.clone())
            .create(&PostParams::default(), &object)
            .await
            .with_context(|| format!("Creating the namespace {namespace}"))?;
        Ok(Self { client, namespace })
    }

    /// An existing namespace.
    ///
    /// # Errors
    /// When there is no cluster.
    pub async fn existing(namespace: &str) -> Result<Self> {
        Ok(Self {
            client: client().await?,
            namespace: namespace.to_owned(),
        })
    }

    /// A typed view of the namespace.
    #[must_use]
    pub fn api<K>(&self) -> Api<K>
    where
        K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// Applies objects of any kind, as `kubectl apply --server-side` does.
    ///
    /// # Errors
    /// When the API server refuses one; the message names it.
    pub async fn apply(&self, objects: impl IntoIterator<Item = Value>) -> Result<()> {
        for object in objects {
            let object: DynamicObject = serde_json::from_value(object)?;
            let api = self.dynamic(object.types.as_ref()).await?;
            let parameters = PatchParams::apply(MANAGER).force();
            let name = object.name_any();
            api.patch(&name, &parameters, &Patch::Apply(&object))
                .await
                .with_context(|| {
                    let kind = object
                        .types
                        .as_ref()
                        .map_or("object", |types| types.kind.as_str());
                    format!("Applying {kind} {name} in {}", self.namespace)
                })?;
        }
        Ok(())
    }

    async fn dynamic(&self, types: Option<&TypeMeta>) -> Result<Api<DynamicObject>> {
        let types = types.context("An object without apiVersion and kind cannot be applied")?;
        let kind = GroupVersionKind::try_from(types)?;
        let (resource, capabilities) = pinned_kind(&self.client, &kind).await?;
        Ok(match capabilities.scope {
            kube::discovery::Scope::Namespaced => {
                Api::namespaced_with(self.client.clone(), &self.namespace, &resource)
            }
            kube::discovery::Scope::Cluster => Api::all_with(self.client.clone(), &resource),
        })
    }

    /// The pods that a label selector finds, those on their way out left aside.
    ///
    /// # Errors
    /// When the API server does not answer.
    pub async fn pods(&self, selector: &str) -> Result<Vec<Pod>> {
        let pods = self
            .api::<Pod>()
            .list(&ListParams::default().labels(selector))
            .await?;
        Ok(pods
            .items
            .into_iter()
            .filter(|pod| pod.metadata.deletion_timestamp.is_none())
            .collect())
    }

    /// The one pod that a label selector finds.
    ///
    /// # Errors
    /// When there is none, or more than one.
    pub async fn pod(&self, selector: &str) -> Result<Pod> {
        let pods = self.pods(selector).await?;
        let count = pods.len();
        <[Pod; 1]>::try_from(pods)
            .map(|[pod]| pod)
            .map_err(|_| anyhow::anyhow!("{selector} finds {count} pods in {}", self.namespace))
    }

    /// Deletes the namespace without waiting for it to be gone.
    ///
    /// # Errors
    /// When the API server does not answer.
    pub async fn end(self) -> Result<()> {
        let api: Api<Namespace> = Api::all(self.client);
        api.delete(&self.namespace, &DeleteParams::background())
            .await?;
        Ok(())
    }
}

/// A client of the cluster under test.
///
/// # Errors
/// When `KUBECONFIG` names none, or it cannot be read.
pub async fn client() -> Result<Client> {
    env::var_os("KUBECONFIG")
        .context("KUBECONFIG is not set: run `cargo xtask test cluster`, which makes a cluster")?;
    Ok(Client::try_default().await?)
}

/// The full name of one of our images.
///
/// # Panics
/// As [`hub_and_tag`].
#[must_use]
pub fn image(name: &str) -> String {
    let (hub, tag) = hub_and_tag();
    format!("{hub}/{name}:{tag}")
}

/// Where our images are, and their tag.
///
/// # Panics
/// When `LATEEN_TAG` is not set: the tests cannot run without images.
#[must_use]
#[expect(clippy::panic, reason = "a test without images must fail, and say why")]
pub fn hub_and_tag() -> (String, String) {
    let hub = env::var("LATEEN_HUB").unwrap_or_else(|_| "lateen".to_owned());
    match env::var("LATEEN_TAG") {
        Ok(tag) => (hub, tag),
        Err(_) => panic!("LATEEN_TAG is not set: run `cargo xtask test cluster`"),
    }
}
