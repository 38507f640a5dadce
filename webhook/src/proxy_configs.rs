//! `ProxyConfig` resources (`networking.istio.io/v1beta1`): settings of proxies for the mesh, where they
//! are in its root namespace, for a namespace, or for workloads by their labels.
//!
//! From weak to strong: the mesh's `defaultConfig`, the root namespace, the pod's namespace, annotation
//! `proxy.istio.io/config`, a resource that selects the pod. Where several resources say something of
//! the same, the oldest counts.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::core::DynamicObject;

use lateen_api::mesh::ProxyImage;
use lateen_api::networking;
use lateen_api::resource::read_spec;
use lateen_api::{Error, ProxyConfig};

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
    /// Notes a resource; answers whether that makes a difference. One that cannot be read makes none:
    /// what was read of it before stays.
    ///
    /// # Errors
    /// When a field has a value it cannot have.
    pub fn note(&mut self, resource: &DynamicObject) -> Result<bool, Error> {
        let spec = read_spec(resource)?;
        let (namespace, name) = key(resource);
        let created = resource.metadata.creation_timestamp.clone();
        let dated = Dated { created, spec };
        let of_namespace = self.by_namespace.entry(namespace).or_default();
        let differs = of_namespace.get(&name) != Some(&dated);
        of_namespace.insert(name, dated);
        Ok(differs)
    }

    /// Forgets a resource; answers whether it was known.
    pub fn forget(&mut self, resource: &DynamicObject) -> bool {
        let (namespace, name) = key(resource);
        let Some(of_namespace) = self.by_namespace.get_mut(&namespace) else {
            return false;
        };
        let was_known = of_namespace.remove(&name).is_some();
        if of_namespace.is_empty() {
            self.by_namespace.remove(&namespace);
        }
        was_known
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

fn key(resource: &DynamicObject) -> (String, String) {
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

    fn resource(name: &str, created: &str, spec: &Value) -> DynamicObject {
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
        for resource in &all {
            configs.note(resource).unwrap();
        }
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
        configs.forget(&all[1]);
        assert_eq!(concurrency(configs.of_namespace("shop")), Some(2));
    }

    #[test]
    fn what_cannot_be_read_changes_nothing_and_is_in_nobodys_way() {
        let mut configs = ProxyConfigs::default();
        let good = resource("all", "2026-01-01T00:00:00Z", &json!({"concurrency": 1}));
        configs.note(&good).unwrap();
        let before = configs.clone();
        for wrong in [json!({"concurrency": 5_000_000_000_u64}), json!("text")] {
            let wrong = resource("all", "2026-01-01T00:00:00Z", &wrong);
            assert!(configs.note(&wrong).is_err());
            assert_eq!(configs, before);
        }
        let mut bare = good.clone();
        bare.data = json!({});
        configs.note(&bare).unwrap();
        configs.forget(&bare);
        assert_eq!(configs, ProxyConfigs::default());
    }
}
