//! Settings of Istio's mesh configurations, of every revision that is installed, that have no effect.

use std::collections::BTreeSet;

use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{Api, Client, ResourceExt};
use lateen_api::MeshConfig;
use lateen_wire::names;

use super::super::finding::{Finding, Findings};
use super::super::meshes;
use super::CHECK;
use crate::manifest::is_managed;

/// Reads the ConfigMap of each revision, and the one in the namespace of the installation to come.
pub(super) async fn look(client: &Client, namespace: &str) -> Findings {
    let mut findings = Findings::default();
    let controls = findings.learn(CHECK, meshes::controls(client).await);
    let controls = controls.unwrap_or_default();
    let installed = controls.iter().map(|control| {
        let namespace = control.namespace().unwrap_or_default();
        (namespace, name(meshes::revision(control)))
    });
    let mut maps: BTreeSet<(String, String)> = installed.collect();
    maps.insert((namespace.to_owned(), name(names::DEFAULT_REVISION)));
    for (namespace, name) in &maps {
        findings.add(CHECK, of_map(client, namespace, name).await);
    }
    findings
}

/// Name of a revision's ConfigMap.
fn name(revision: &str) -> String {
    match revision {
        names::DEFAULT_REVISION => names::MESH_CONFIG_MAP.to_owned(),
        revision => format!("{}-{revision}", names::MESH_CONFIG_MAP),
    }
}

async fn of_map(client: &Client, namespace: &str, name: &str) -> Result<Vec<Finding>> {
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
    let place = format!("ConfigMap {namespace}/{name}");
    let map = maps.get_opt(name).await;
    let map = map.with_context(|| format!("cannot look at {place}"))?;
    // An installation has told about its own settings.
    let Some(map) = map.filter(|map| !is_managed(map)) else {
        return Ok(Vec::new());
    };
    let text = map.data.as_ref().and_then(|data| data.get("mesh"));
    let text = text.map_or("", String::as_str);
    Ok(match MeshConfig::parse(text) {
        Ok(parsed) => {
            let settings = parsed.not_honoured.iter();
            settings
                .map(|setting| Finding::warning(CHECK, format!("{place}: meshConfig.{setting}")))
                .collect()
        }
        Err(error) => vec![Finding::warning(
            CHECK,
            format!("{place} cannot be taken over: {error}"),
        )],
    })
}
