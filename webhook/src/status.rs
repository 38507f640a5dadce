//! Annotation `sidecar.istio.io/status`: what was injected, so that it is not injected twice.

use k8s_openapi::api::core::v1::{Container, Pod};
use serde::{Deserialize, Serialize};

use lateen_wire::names;

/// What was injected into a pod: names only. A list without names is written as `null`, as Istio
/// does.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Status {
    pub(crate) init_containers: Option<Vec<String>>,
    pub(crate) containers: Option<Vec<String>>,
    pub(crate) volumes: Option<Vec<String>>,
    pub(crate) image_pull_secrets: Option<Vec<String>>,
    #[serde(default)]
    pub(crate) revision: String,
}

impl Status {
    /// Whether a pod is injected already: it says so and has what it says. A status that came along
    /// with copied annotations, or that cannot be read, counts for nothing.
    pub(crate) fn holds_for(pod: &Pod) -> bool {
        Self::of(pod).is_some_and(|status| status.is_true_of(pod))
    }

    /// The annotation.
    pub(crate) fn annotation(&self) -> Option<(String, String)> {
        Some((names::STATUS.to_owned(), serde_json::to_string(self).ok()?))
    }

    fn of(pod: &Pod) -> Option<Self> {
        serde_json::from_str(pod.metadata.annotations.as_ref()?.get(names::STATUS)?).ok()
    }

    fn is_true_of(&self, pod: &Pod) -> bool {
        let Some(spec) = &pod.spec else { return false };
        let has = |containers: &[Container], listed: &Option<Vec<String>>| {
            let mut listed = listed.iter().flatten();
            listed.all(|name| containers.iter().any(|container| container.name == *name))
        };
        let init_containers = spec.init_containers.as_deref().unwrap_or_default();
        let mut listed = self
            .containers
            .iter()
            .chain(&self.init_containers)
            .flatten();
        listed.any(|name| name == names::PROXY_CONTAINER)
            && has(&spec.containers, &self.containers)
            && has(init_containers, &self.init_containers)
    }
}

/// The names in a list, `None` if there are none.
pub(crate) fn names<'a>(list: impl IntoIterator<Item = &'a str>) -> Option<Vec<String>> {
    let names: Vec<String> = list.into_iter().map(str::to_owned).collect();
    (!names.is_empty()).then_some(names)
}
