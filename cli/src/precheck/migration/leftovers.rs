//! What a cluster has of Istio that Lateen does not act on yet: resources, and workloads in ambient mode.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::{Namespace, Pod};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{ApiResource, DynamicObject, ListParams};
use kube::{Api, Client, ResourceExt};

use super::super::finding::{Finding, Findings};
use super::CHECK;
use crate::injection::{AMBIENT, MODE};

/// How many namespaces a finding names.
const NAMED: usize = 5;

/// Resources of kinds that have no effect. Where they forbid something, that is an error.
pub(super) async fn resources(
    client: &Client,
    definitions: &[CustomResourceDefinition],
) -> Findings {
    let mut findings = Findings::default();
    for kind in lateen_api::crds().iter().filter(|kind| is_inert(kind)) {
        let mut installed = definitions.iter();
        let Some(installed) = installed.find(|other| other.name_any() == kind.name_any()) else {
            continue;
        };
        let api: Api<DynamicObject> = Api::all_with(client.clone(), &addressed(installed));
        let found = api.list_metadata(&ListParams::default()).await;
        let found = found.with_context(|| format!("cannot list {}", kind.name_any()));
        findings.add(
            CHECK,
            found.map(|found| without_effect(kind, &by_namespace(&found.items))),
        );
    }
    findings
}

/// How many objects there are in each namespace.
fn by_namespace(objects: &[impl ResourceExt]) -> BTreeMap<String, usize> {
    let mut places = BTreeMap::new();
    for object in objects {
        let namespace = object.namespace().unwrap_or_default();
        *places.entry(namespace).or_default() += 1;
    }
    places
}

/// Whether Lateen stores resources of a kind and does nothing else.
fn is_inert(definition: &CustomResourceDefinition) -> bool {
    let mut versions = definition.spec.versions.iter();
    versions.any(|version| version.deprecation_warning.is_some())
}

/// A kind in the version in which the cluster stores it; an old Istio has old versions.
fn addressed(definition: &CustomResourceDefinition) -> ApiResource {
    let spec = &definition.spec;
    let mut versions = spec.versions.iter();
    let version = versions.find(|version| version.storage);
    let version = version.map_or_else(String::new, |version| version.name.clone());
    ApiResource {
        group: spec.group.clone(),
        api_version: format!("{}/{version}", spec.group),
        version,
        kind: spec.names.kind.clone(),
        plural: spec.names.plural.clone(),
    }
}

fn without_effect(
    definition: &CustomResourceDefinition,
    places: &BTreeMap<String, usize>,
) -> Option<Finding> {
    let count: usize = places.values().sum();
    let kind = &definition.spec.names.kind;
    let places = listed(places.keys().map(String::as_str));
    let told = format!("{count} of kind {kind} would have no effect, in {places}");
    let finding = if definition.spec.group == lateen_api::security::GROUP {
        Finding::error(CHECK, told)
            .remedy("what they forbid would be allowed: leave these workloads in Istio")
    } else {
        Finding::warning(CHECK, told).remedy("leave workloads that need them in Istio")
    };
    (count > 0).then_some(finding)
}

/// Namespaces that are in the mesh without sidecars.
pub(super) async fn ambient_namespaces(client: &Client) -> Result<Option<Finding>> {
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let selected = in_ambient_mode();
    let found = namespaces.list_metadata(&selected).await;
    let found = found.context("cannot list namespaces")?;
    let names: Vec<String> = found.iter().map(ResourceExt::name_any).collect();
    let told = format!(
        "there is no ambient mode, which the label of {} asks for",
        listed(names.iter().map(String::as_str))
    );
    let finding = Finding::warning(CHECK, told)
        .remedy("kubectl label namespace NAMESPACE istio.io/dataplane-mode- istio-injection=enabled gives its pods sidecars when they are made anew");
    Ok((!names.is_empty()).then_some(finding))
}

/// Single workloads that are in the mesh without sidecars.
pub(super) async fn ambient_pods(client: &Client) -> Result<Option<Finding>> {
    let pods: Api<Pod> = Api::all(client.clone());
    let selected = in_ambient_mode();
    let found = pods.list_metadata(&selected).await;
    let found = found.context("cannot list pods")?;
    let places = by_namespace(&found.items);
    let told = format!(
        "there is no ambient mode, which pods ask for by their labels, in {}",
        listed(places.keys().map(String::as_str))
    );
    let finding = Finding::warning(CHECK, told)
        .remedy("take istio.io/dataplane-mode out of the pod templates of their workloads, and put sidecar.istio.io/inject: \"true\" there in a namespace that is not injected");
    Ok((!places.is_empty()).then_some(finding))
}

/// Selects namespaces and pods that are in the mesh without sidecars.
fn in_ambient_mode() -> ListParams {
    ListParams::default().labels(&format!("{MODE}={AMBIENT}"))
}

/// `namespace a` or `namespaces a, b`, the first few by name.
fn listed<'a>(names: impl ExactSizeIterator<Item = &'a str>) -> String {
    let noun = if names.len() == 1 {
        "namespace"
    } else {
        "namespaces"
    };
    let more = names.len().saturating_sub(NAMED);
    let named: Vec<&str> = names.take(NAMED).collect();
    let named = named.join(", ");
    if more > 0 {
        format!("{noun} {named} and {more} more")
    } else {
        format!("{noun} {named}")
    }
}
