//! Nodes: the versions of the kubelets, and nothing else of them.

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

/// Follows the nodes for ever.
pub async fn follow(client: Client, kubelets: watch::Sender<Arc<Kubelets>>) {
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
fn replace(current: &mut Arc<Kubelets>, next: &Kubelets) -> bool {
    let differs = **current != *next;
    if differs {
        *current = Arc::new(next.clone());
    }
    differs
}
