//! `lateenctl version`: of this tool, of the control plane and of the sidecars. The versions of what
//! runs are the tags of its images, so that also a component that does not answer is told.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::{Container, Pod};
use kube::api::ListParams;
use kube::{Api, Client, ResourceExt};
use lateen_wire::names;
use serde::Serialize;

use crate::arguments::{Connection, Version as Options};
use crate::cluster::connect;
use crate::console::{Console, chain};
use crate::manifest::{COMPONENTS, Component, query};
use crate::pages;

/// The answer, with `istioctl`'s names.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Versions {
    client_version: Info,
    #[serde(skip_serializing_if = "Option::is_none")]
    mesh_version: Option<Vec<ComponentVersion>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data_plane_version: Option<Vec<ProxyVersion>>,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
struct Info {
    version: String,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
struct ComponentVersion {
    component: String,
    info: Info,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
struct ProxyVersion {
    #[serde(rename = "ID")]
    id: String,
    istio_version: String,
}

/// Prints the versions. A cluster that cannot be reached is a warning: the tool's own version is
/// known without it.
///
/// # Errors
/// Standard output is closed.
pub async fn run(connection: &Connection, options: &Options, console: &Console) -> Result<()> {
    let mut versions = Versions {
        client_version: Info {
            version: env!("CARGO_PKG_VERSION").to_owned(),
        },
        mesh_version: None,
        data_plane_version: None,
    };
    if options.remote {
        match remote(connection).await {
            Ok((mesh, proxies)) => {
                versions.mesh_version = Some(mesh);
                versions.data_plane_version = Some(proxies);
            }
            Err(error) => console.warning(&format!(
                "The cluster's versions are unknown: {}",
                chain(&error)
            )),
        }
    }
    console.answer(options.output, &versions, || {
        versions.to_text(options.short && !options.remote)
    })
}

async fn remote(connection: &Connection) -> Result<(Vec<ComponentVersion>, Vec<ProxyVersion>)> {
    let client = connect(connection).await?;
    let mut mesh = Vec::new();
    for component in COMPONENTS {
        mesh.extend(component_versions(&client, connection.system_namespace(), component).await?);
    }
    Ok((mesh, proxy_versions(&client).await?))
}

async fn component_versions(
    client: &Client,
    namespace: &str,
    component: Component,
) -> Result<Vec<ComponentVersion>> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let pods = pods
        .list(&ListParams::default().labels(&query(&component.identity())))
        .await
        .with_context(|| format!("cannot list the pods of {namespace}"))?;
    let images = pods
        .iter()
        .filter_map(|pod| image(pod, component.container()));
    Ok(images
        .map(|image| ComponentVersion {
            component: component.name().to_owned(),
            info: Info {
                version: tag(image),
            },
        })
        .collect())
}

/// The version of every pod's sidecar.
async fn proxy_versions(client: &Client) -> Result<Vec<ProxyVersion>> {
    let pods: Api<Pod> = Api::all(client.clone());
    let mut versions = Vec::new();
    let note = |pod: &Pod| {
        let image = image(pod, names::PROXY_CONTAINER);
        versions.extend(image.map(|image| ProxyVersion {
            id: format!("{}.{}", pod.name_any(), pod.namespace().unwrap_or_default()),
            istio_version: tag(image),
        }));
    };
    pages::each(&pods, ListParams::default(), note)
        .await
        .context("cannot list the pods of all namespaces")?;
    Ok(versions)
}

/// The image of a container, native sidecars included.
fn image<'a>(pod: &'a Pod, container: &str) -> Option<&'a str> {
    let spec = pod.spec.as_ref()?;
    let mut containers = spec
        .containers
        .iter()
        .chain(spec.init_containers.iter().flatten());
    let found: &Container = containers.find(|candidate| candidate.name == container)?;
    found.image.as_deref()
}

/// The tag of an image, or its digest, or `latest`.
fn tag(image: &str) -> String {
    let name = image.rsplit_once('/').map_or(image, |(_, name)| name);
    let tag = name
        .split_once('@')
        .or_else(|| name.split_once(':'))
        .map(|(_, tag)| tag);
    tag.unwrap_or("latest").to_owned()
}

impl Versions {
    /// Lines for people. A bare version is enough where nothing else is asked for.
    fn to_text(&self, bare: bool) -> String {
        if bare {
            return format!("{}\n", self.client_version.version);
        }
        let mut lines = vec![format!("client version: {}", self.client_version.version)];
        if let Some(mesh) = &self.mesh_version {
            let versions = count(mesh.iter().map(|component| component.info.version.as_str()));
            let versions: Vec<&str> = versions.keys().copied().collect();
            let told = if versions.is_empty() {
                "none is installed".to_owned()
            } else {
                versions.join(", ")
            };
            lines.push(format!("control plane version: {told}"));
        }
        if let Some(proxies) = &self.data_plane_version {
            let versions = count(proxies.iter().map(|proxy| proxy.istio_version.as_str()));
            let told: Vec<String> = versions
                .iter()
                .map(|(version, count)| format!("{version} ({count} proxies)"))
                .collect();
            let told = if told.is_empty() {
                "none".to_owned()
            } else {
                told.join(", ")
            };
            lines.push(format!("data plane version: {told}"));
        }
        lines.join("\n") + "\n"
    }
}

fn count<'a>(versions: impl Iterator<Item = &'a str>) -> BTreeMap<&'a str, usize> {
    let mut counts = BTreeMap::new();
    for version in versions {
        *counts.entry(version).or_default() += 1;
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn versions() -> Versions {
        let info = |version: &str| Info {
            version: version.to_owned(),
        };
        let component = |version| ComponentVersion {
            component: "istiod".to_owned(),
            info: info(version),
        };
        let proxy = |id: &str, version: &str| ProxyVersion {
            id: id.to_owned(),
            istio_version: version.to_owned(),
        };
        Versions {
            client_version: info("1"),
            mesh_version: Some(vec![component("1"), component("1")]),
            data_plane_version: Some(vec![
                proxy("a.b", "1"),
                proxy("c.d", "0.9"),
                proxy("e.f", "1"),
            ]),
        }
    }

    #[test]
    fn versions_are_told_to_people() {
        assert_eq!(
            versions().to_text(false),
            "client version: 1\ncontrol plane version: 1\ndata plane version: 0.9 (1 proxies), 1 (2 proxies)\n"
        );
        assert_eq!(versions().to_text(true), "1\n");
    }

    #[test]
    fn programs_find_istioctls_names() {
        insta::assert_json_snapshot!(versions());
    }

    #[test]
    fn tags_are_found_in_images() {
        for (image, expected) in [
            ("lateen/pilot:0.1.0", "0.1.0"),
            ("localhost:5000/a/pilot", "latest"),
            ("localhost:5000/a/pilot:x", "x"),
            ("a/pilot@sha256:12", "sha256:12"),
        ] {
            assert_eq!(tag(image), expected, "{image}");
        }
    }
}
