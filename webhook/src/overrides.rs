//! Containers that a user gives our own names, `istio-proxy` and `istio-init`, to change what the
//! injector would write: the user's fields win.

use k8s_openapi::DeepMerge;
use k8s_openapi::api::core::v1::{Container, Lifecycle, PodSpec};
use serde::Serialize;

use lateen_wire::names;

/// The image that a user writes who wants the injector's.
const AUTOMATIC_IMAGE: &str = "auto";

/// The user's containers under our names, as annotation `proxy.istio.io/overrides` keeps them.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Overrides {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    containers: Vec<Container>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    init_containers: Vec<Container>,
}

impl Overrides {
    /// The user's containers in a pod.
    pub(crate) fn of(spec: &PodSpec) -> Self {
        let pick = |containers: &[Container]| {
            let ours = containers.iter().filter(|container| is_ours(container));
            ours.cloned().collect()
        };
        Self {
            containers: pick(&spec.containers),
            init_containers: pick(spec.init_containers.as_deref().unwrap_or_default()),
        }
    }

    /// Takes them out of the pod.
    pub(crate) fn remove_from(spec: &mut PodSpec) {
        spec.containers.retain(|container| !is_ours(container));
        if let Some(containers) = &mut spec.init_containers {
            containers.retain(|container| !is_ours(container));
        }
    }

    /// The value of annotation `proxy.istio.io/overrides`, if there is something to keep.
    pub(crate) fn annotation(&self) -> Option<String> {
        if *self == Self::default() {
            None
        } else {
            serde_json::to_string(self).ok()
        }
    }

    /// The user that the proxy shall run as.
    pub(crate) fn proxy_user(&self) -> Option<i64> {
        self.find(names::PROXY_CONTAINER)?
            .security_context
            .as_ref()?
            .run_as_user
    }

    /// Lays the user's container of the same name over ours.
    pub(crate) fn apply(&self, container: &mut Container) {
        if let Some(user) = self.find(&container.name) {
            merge(container, user.clone());
        }
    }

    fn find(&self, name: &str) -> Option<&Container> {
        let mut both = self.containers.iter().chain(&self.init_containers);
        both.find(|container| container.name == name)
    }
}

/// Whether a container has one of our own names.
pub(crate) fn is_ours(container: &Container) -> bool {
    container.name == names::PROXY_CONTAINER || container.name == names::INIT_CONTAINER
}

/// Merges as Kubernetes does (variables by name, mounts by path), except for fields that allow one
/// of several members: there, adding the user's member to ours would allow two.
fn merge(ours: &mut Container, mut user: Container) {
    user.image = user.image.filter(|image| image != AUTOMATIC_IMAGE);
    if let Some(variables) = &mut ours.env {
        let replaced = |name: &str| {
            user.env
                .iter()
                .flatten()
                .any(|variable| variable.name == name)
        };
        for variable in variables
            .iter_mut()
            .filter(|variable| replaced(&variable.name))
        {
            variable.value = None;
            variable.value_from = None;
        }
    }
    if let (Some(ours), Some(user)) = (&mut ours.lifecycle, &mut user.lifecycle) {
        drop_replaced_hooks(ours, user);
    }
    for (ours, user) in [
        (&mut ours.liveness_probe, &user.liveness_probe),
        (&mut ours.readiness_probe, &user.readiness_probe),
        (&mut ours.startup_probe, &user.startup_probe),
    ] {
        if user.is_some() {
            *ours = None;
        }
    }
    ours.merge_from(user);
}

fn drop_replaced_hooks(ours: &mut Lifecycle, user: &Lifecycle) {
    if user.post_start.is_some() {
        ours.post_start = None;
    }
    if user.pre_stop.is_some() {
        ours.pre_stop = None;
    }
}
