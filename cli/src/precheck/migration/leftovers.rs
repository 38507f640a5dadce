//! What a cluster has of Istio that Lateen does not act on yet: resources, namespaces in ambient mode,
//! settings of the mesh.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{ApiResource, DynamicObject, ListParams};
use kube::{Api, Client, ResourceExt};
use lateen_api::MeshConfig;

use super::super::finding::Finding;
use super::CHECK;
use crate::manifest::is_managed;

/// How many namespaces a finding names.
const NAMED: usize = 5;

/// Resources of kinds that have no effect. Where they forbid something, that is an error.
pub(super) async fn resources(
    client: &Client,
    definitions: &[CustomResourceDefinition],
) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for kind in lateen_api::crds().iter().filter(|kind| is_inert(kind)) {
        let mut installed = definitions.iter();
        let Some(installed) = installed.find(|other| other.name_any() == kind.name_any()) else {
            continue;
        };
        let api: Api<DynamicObject> = Api::all_with(client.clone(), &addressed(installed));
        let found = api
            .list_metadata(&ListParams::default())
            .await
            .with_context(|| format!("cannot list {}", kind.name_any()))?;
        let mut places = BTreeMap::new();
        for object in found {
            *places
                .entry(object.namespace().unwrap_or_default())
                .or_default() += 1;
        }
        findings.extend(without_effect(kind, &places));
    }
    Ok(findings)
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
pub(super) async fn ambient(client: &Client) -> Result<Option<Finding>> {
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let labelled = ListParams::default().labels("istio.io/dataplane-mode=ambient");
    let found = namespaces
        .list(&labelled)
        .await
        .context("cannot list namespaces")?;
    let names: Vec<String> = found.iter().map(ResourceExt::name_any).collect();
    let told = format!(
        "there is no ambient mode, which the label of {} asks for",
        listed(names.iter().map(String::as_str))
    );
    let finding = Finding::warning(CHECK, told)
        .remedy("kubectl label namespace NAMESPACE istio.io/dataplane-mode- istio-injection=enabled gives its pods sidecars when they are made anew");
    Ok((!names.is_empty()).then_some(finding))
}

/// Settings of an Istio's mesh configuration.
pub(super) async fn mesh_config(client: &Client, namespace: &str) -> Result<Vec<Finding>> {
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
    let map = maps
        .get_opt("istio")
        .await
        .with_context(|| format!("cannot look at ConfigMap {namespace}/istio"))?;
    let Some(map) = map else {
        return Ok(Vec::new());
    };
    if is_managed(&map) {
        // An installation has told about its own settings.
        return Ok(Vec::new());
    }
    let text = map.data.as_ref().and_then(|data| data.get("mesh"));
    let text = text.map_or("", String::as_str);
    Ok(match MeshConfig::parse(text) {
        Ok(parsed) => {
            let settings = parsed.not_honoured.iter();
            settings
                .map(|setting| Finding::warning(CHECK, format!("meshConfig.{setting}")))
                .collect()
        }
        Err(error) => vec![Finding::warning(
            CHECK,
            format!("ConfigMap {namespace}/istio cannot be taken over: {error}"),
        )],
    })
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
