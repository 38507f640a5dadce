//! What the injector knows of a cluster beside its configuration: kubelets, `ProxyConfig` resources, and
//! on OpenShift the namespaces. Whoever injects by hand may not be allowed to read all of it, or has no
//! cluster at all; what is missing is told, with what that means for pods.

use std::sync::Arc;

use k8s_openapi::api::core::v1::{Namespace, Node};
use kube::api::{DynamicObject, ListParams};
use kube::{Api, Client, Error, ResourceExt};
use lateen_api::networking::ProxyConfig;
use lateen_api::resource::api_resource;
use lateen_webhook::Cluster;
use lateen_webhook::native::Kubelets;
use lateen_webhook::openshift::Namespaces;
use lateen_webhook::proxy_configs::ProxyConfigs;
use serde::de::DeserializeOwned;

use crate::console::chain;
use crate::pages;

const WITHOUT_NODES: &str = "kubelets are taken to run native sidecars";
const WITHOUT_PROXY_CONFIGS: &str = "settings of ProxyConfig resources are left out";
const WITHOUT_NAMESPACES: &str =
    "proxies run as user 1337, not as one of their namespace's range as OpenShift wants";

/// What is known of a cluster, and a sentence for everything that is not.
#[derive(Debug, Default)]
pub(super) struct Surroundings {
    pub(super) cluster: Cluster,
    pub(super) notices: Vec<String>,
}

impl Surroundings {
    /// Without a cluster to ask.
    pub(super) fn unknown(on_openshift: bool) -> Self {
        let mut meanings = vec![WITHOUT_PROXY_CONFIGS];
        meanings.extend(on_openshift.then_some(WITHOUT_NAMESPACES));
        meanings.push(WITHOUT_NODES);
        Self {
            cluster: Cluster::default(),
            notices: vec![format!("No cluster was asked: {}.", meanings.join("; "))],
        }
    }

    /// Looks at what the webhook would look at.
    pub(super) async fn of(client: &Client, on_openshift: bool) -> Self {
        let mut found = Self::default();
        found.cluster.kubelets = Arc::new(found.kubelets(client).await);
        found.cluster.proxy_configs = Arc::new(found.proxy_configs(client).await);
        if on_openshift {
            found.cluster.namespaces = Arc::new(found.namespaces(client).await);
        }
        found
    }

    async fn kubelets(&mut self, client: &Client) -> Kubelets {
        let nodes: Vec<Node> = self
            .list(Api::all(client.clone()), "nodes", WITHOUT_NODES)
            .await;
        let mut kubelets = Kubelets::default();
        for node in &nodes {
            let status = node.status.as_ref();
            let info = status.and_then(|status| status.node_info.as_ref());
            let version = info.map_or("", |info| &info.kubelet_version);
            kubelets.note(&node.name_any(), version);
        }
        kubelets
    }

    async fn proxy_configs(&mut self, client: &Client) -> ProxyConfigs {
        let api = Api::all_with(client.clone(), &api_resource::<ProxyConfig>());
        let resources: Vec<DynamicObject> =
            self.list(api, "proxyconfigs", WITHOUT_PROXY_CONFIGS).await;
        let mut configs = ProxyConfigs::default();
        for resource in &resources {
            if let Err(error) = configs.note(resource) {
                let namespace = resource.namespace().unwrap_or_default();
                self.notices.push(format!(
                    "ProxyConfig {namespace}/{} cannot be read and changes nothing: {error}",
                    resource.name_any()
                ));
            }
        }
        configs
    }

    async fn namespaces(&mut self, client: &Client) -> Namespaces {
        let all: Vec<Namespace> = self
            .list(Api::all(client.clone()), "namespaces", WITHOUT_NAMESPACES)
            .await;
        let mut namespaces = Namespaces::default();
        for namespace in &all {
            namespaces.note(&namespace.name_any(), namespace.annotations());
        }
        namespaces
    }

    /// All objects of a kind; none if the kind is not defined, or they are not to be had.
    async fn list<K>(&mut self, api: Api<K>, objects: &str, without: &str) -> Vec<K>
    where
        K: Clone + std::fmt::Debug + DeserializeOwned,
    {
        let mut found = Vec::new();
        let listed = pages::each(&api, ListParams::default(), |object| {
            found.push(object.clone());
        });
        match listed.await {
            Ok(()) => found,
            Err(Error::Api(status)) if status.is_not_found() => Vec::new(),
            Err(error) => {
                let error = chain(&error.into());
                let told = format!("Cannot list {objects}, so {without}: {error}");
                self.notices.push(told);
                Vec::new()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::fake_cluster::FakeCluster;

    fn cluster() -> FakeCluster {
        FakeCluster::with([
            json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "old"},
                "status": {"nodeInfo": {"kubeletVersion": "v1.30.0"}}}),
            json!({"apiVersion": "networking.istio.io/v1beta1", "kind": "ProxyConfig",
                "metadata": {"namespace": "shop", "name": "all"}, "spec": {"concurrency": 2}}),
            json!({"apiVersion": "networking.istio.io/v1beta1", "kind": "ProxyConfig",
                "metadata": {"namespace": "shop", "name": "wrong"}, "spec": {"concurrency": -2}}),
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop",
                "annotations": {"openshift.io/sa.scc.uid-range": "2000/10"}}}),
        ])
    }

    #[tokio::test]
    async fn what_the_webhook_looks_at_is_looked_at() {
        let Surroundings { cluster, notices } = Surroundings::of(&cluster().client(), true).await;
        assert!(!cluster.kubelets.support_native(None));
        let mut configs = ProxyConfigs::default();
        let good = self::cluster().object("proxyconfigs/all").unwrap();
        configs
            .note(&serde_json::from_value(good).unwrap())
            .unwrap();
        assert_eq!(*cluster.proxy_configs, configs);
        let mut namespaces = Namespaces::default();
        let range = (
            "openshift.io/sa.scc.uid-range".to_owned(),
            "2000/10".to_owned(),
        );
        namespaces.note("shop", &[range].into());
        assert_eq!(*cluster.namespaces, namespaces);
        assert_eq!(notices.len(), 1, "{notices:?}");
        assert!(
            notices[0].starts_with("ProxyConfig shop/wrong"),
            "{notices:?}"
        );

        let elsewhere = Surroundings::of(&self::cluster().client(), false).await;
        assert_eq!(*elsewhere.cluster.namespaces, Namespaces::default());
    }

    #[tokio::test]
    async fn what_may_not_be_read_is_told_with_what_it_means() {
        let forbidden = ["nodes", "proxyconfigs", "namespaces"];
        let cluster = forbidden
            .into_iter()
            .fold(cluster(), FakeCluster::forbidding);
        let Surroundings { cluster, notices } = Surroundings::of(&cluster.client(), true).await;
        assert!(cluster.kubelets.support_native(None));
        for (notice, meaning) in notices.iter().zip([
            "Cannot list nodes, so kubelets are taken to run native sidecars: Forbidden",
            "Cannot list proxyconfigs, so settings of ProxyConfig resources are left out: Forbidden",
            "Cannot list namespaces, so proxies run as user 1337",
        ]) {
            assert!(notice.starts_with(meaning), "{notice}");
        }
        assert_eq!(notices.len(), forbidden.len(), "{notices:?}");
    }
}
