//! Nodes: the versions of the kubelets, and nothing else of them. Where nodes may not be listed, none
//! are known, and so none are old.

use std::sync::Arc;

use k8s_openapi::api::core::v1::Node;
use kube::core::{NotUsed, Object};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, ResourceExt};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::collection::{self, Collection};
use crate::native::Kubelets;

/// Nodes asked for at a time; they are large.
const PAGE: u32 = 100;

/// The part of a node that is read.
type NodeVersion = Object<NotUsed, NodeStatus>;

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct NodeStatus {
    node_info: NodeInfo,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct NodeInfo {
    kubelet_version: String,
}

impl Collection<NodeVersion> for Kubelets {
    const OBJECTS: &'static str = "nodes";
    const MEANING_IF_REFUSED: &'static str =
        "pods get native sidecars unless ENABLE_NATIVE_SIDECARS says otherwise";

    fn insert(&mut self, node: &NodeVersion) -> bool {
        self.note(&node.name_any(), version(node))
    }

    fn remove(&mut self, node: &NodeVersion) -> bool {
        self.forget(&node.name_any())
    }
}

/// Follows the nodes for ever.
pub async fn follow(client: Client, kubelets: watch::Sender<Option<Arc<Kubelets>>>) {
    let resource = kube::api::ApiResource::erase::<Node>(&());
    let api: Api<NodeVersion> = Api::all_with(client, &resource);
    let config = watcher::Config::default().page_size(PAGE);
    collection::follow(watcher(api, config).default_backoff(), kubelets).await;
}

fn version(node: &NodeVersion) -> &str {
    node.status
        .as_ref()
        .map(|status| status.node_info.kubelet_version.as_str())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::{Value, json};
    use tokio::time::timeout;

    use super::super::api_server;
    use super::*;

    /// What is known of the kubelets once an API server has answered.
    async fn learnt(code: u16, answer: Value) -> Option<Arc<Kubelets>> {
        let (sender, mut receiver) = watch::channel(None);
        let client = api_server::client(move |request| {
            let is_list = !request.uri().query().unwrap_or_default().contains("watch=");
            is_list.then(|| (code, answer.clone()))
        });
        let following = tokio::spawn(follow(client, sender));
        let learning = receiver.wait_for(Option::is_some);
        let learnt = timeout(Duration::from_secs(20), learning).await;
        following.abort();
        learnt.ok()?.unwrap().clone()
    }

    #[tokio::test(start_paused = true)]
    async fn kubelets_are_known_once_they_are_listed_or_may_not_be() {
        let node = json!({
            "metadata": {"name": "old", "resourceVersion": "1"},
            "spec": {},
            "status": {"nodeInfo": {"kubeletVersion": "v1.30.0"}},
        });
        let list = json!({
            "kind": "NodeList", "apiVersion": "v1", "metadata": {"resourceVersion": "1"},
            "items": [node],
        });
        let kubelets = learnt(200, list).await.unwrap();
        assert!(!kubelets.support_native(None));
        let refused = learnt(403, api_server::refusal(403, "Forbidden")).await;
        assert!(refused.unwrap().support_native(None));
        let failed = learnt(500, api_server::refusal(500, "InternalError")).await;
        assert_eq!(failed, None);
    }
}
