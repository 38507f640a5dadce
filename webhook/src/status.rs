//! Annotation `sidecar.istio.io/status`: what was injected, so that a later injection finds it.

use k8s_openapi::api::core::v1::{Container, Pod, PodSpec};
use serde::{Deserialize, Serialize};

use lateen_wire::names;

use crate::overrides::is_ours;

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
    /// The status of a pod. One that cannot be read counts for nothing.
    pub(crate) fn of(pod: &Pod) -> Option<Self> {
        serde_json::from_str(pod.metadata.annotations.as_ref()?.get(names::STATUS)?).ok()
    }

    /// Notes what a custom template adds, but for what it changes of the proxy's own containers.
    pub(crate) fn note(&mut self, template: &PodSpec) {
        let containers = |list: &[Container]| {
            let others = list.iter().filter(|container| !is_ours(container));
            others.map(|new| new.name.clone()).collect()
        };
        add(&mut self.containers, containers(&template.containers));
        let init_containers = template.init_containers.as_deref().unwrap_or_default();
        add(&mut self.init_containers, containers(init_containers));
        let volumes = template.volumes.iter().flatten();
        let volumes = volumes.map(|new| new.name.clone());
        add(&mut self.volumes, volumes.collect());
        let secrets = template.image_pull_secrets.iter().flatten();
        let secrets = secrets.map(|new| new.name.clone());
        add(&mut self.image_pull_secrets, secrets.collect());
    }

    /// Adds what another has noted.
    pub(crate) fn extend(&mut self, other: &Self) {
        let pairs = [
            (&mut self.init_containers, &other.init_containers),
            (&mut self.containers, &other.containers),
            (&mut self.volumes, &other.volumes),
            (&mut self.image_pull_secrets, &other.image_pull_secrets),
        ];
        for (list, new) in pairs {
            add(list, new.clone().unwrap_or_default());
        }
    }

    /// Whether a container was injected.
    pub(crate) fn lists(&self, container: &str) -> bool {
        let lists = [&self.containers, &self.init_containers];
        let mut names = lists.into_iter().flatten().flatten();
        names.any(|name| name == container)
    }

    /// Whether a volume was injected.
    pub(crate) fn lists_volume(&self, volume: &str) -> bool {
        let mut names = self.volumes.iter().flatten();
        names.any(|name| name == volume)
    }

    /// The annotation.
    pub(crate) fn annotation(&self) -> Option<(String, String)> {
        Some((names::STATUS.to_owned(), serde_json::to_string(self).ok()?))
    }
}

fn add(list: &mut Option<Vec<String>>, new: Vec<String>) {
    for name in new {
        let names = list.get_or_insert_default();
        if !names.contains(&name) {
            names.push(name);
        }
    }
}

/// The names in a list, `None` if there are none.
pub(crate) fn names(list: impl IntoIterator<Item = String>) -> Option<Vec<String>> {
    let names: Vec<String> = list.into_iter().collect();
    (!names.is_empty()).then_some(names)
}
