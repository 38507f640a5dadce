//! The mesh's own installation in the cluster under test.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use serde_json::Value;

use super::{Bed, hub_and_tag, lateenctl, run};

/// Sidecars ask for less than the charts' defaults, so that a small machine holds many.
const SMALL_SIDECARS: [&str; 2] = [
    "global.proxy.resources.requests.cpu=10m",
    "global.proxy.resources.requests.memory=40Mi",
];

/// Kinds that an installation consists of.
const KINDS: &str = "configmap,deployment,pod,poddisruptionbudget,role,rolebinding,service,\
    serviceaccount,clusterrole,clusterrolebinding,customresourcedefinition,\
    mutatingwebhookconfiguration";

/// Marks the objects of an installation, pods included.
const OURS: &str = "app.kubernetes.io/part-of=lateen";

/// The values with which demo and tests install the mesh, as flags of `lateenctl` and of Helm.
#[must_use]
pub fn values(hub: &str, tag: &str) -> Vec<String> {
    let images = [format!("global.hub={hub}"), format!("global.tag={tag}")];
    let sidecars = SMALL_SIDECARS.map(str::to_owned);
    images
        .into_iter()
        .chain(sidecars)
        .flat_map(|value| ["--set".to_owned(), value])
        .collect()
}

/// Installs as the cluster under test was, with further flags of `lateenctl install`; what is told of it.
///
/// # Errors
/// When the installation fails; the message holds all that was told.
pub async fn install(flags: &[&str]) -> Result<String> {
    let (hub, tag) = hub_and_tag();
    let mut command = lateenctl(&["install", "-y"]);
    let output = run(command.args(values(&hub, &tag)).args(flags)).await?;
    let told = output.stderr.clone();
    output.stdout().map(|_| told)
}

/// What every object of an installation was when it was looked at, by `kind/name`: a value that
/// changes when somebody writes the object, or when a pod is made anew or restarts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Installed(BTreeMap<String, String>);

impl Installed {
    /// Looks at the installation in `system`.
    ///
    /// # Errors
    /// When `kubectl` fails.
    pub async fn look(system: &Bed) -> Result<Self> {
        let listed = system
            .kubectl(&["get", KINDS, "--selector", OURS, "--output", "json"])
            .await?;
        let list: Value = serde_json::from_str(&listed)?;
        let items = list.pointer("/items").and_then(Value::as_array);
        let items = items.into_iter().flatten();
        Ok(Self(
            items
                .map(|item| {
                    let (kind, name) = (text(item, "/kind"), text(item, "/metadata/name"));
                    (format!("{kind}/{name}"), state(item))
                })
                .collect(),
        ))
    }

    /// The pods alone.
    #[must_use]
    pub fn pods(mut self) -> Self {
        self.0.retain(|object, _| object.starts_with("Pod/"));
        self
    }

    /// The objects that are not as they were before, each with what it was and what it is.
    #[must_use]
    pub fn changes_since(&self, before: &Self) -> Vec<String> {
        let objects = self.0.keys().chain(before.0.keys());
        let objects: BTreeSet<&String> = objects.collect();
        objects
            .into_iter()
            .filter(|object| self.0.get(*object) != before.0.get(*object))
            .map(|object| {
                let (was, is) = (before.0.get(object), self.0.get(object));
                format!("{object} was {was:?} and is {is:?}")
            })
            .collect()
    }
}

/// Pods: which one it is and how often it restarted. Others: the version that counts what people
/// write, or where there is none, every write.
fn state(item: &Value) -> String {
    if text(item, "/kind") == "Pod" {
        let containers = item.pointer("/status/containerStatuses");
        let containers = containers.and_then(Value::as_array).into_iter().flatten();
        let restarts: u64 = containers
            .filter_map(|container| container.get("restartCount")?.as_u64())
            .sum();
        return format!("{} after {restarts} restarts", text(item, "/metadata/uid"));
    }
    let generation = item.pointer("/metadata/generation");
    match generation.filter(|_| item.get("status").is_some()) {
        Some(generation) => format!("generation {generation}"),
        None => format!("version {}", text(item, "/metadata/resourceVersion")),
    }
}

fn text<'a>(item: &'a Value, pointer: &str) -> &'a str {
    item.pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_default()
}
