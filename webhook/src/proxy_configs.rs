//! `ProxyConfig` resources (`networking.istio.io/v1beta1`): settings of proxies for the mesh, where they
//! are in its root namespace, for a namespace, or for workloads by their labels.
//!
//! From weak to strong: the mesh's `defaultConfig`, the root namespace, the pod's namespace, annotation
//! `proxy.istio.io/config`, a resource that selects the pod. Where several resources say something of
//! the same, the oldest counts.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use lateen_api::mesh::ProxyImage;
use lateen_api::networking;
use lateen_api::{ProxyConfig, Resource};

/// All resources of a cluster.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ProxyConfigs {
    by_namespace: BTreeMap<String, BTreeMap<String, Dated>>,
}

/// One resource.
#[derive(Clone, Debug, PartialEq)]
struct Dated {
    created: Option<Time>,
    spec: networking::ProxyConfig,
}

impl ProxyConfigs {
    /// Notes a resource.
    pub fn insert(&mut self, resource: &Resource<networking::ProxyConfig>) {
        let (namespace, name) = key(resource);
        let dated = Dated {
            created: resource.metadata.creation_timestamp.clone(),
            spec: resource.spec.clone(),
        };
        let of_namespace = self.by_namespace.entry(namespace).or_default();
        of_namespace.insert(name, dated);
    }

    /// Forgets a resource.
    pub fn remove(&mut self, resource: &Resource<networking::ProxyConfig>) {
        let (namespace, name) = key(resource);
        if let Some(of_namespace) = self.by_namespace.get_mut(&namespace) {
            of_namespace.remove(&name);
        }
    }

    /// What counts for every proxy of a namespace.
    pub(crate) fn of_namespace(&self, namespace: &str) -> Option<&networking::ProxyConfig> {
        self.oldest(namespace, |spec| spec.selector.is_none())
    }

    /// What counts for a workload with these labels. A selector without labels selects nothing.
    pub(crate) fn of_workload(
        &self,
        namespace: &str,
        labels: &BTreeMap<String, String>,
    ) -> Option<&networking::ProxyConfig> {
        self.oldest(namespace, |spec| {
            let wanted = spec
                .selector
                .iter()
                .flat_map(|selector| &selector.match_labels);
            let mut wanted = wanted.peekable();
            wanted.peek().is_some() && wanted.all(|(key, value)| labels.get(key) == Some(value))
        })
    }

    fn oldest(
        &self,
        namespace: &str,
        counts: impl Fn(&networking::ProxyConfig) -> bool,
    ) -> Option<&networking::ProxyConfig> {
        let resources = self.by_namespace.get(namespace)?.iter();
        let counting = resources.filter(|(_, dated)| counts(&dated.spec));
        let (_, oldest) = counting.min_by_key(|(name, dated)| (&dated.created, *name))?;
        Some(&oldest.spec)
    }
}

fn key(resource: &Resource<networking::ProxyConfig>) -> (String, String) {
    let metadata = &resource.metadata;
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    (text(&metadata.namespace), text(&metadata.name))
}

/// Lays a resource over a configuration: variables are added, everything else is replaced.
pub(crate) fn lay_over(config: &mut ProxyConfig, resource: &networking::ProxyConfig) {
    let networking::ProxyConfig {
        selector: _,
        concurrency,
        environment_variables,
        image,
    } = resource;
    config.concurrency = concurrency.or(config.concurrency);
    let variables = environment_variables.iter();
    config
        .proxy_metadata
        .extend(variables.map(|(name, value)| (name.clone(), value.clone())));
    if let Some(networking::Image { image_type }) = image {
        config.image = Some(ProxyImage {
            image_type: image_type.clone(),
        });
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn resource(name: &str, created: &str, spec: &Value) -> Resource<networking::ProxyConfig> {
        let resource = json!({
            "apiVersion": "networking.istio.io/v1beta1", "kind": "ProxyConfig",
            "metadata": {"namespace": "shop", "name": name, "creationTimestamp": created},
            "spec": spec,
        });
        serde_json::from_value(resource).unwrap()
    }

    #[test]
    fn the_oldest_of_those_that_fit_counts() {
        let web = json!({"matchLabels": {"app": "web"}});
        let all = [
            resource("new", "2026-02-02T00:00:00Z", &json!({"concurrency": 2})),
            resource("old", "2026-01-01T00:00:00Z", &json!({"concurrency": 1})),
            resource(
                "b",
                "2026-01-01T00:00:00Z",
                &json!({"selector": web, "concurrency": 4}),
            ),
            resource(
                "a",
                "2026-01-01T00:00:00Z",
                &json!({"selector": web, "concurrency": 3}),
            ),
            resource(
                "none",
                "2020-01-01T00:00:00Z",
                &json!({"selector": {}, "concurrency": 5}),
            ),
        ];
        let mut configs = ProxyConfigs::default();
        all.iter().for_each(|resource| configs.insert(resource));
        let concurrency = |spec: Option<&networking::ProxyConfig>| spec?.concurrency;
        let labels = |app: &str| BTreeMap::from([("app".to_owned(), app.to_owned())]);
        assert_eq!(concurrency(configs.of_namespace("shop")), Some(1));
        assert_eq!(concurrency(configs.of_namespace("other")), None);
        assert_eq!(
            concurrency(configs.of_workload("shop", &labels("web"))),
            Some(3)
        );
        assert_eq!(
            concurrency(configs.of_workload("shop", &labels("db"))),
            None
        );
        configs.remove(&all[1]);
        assert_eq!(concurrency(configs.of_namespace("shop")), Some(2));
    }
}
