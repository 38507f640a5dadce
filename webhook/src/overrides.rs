//! Containers that a user gives our own names, `istio-proxy` and `istio-init`, to change what the
//! injector would write: the user's fields win.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, PodSpec, SecurityContext};
use serde::{Deserialize, Serialize};

use lateen_wire::names;

use crate::error::Problem;
use crate::keys;
use crate::merge::{AUTOMATIC_IMAGE, lay_container};

/// The user's containers under our names, as annotation `proxy.istio.io/overrides` keeps them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Overrides {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    containers: Vec<Container>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    init_containers: Vec<Container>,
}

impl Overrides {
    /// The user's containers in a pod whose names are among those of the containers that are
    /// injected.
    pub(crate) fn of(spec: &PodSpec, injected: &[&str]) -> Self {
        let pick = |containers: &[Container]| {
            let mut ours = containers.to_vec();
            ours.retain(|container| injected.contains(&container.name.as_str()));
            ours
        };
        Self {
            containers: pick(&spec.containers),
            init_containers: pick(spec.init_containers.as_deref().unwrap_or_default()),
        }
    }

    /// Forgets user and group of a proxy that has the user of an application's container. OpenShift
    /// writes the same user into all containers, and redirection could not tell their traffic apart.
    pub(crate) fn forget_shared_user(&mut self, spec: &PodSpec) {
        let user = |container: &Container| container.security_context.as_ref()?.run_as_user;
        let others = spec
            .containers
            .iter()
            .chain(spec.init_containers.iter().flatten());
        let others: Vec<i64> = others
            .filter(|other| !is_ours(other))
            .filter_map(user)
            .collect();
        for own in self.containers.iter_mut().chain(&mut self.init_containers) {
            let is_shared = user(own).is_some_and(|user| others.contains(&user));
            if let Some(context) = own.security_context.as_mut().filter(|_| is_shared) {
                context.run_as_user = None;
                context.run_as_group = None;
            }
        }
    }

    /// Takes them out of the pod.
    pub(crate) fn remove_from(&self, spec: &mut PodSpec) {
        let stays = |container: &Container| self.find(&container.name).is_none();
        spec.containers.retain(stays);
        if let Some(containers) = &mut spec.init_containers {
            containers.retain(stays);
        }
    }

    /// Puts them back into a pod that an earlier injection took them out of, unless it has others by
    /// these names. A proxy is put where users write it.
    pub(crate) fn put_back(mut self, spec: &mut PodSpec) {
        let is_proxy = |container: &mut Container| container.name == names::PROXY_CONTAINER;
        self.containers
            .extend(self.init_containers.extract_if(.., is_proxy));
        let put = |containers: &mut Vec<Container>, kept: Vec<Container>| {
            for container in kept {
                if !containers.iter().any(|other| other.name == container.name) {
                    containers.push(container);
                }
            }
        };
        put(&mut spec.containers, self.containers);
        if !self.init_containers.is_empty() {
            put(
                spec.init_containers.get_or_insert_default(),
                self.init_containers,
            );
        }
    }

    /// The containers that an earlier injection has kept in its annotation.
    pub(crate) fn kept(annotations: &BTreeMap<String, String>) -> Result<Self, Problem> {
        let Some(text) = annotations.get(keys::OVERRIDES) else {
            return Ok(Self::default());
        };
        serde_json::from_slice(text.as_bytes()).map_err(|error| Problem {
            key: keys::OVERRIDES.to_owned(),
            value: text.clone(),
            allowed: format!("what an injector has written, or nothing at all ({error})"),
        })
    }

    /// The value of annotation `proxy.istio.io/overrides`, if there is something to keep. Istio looks
    /// for a native proxy among the init containers, and takes no image for its own.
    pub(crate) fn annotation(&self, native: bool) -> Option<String> {
        if *self == Self::default() {
            return None;
        }
        let mut kept = self.clone();
        if native {
            kept.init_containers.append(&mut kept.containers);
        }
        for container in kept.containers.iter_mut().chain(&mut kept.init_containers) {
            container.image = container
                .image
                .take()
                .filter(|image| image != AUTOMATIC_IMAGE);
        }
        serde_json::to_string(&kept).ok()
    }

    /// The user that the proxy shall run as.
    pub(crate) fn proxy_user(&self) -> Option<i64> {
        self.proxy_context()?.run_as_user
    }

    /// The group that the proxy shall run as.
    pub(crate) fn proxy_group(&self) -> Option<i64> {
        self.proxy_context()?.run_as_group
    }

    fn proxy_context(&self) -> Option<&SecurityContext> {
        self.find(names::PROXY_CONTAINER)?.security_context.as_ref()
    }

    /// Lays the user's container of the same name over ours.
    pub(crate) fn apply(&self, container: &mut Container) {
        if let Some(user) = self.find(&container.name) {
            lay_container(container, user.clone());
        }
    }

    fn find(&self, name: &str) -> Option<&Container> {
        let mut both = self.containers.iter().chain(&self.init_containers);
        both.find(|container| container.name == name)
    }
}

/// Whether a container has one of our own names.
pub(crate) fn is_ours(container: &Container) -> bool {
    let ours = [
        names::PROXY_CONTAINER,
        names::INIT_CONTAINER,
        names::VALIDATION_CONTAINER,
    ];
    ours.contains(&container.name.as_str())
}
