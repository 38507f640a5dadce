//! What the API server makes of a pod, the injector asked, without a pod that comes to be.

use k8s_openapi::api::core::v1::{Container, Pod};
use kube::ResourceExt as _;
use kube::api::PostParams;
use lateen_wire::names::{PROXY_CONTAINER, REVISION};
use serde_json::Value;

use super::Bed;

impl Bed {
    /// Creates a pod in a dry run (`dryRun=All`): it passes admission and is not stored. Its
    /// ServiceAccount must be there.
    ///
    /// # Errors
    /// When the API server, or whom it asks, refuses.
    pub async fn admit(&self, pod: &Value) -> anyhow::Result<Pod> {
        let dry_run = PostParams {
            dry_run: true,
            ..PostParams::default()
        };
        let pod = serde_json::from_value(pod.clone())?;
        Ok(self.api::<Pod>().create(&dry_run, &pod).await?)
    }
}

/// The sidecar of a pod, native or not.
#[must_use]
pub fn sidecar(pod: &Pod) -> Option<&Container> {
    let spec = pod.spec.as_ref()?;
    let init_containers = spec.init_containers.iter().flatten();
    let mut containers = spec.containers.iter().chain(init_containers);
    containers.find(|container| container.name == PROXY_CONTAINER)
}

/// The revision of the injector that injected a pod, if one has.
#[must_use]
pub fn injected_by(pod: &Pod) -> Option<&str> {
    pod.annotations().get(REVISION).map(String::as_str)
}
