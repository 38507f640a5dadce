//! Injectors that are there: whether the API server trusts and reaches them, and whether they are in
//! each other's way. What cannot be reached holds up pods (`failurePolicy: Fail`).

use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::{Namespace, Pod, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::ListParams;
use kube::{Api, Client, ResourceExt};
use lateen_wire::names;

use super::finding::{Finding, Findings};
use crate::console::chain;
use crate::hooks::Hook;
use crate::hooks::contest::{Contest, contests};
use crate::hooks::selector::Labels;
use crate::hooks::trial;
use crate::manifest::{Component, query};
use crate::readiness;

/// Name of the check.
pub(super) const CHECK: &str = "injectors";

/// Looks at every injector.
pub(super) async fn look(client: &Client, hooks: &[Hook]) -> Findings {
    let mut findings = Findings::default();
    if hooks.is_empty() {
        let told = "no sidecar injector is installed";
        findings.extend([Finding::info(CHECK, told)]);
    }
    findings.extend(contests(hooks).iter().map(of_contest));
    for hook in hooks {
        let found = of_hook(client, hook).await;
        findings.add(CHECK, found.map(|finding| [finding]));
    }
    findings
}

fn of_contest(contest: &Contest) -> Finding {
    Finding::error(
        CHECK,
        format!(
            "{} claim the same pods, for example with {} on the namespace and {} on the pod",
            contest.hooks.join(" and "),
            contest.namespace,
            contest.pod
        ),
    )
    .remedy("check-inject explains it pod by pod; remove or uninstall one of them, or its tag")
}

async fn of_hook(client: &Client, hook: &Hook) -> Result<Finding> {
    match trouble(client, hook).await? {
        Some(trouble) => Ok(trouble),
        None => reached(client, hook).await,
    }
}

/// What keeps the API server from calling an injector.
async fn trouble(client: &Client, hook: &Hook) -> Result<Option<Finding>> {
    let name = hook.name();
    let escape = format!(
        "until it works, new pods of injected namespaces are refused; kubectl delete mutatingwebhookconfiguration {name} lets them in without a sidecar, and the next installation brings it back"
    );
    let without_bundle = hook.entries().any(|entry| {
        let bundle = entry.client_config.ca_bundle.as_ref();
        bundle.is_none_or(|bundle| bundle.0.is_empty())
    });
    if without_bundle {
        let told = format!("{name} has no caBundle, so the API server does not trust its injector");
        return Ok(Some(Finding::error(CHECK, told).remedy(escape)));
    }
    let Some(service) = hook.service() else {
        return Ok(None);
    };
    let place = format!("{}/{}", service.namespace, service.name);
    let services: Api<Service> = Api::namespaced(client.clone(), &service.namespace);
    let found = services
        .get_opt(&service.name)
        .await
        .with_context(|| format!("cannot look at Service {place}"))?;
    if found.is_none() {
        let told = format!("{name} leads to Service {place}, which does not exist");
        return Ok(Some(Finding::error(CHECK, told).remedy(escape)));
    }
    let slices: Api<EndpointSlice> = Api::namespaced(client.clone(), &service.namespace);
    let of_service =
        ListParams::default().labels(&format!("kubernetes.io/service-name={}", service.name));
    let slices = slices
        .list(&of_service)
        .await
        .with_context(|| format!("cannot list the endpoints of Service {place}"))?;
    let ready = slices
        .iter()
        .flat_map(|slice| slice.endpoints.iter())
        .filter(|endpoint| {
            let conditions = endpoint.conditions.as_ref();
            conditions.and_then(|conditions| conditions.ready) != Some(false)
        })
        .count();
    if ready == 0 {
        let told = match words(client, hook, &service.namespace).await {
            Some(words) => {
                format!("{name} leads to Service {place}, none of whose pods is ready: {words}")
            }
            None => format!("{name} leads to Service {place}, which has no ready pods"),
        };
        return Ok(Some(Finding::error(CHECK, told).remedy(escape)));
    }
    Ok(None)
}

/// What the pods of one of our injectors say of themselves.
async fn words(client: &Client, hook: &Hook, namespace: &str) -> Option<String> {
    let revision = hook.revision().parse().ok()?;
    let selected = query(&Component::Injector.selector(&revision));
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let pods = pods
        .list(&ListParams::default().labels(&selected))
        .await
        .ok()?;
    let pod = pods.iter().find(|_| hook.is_ours())?;
    readiness::words(client, namespace, &pod.name_any(), Component::Injector).await
}

/// Whether a pod that is only tried comes back injected: from the API server to the injector and back.
async fn reached(client: &Client, hook: &Hook) -> Result<Finding> {
    let name = hook.name();
    if hook.is_deactivated() {
        let told = format!("{name} is out of action: the tag default has taken over");
        return Ok(Finding::info(CHECK, told));
    }
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let namespaces = namespaces
        .list(&ListParams::default())
        .await
        .context("cannot list namespaces")?;
    let candidates = namespaces
        .iter()
        .filter(|namespace| namespace.metadata.deletion_timestamp.is_none())
        .map(|namespace| (namespace.name_any(), namespace.labels().clone()));
    let Some((namespace, labels)) = candidates
        .filter(|(namespace, _)| !namespace.starts_with("kube-"))
        .find_map(|(namespace, labels)| Some((namespace, asking(hook, &labels)?)))
    else {
        let told = format!("{name} was not tried: no namespace lets a pod ask for it");
        return Ok(Finding::info(CHECK, told));
    };
    Ok(match trial::create(client, &namespace, labels).await {
        Ok(pod) if pod.annotations().contains_key(names::STATUS) => {
            Finding::info(CHECK, format!("{name} injects: tried with a pod in namespace {namespace}"))
        }
        Ok(_) => Finding::warning(
            CHECK,
            format!("{name} was asked about a pod in namespace {namespace} and left it alone"),
        )
        .remedy("check-inject tells which rule of its policy decides"),
        Err(error) => Finding::error(
            CHECK,
            format!(
                "a pod that {name} is to inject cannot be made in namespace {namespace}: {}",
                chain(&error.into())
            ),
        )
        .remedy("the reason is that of the API server; look at the log of the injector and at what lies between the two, such as a NetworkPolicy or a firewall (TCP port 15017)"),
    })
}

/// Labels of a pod for which the injector is asked in a namespace.
fn asking(hook: &Hook, namespace: &Labels) -> Option<Labels> {
    let name = hook.tag().unwrap_or_else(|| hook.revision());
    let labels = |key: &str, value: &str| Labels::from([(key.to_owned(), value.to_owned())]);
    let possible = [
        Labels::new(),
        labels(names::INJECT, "true"),
        labels(names::REVISION, name),
    ];
    possible
        .into_iter()
        .find(|pod| hook.firing(namespace, pod).is_some())
}
