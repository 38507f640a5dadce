//! Whether a cluster is well: its processes, and what its API server says of nodes and DNS.

use std::fmt;
use std::time::Duration;

use anyhow::{Context as _, Result};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Node as NodeObject;
use kube::Api;
use kube::api::ListParams;
use serde::Serialize;
use tokio::time::timeout;

use super::Cluster;
use super::component::Component;
use super::node::Node;
use super::pki::API_PORT;

/// How long an answer may take before it counts as none.
const PATIENCE: Duration = Duration::from_secs(5);

/// The state of a cluster.
#[derive(Clone, Debug, Serialize)]
pub struct Status {
    /// Its name.
    pub cluster: String,
    /// Whether every row is in order.
    pub healthy: bool,
    /// Its parts.
    pub components: Vec<Row>,
}

/// The state of one part.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// The program, or what the API server was asked for.
    pub component: String,
    /// The node it is on, if it is on one.
    pub node: Option<String>,
    /// The number of its process, as the host sees it.
    pub pid: Option<i32>,
    /// How it is.
    pub state: State,
    /// Where it answers, from the host unless it is a socket or a loopback address of the node.
    pub address: Option<String>,
}

/// How a part is.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// Its process is not there.
    Dead,
    /// It does not do its work (yet).
    NotReady,
    /// It does its work.
    Ready,
    /// Its process is there.
    Running,
}

impl State {
    fn of_process(is_there: bool) -> Self {
        if is_there { Self::Running } else { Self::Dead }
    }

    fn of_answer(is_ready: bool) -> Self {
        if is_ready {
            Self::Ready
        } else {
            Self::NotReady
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::Dead => "dead",
            Self::NotReady => "not ready",
            Self::Ready => "ready",
            Self::Running => "running",
        })
    }
}

/// Looks at every part of `cluster`.
pub(crate) async fn status(cluster: &Cluster) -> Status {
    let mut components: Vec<Row> = cluster.nodes().iter().flat_map(process_rows).collect();
    components.extend(answer_rows(cluster).await);
    let healthy = |row: &Row| matches!(row.state, State::Ready | State::Running);
    Status {
        cluster: cluster.name().to_string(),
        healthy: components.iter().all(healthy),
        components,
    }
}

/// Whether the API server serves.
///
/// # Errors
/// When it does not answer at all.
pub(crate) async fn api_server_is_ready(client: &kube::Client) -> Result<bool> {
    let request = http::Request::get("/readyz").body(Vec::new())?;
    let answer = timeout(PATIENCE, client.request_text(request)).await?;
    Ok(answer.context("Asking the API server whether it is ready")? == "ok")
}

/// The names of the nodes that take pods.
///
/// # Errors
/// When the API server does not answer.
pub(crate) async fn ready_nodes(client: &kube::Client) -> Result<Vec<String>> {
    let nodes: Api<NodeObject> = Api::all(client.clone());
    let mut nodes = timeout(PATIENCE, nodes.list(&ListParams::default()))
        .await??
        .items;
    nodes.retain(node_is_ready);
    Ok(nodes
        .into_iter()
        .filter_map(|node| node.metadata.name)
        .collect())
}

/// Whether the cluster's DNS server answers.
///
/// # Errors
/// When the API server does not.
pub(crate) async fn dns_is_ready(client: &kube::Client) -> Result<bool> {
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), "kube-system");
    let coredns = timeout(PATIENCE, deployments.get("coredns")).await??;
    Ok(coredns
        .status
        .and_then(|status| status.ready_replicas)
        .unwrap_or_default()
        > 0)
}

fn node_is_ready(node: &NodeObject) -> bool {
    let conditions = node
        .status
        .iter()
        .flat_map(|status| status.conditions.iter().flatten());
    let mut ready = conditions.filter(|condition| condition.type_ == "Ready");
    // Until the taint is gone nothing is scheduled there.
    let taints = node
        .spec
        .iter()
        .flat_map(|spec| spec.taints.iter().flatten());
    let mut not_ready = taints.filter(|taint| taint.key == "node.kubernetes.io/not-ready");
    ready.any(|condition| condition.status == "True") && not_ready.next().is_none()
}

fn process_rows(node: &Node) -> Vec<Row> {
    let first = node.first_process();
    let running = node.programs();
    let row = |component: &str, pid: Option<i32>, address: Option<String>| Row {
        component: component.to_owned(),
        node: Some(node.name().to_owned()),
        pid,
        state: State::of_process(pid.is_some()),
        address,
    };
    let [v4, v6] = node.address().both();
    let mut rows = vec![row(
        "node",
        first.map(|process| process.pid.as_raw()),
        Some(format!("{v4} {v6}")),
    )];
    rows.extend(Component::of_node(node).map(|component| {
        let pid = component
            .find_in(&running)
            .map(|process| process.pid.as_raw());
        row(component.name(), pid, component.address(node))
    }));
    rows
}

async fn answer_rows(cluster: &Cluster) -> Vec<Row> {
    let row = |component: &str, node: Option<&str>, is_ready: bool, address: Option<String>| Row {
        component: component.to_owned(),
        node: node.map(str::to_owned),
        pid: None,
        state: State::of_answer(is_ready),
        address,
    };
    let (mut api_server, mut nodes, mut dns) = (false, Vec::new(), false);
    if let Ok(client) = cluster.client().await {
        api_server = api_server_is_ready(&client).await.unwrap_or(false);
        if api_server {
            nodes = ready_nodes(&client).await.unwrap_or_default();
            dns = dns_is_ready(&client).await.unwrap_or(false);
        }
    }
    let server = cluster.plan().node(1).v4;
    let server = format!("https://{server}:{API_PORT}");
    let mut rows = vec![row("Kubernetes API", None, api_server, Some(server))];
    rows.extend(cluster.nodes().iter().map(|node| {
        let is_ready = nodes.iter().any(|name| name == node.name());
        row("Node", Some(node.name()), is_ready, None)
    }));
    rows.push(row(
        "DNS",
        None,
        dns,
        Some(format!("{}:53", cluster.plan().dns().v4)),
    ));
    rows
}
