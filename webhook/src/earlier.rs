//! Takes an earlier injection, ours or Istio's, out of a pod, so that the pod can be injected as if it
//! had come new: by another revision, with another configuration, or after another webhook has added
//! a container.
//!
//! What was moved comes back to its place: probes and hooks from what the agent was told to ask, the
//! annotations for Prometheus from where the agent was told to scrape. Labels and other annotations
//! stay, since nobody can tell whose they are.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{Container, Pod, PodSpec};

use lateen_wire::names;

use crate::overrides::is_ours;
use crate::status::Status;
use crate::{hold, probes, prometheus};

/// The pod without an earlier injection; `None` if it shows no trace of one.
pub(crate) fn without_injection(pod: &Pod) -> Option<Pod> {
    let annotations = pod.metadata.annotations.as_ref()?;
    annotations.get(names::STATUS)?;
    let status = Status::of(pod).unwrap_or_default();
    let mut pod = pod.clone();
    let spec = pod.spec.get_or_insert_default();
    let proxy = take_containers(spec, &status);
    take_volumes(spec, &status);
    let told = |variable: &str| {
        let mut variables = proxy.iter().flat_map(|proxy| proxy.env.iter().flatten());
        let found = variables.find(|set| set.name == variable)?;
        Some(found.value.as_deref()?.replace("$$", "$"))
    };
    if let Some(probers) = told(probes::VARIABLE) {
        probes::restore(spec, &probers);
    }
    hold::release(spec);
    let scrape = told(prometheus::VARIABLE);
    if let Some(annotations) = &mut pod.metadata.annotations {
        prometheus::restore(annotations, scrape.as_deref());
        annotations.remove(names::STATUS);
    }
    Some(pod)
}

/// Takes our containers out, and answers with the proxy's. Others that the status lists are of custom
/// templates, which may have changed a container of the user's: these stay, and are changed again.
fn take_containers(spec: &mut PodSpec, status: &Status) -> Option<Container> {
    let mut proxy = None;
    let lists = [Some(&mut spec.containers), spec.init_containers.as_mut()];
    for containers in lists.into_iter().flatten() {
        let injected =
            |container: &mut Container| is_ours(container) && status.lists(&container.name);
        for container in containers.extract_if(.., injected) {
            if container.name == names::PROXY_CONTAINER {
                proxy = Some(container);
            }
        }
    }
    proxy
}

/// Takes our volumes out, unless a container that stays uses one: then it is the user's.
fn take_volumes(spec: &mut PodSpec, status: &Status) {
    let containers = spec.containers.iter();
    let all = containers.chain(spec.init_containers.iter().flatten());
    let mounts = all.flat_map(|container| container.volume_mounts.iter().flatten());
    let used: BTreeSet<String> = mounts.map(|mount| mount.name.clone()).collect();
    if let Some(volumes) = &mut spec.volumes {
        volumes.retain(|volume| !status.lists_volume(&volume.name) || used.contains(&volume.name));
    }
}
