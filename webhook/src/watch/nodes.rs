//! Nodes: the versions of the kubelets, and nothing else of them. Where nodes may not be listed, none
//! are known, and so none are old.

use std::sync::Arc;

use futures::TryStreamExt;
use k8s_openapi::api::core::v1::Node;
use kube::core::{NotUsed, Object};
use kube::runtime::watcher::Event;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

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

/// Follows the nodes for ever. `kubelets` learns of them once they are all listed.
pub async fn follow(client: Client, kubelets: watch::Sender<Option<Arc<Kubelets>>>) {
    let resource = kube::api::ApiResource::erase::<Node>(&());
    let api: Api<NodeVersion> = Api::all_with(client, &resource);
    let config = watcher::Config::default().page_size(PAGE);
    let mut events = Box::pin(watcher(api, config).default_backoff());
    let mut next = Kubelets::default();
    loop {
        match events.try_next().await {
            Ok(Some(event)) => {
                if apply(&mut next, event) {
                    kubelets.send_if_modified(|current| replace(current, &next));
                }
            }
            Ok(None) => return,
            Err(error) if is_refused(&error) && kubelets.borrow().is_none() => {
                kubelets.send_replace(Some(Arc::default()));
                tracing::warn!(
                    %error,
                    "Nodes may not be listed: pods get native sidecars unless ENABLE_NATIVE_SIDECARS says otherwise. Trying again."
                );
            }
            Err(error) => tracing::warn!(%error, "Cannot watch nodes; trying again."),
        }
    }
}

/// Takes an event over; answers whether the list is whole.
fn apply(kubelets: &mut Kubelets, event: Event<NodeVersion>) -> bool {
    let name = |node: &NodeVersion| node.metadata.name.clone().unwrap_or_default();
    match event {
        Event::Init => {
            *kubelets = Kubelets::default();
            false
        }
        Event::InitApply(node) => {
            kubelets.insert(&name(&node), version(&node));
            false
        }
        Event::InitDone => true,
        Event::Apply(node) => {
            kubelets.insert(&name(&node), version(&node));
            true
        }
        Event::Delete(node) => {
            kubelets.remove(&name(&node));
            true
        }
    }
}

fn version(node: &NodeVersion) -> &str {
    node.status
        .as_ref()
        .map(|status| status.node_info.kubelet_version.as_str())
        .unwrap_or_default()
}

/// Nodes report every few seconds; only a change of what we keep counts.
fn replace(current: &mut Option<Arc<Kubelets>>, next: &Kubelets) -> bool {
    let differs = current.as_deref() != Some(next);
    if differs {
        *current = Some(Arc::new(next.clone()));
    }
    differs
}

/// Whether it is our rights that are missing, which may stay so for ever.
fn is_refused(error: &watcher::Error) -> bool {
    matches!(error, watcher::Error::InitialListFailed(kube::Error::Api(status)) if status.code == 403)
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
