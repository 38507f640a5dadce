//! Kernel and iptables: a pod for each kind of node programs redirection in its own network, tries
//! it, and is taken away again.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::{
    Capabilities, Container, Node, Pod, PodSpec, SecurityContext, Toleration,
};
use kube::api::{DeleteParams, ListParams, LogParams, ObjectMeta, PostParams};
use kube::{Api, Client, ResourceExt};
use lateen_wire::{names, ports};
use tokio::time::{Instant, sleep};

use super::finding::Finding;
use crate::console::{Console, chain};
use crate::manifest::{MANAGED_LABEL, MANAGED_VALUE};
use crate::trouble::{Trouble, trouble};
use crate::values::Values;

/// Name of the check.
pub(super) const CHECK: &str = "kernel";
/// How long a pod may take, its image included.
const LIMIT: Duration = Duration::from_secs(60);
/// Between two looks at a pod.
const INTERVAL: Duration = Duration::from_millis(500);
/// Kubernetes ends a pod that nobody takes away.
const DEADLINE: i64 = 120;

/// What became of a pod.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    /// Redirection works.
    Works,
    /// It does not; what the program said.
    Fails(String),
    /// The pod did not get so far; why.
    Stuck(String),
}

/// Tries redirection on one node of each kernel.
pub(super) async fn look(
    client: &Client,
    values: &Values,
    namespace: &str,
    console: &Console,
) -> Result<Vec<Finding>> {
    let nodes: Api<Node> = Api::all(client.clone());
    let nodes = nodes
        .list(&ListParams::default())
        .await
        .context("cannot list nodes")?;
    let mut findings = Vec::new();
    for (kernel, node) in kernels(&nodes.items) {
        console.note(&format!(
            "Trying redirection on node {node} (Linux {kernel})"
        ));
        let outcome = attempt(client, namespace, pod(values, &node)).await;
        findings.push(match outcome {
            Ok(outcome) => of_outcome(outcome, &kernel, &node, namespace),
            Err(error) => Finding::warning(
                CHECK,
                format!(
                    "redirection was not tried on node {node}: {}",
                    chain(&error)
                ),
            )
            .remedy("name a namespace that lets a pod with NET_ADMIN in by --kernel-namespace"),
        });
    }
    Ok(findings)
}

/// One node for each version of the kernel.
fn kernels(nodes: &[Node]) -> BTreeMap<String, String> {
    let mut kernels = BTreeMap::new();
    for node in nodes {
        let info = node
            .status
            .as_ref()
            .and_then(|status| status.node_info.as_ref());
        if let Some(info) = info.filter(|info| info.operating_system == "linux") {
            kernels
                .entry(info.kernel_version.clone())
                .or_insert_with(|| node.name_any());
        }
    }
    kernels
}

fn of_outcome(outcome: Outcome, kernel: &str, node: &str, namespace: &str) -> Finding {
    match outcome {
        Outcome::Works => {
            Finding::info(CHECK, format!("Linux {kernel} redirects: tried on node {node}"))
        }
        Outcome::Fails(reason) => Finding::error(
            CHECK,
            format!("Linux {kernel} on node {node} does not redirect: {reason}"),
        )
        .remedy("load the kernel modules of netfilter on the nodes: ip_tables or nf_tables, nf_nat, xt_REDIRECT, xt_owner, xt_conntrack"),
        Outcome::Stuck(reason) => Finding::warning(
            CHECK,
            format!("redirection was not tried on node {node}: {reason}"),
        )
        .remedy(format!(
            "see that the image can be had (--set global.hub=...,global.tag=...) and that namespace {namespace} lets a pod with NET_ADMIN in (--kernel-namespace)"
        )),
    }
}

/// Runs a pod to its end, or for as long as it may take, and always takes it away.
async fn attempt(client: &Client, namespace: &str, pod: Pod) -> Result<Outcome> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let made = pods
        .create(&PostParams::default(), &pod)
        .await
        .with_context(|| format!("cannot make a pod in namespace {namespace}"))?;
    let name = made.name_any();
    let outcome = tokio::select! {
        outcome = outcome(&pods, &name) => outcome,
        _ = tokio::signal::ctrl_c() => Ok(Outcome::Stuck("it was interrupted".to_owned())),
    };
    pods.delete(&name, &DeleteParams::default().grace_period(0))
        .await
        .with_context(|| format!("cannot delete pod {namespace}/{name}; delete it by hand"))?;
    outcome
}

async fn outcome(pods: &Api<Pod>, name: &str) -> Result<Outcome> {
    let until = Instant::now() + LIMIT;
    loop {
        let pod = pods
            .get(name)
            .await
            .with_context(|| format!("cannot look at pod {name}"))?;
        let phase = pod
            .status
            .as_ref()
            .and_then(|status| status.phase.as_deref());
        match phase {
            Some("Succeeded") => return Ok(Outcome::Works),
            Some("Failed") => return Ok(Outcome::Fails(last_words(pods, name).await)),
            // An image that cannot be had is nothing that time mends.
            _ if matches!(trouble(&pod), Some(Trouble::Image { .. }))
                || Instant::now() >= until =>
            {
                return Ok(Outcome::Stuck(waiting(&pod)));
            }
            _ => sleep(INTERVAL).await,
        }
    }
}

/// The last line of a container's log says why it ended.
async fn last_words(pods: &Api<Pod>, name: &str) -> String {
    let log = pods.logs(name, &LogParams::default()).await;
    let log = log.unwrap_or_default();
    let last = log.lines().rev().find(|line| !line.is_empty());
    last.unwrap_or("it said nothing").to_owned()
}

/// What keeps a pod from running, in the words of scheduler and kubelet.
fn waiting(pod: &Pod) -> String {
    trouble(pod).map_or_else(
        || format!("its pod did not end within {} s", LIMIT.as_secs()),
        |trouble| trouble.to_string(),
    )
}

/// A pod that does what `istio-init` does, tries the result and ends.
fn pod(values: &Values, node: &str) -> Pod {
    let labels = [
        (names::INJECT, "false"),
        (names::INJECTION, "disabled"),
        (MANAGED_LABEL, MANAGED_VALUE),
    ];
    let labels = labels.map(|(key, value)| (key.to_owned(), value.to_owned()));
    let pull_secrets = values
        .global
        .image_pull_secrets
        .iter()
        .map(|name| k8s_openapi::api::core::v1::LocalObjectReference { name: name.clone() });
    Pod {
        metadata: ObjectMeta {
            generate_name: Some("lateenctl-precheck-".to_owned()),
            labels: Some(labels.into()),
            ..ObjectMeta::default()
        },
        spec: Some(PodSpec {
            containers: vec![container(values)],
            node_name: Some(node.to_owned()),
            restart_policy: Some("Never".to_owned()),
            active_deadline_seconds: Some(DEADLINE),
            automount_service_account_token: Some(false),
            enable_service_links: Some(false),
            image_pull_secrets: Some(pull_secrets.collect()),
            tolerations: Some(vec![Toleration {
                operator: Some("Exists".to_owned()),
                ..Toleration::default()
            }]),
            ..PodSpec::default()
        }),
        status: None,
    }
}

fn container(values: &Values) -> Container {
    let arguments = format!(
        "istio-iptables -p {} -z {} -u {} -m REDIRECT -i * -b * -d 15090,{} --run-validation",
        ports::OUTBOUND,
        ports::INBOUND,
        names::PROXY_UID,
        ports::HEALTH,
    );
    // SETUID and SETGID: what is tried is the traffic of the proxy's user.
    let added = ["NET_ADMIN", "NET_RAW", "SETGID", "SETUID"];
    Container {
        name: names::INIT_CONTAINER.to_owned(),
        image: Some(values.init_image()),
        image_pull_policy: values.global.image_pull_policy.given(),
        args: Some(arguments.split(' ').map(str::to_owned).collect()),
        security_context: Some(SecurityContext {
            allow_privilege_escalation: Some(false),
            capabilities: Some(Capabilities {
                add: Some(added.map(str::to_owned).to_vec()),
                drop: Some(vec!["ALL".to_owned()]),
            }),
            run_as_user: Some(0),
            run_as_group: Some(0),
            ..SecurityContext::default()
        }),
        ..Container::default()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::values::Sources;

    #[test]
    fn the_pod_runs_what_is_installed_and_ends() {
        let values = Values::load(&Sources {
            assignments: vec!["hub=h,tag=t".to_owned()],
            ..Sources::default()
        });
        let pod = pod(&values.unwrap(), "node-1");
        let spec = pod.spec.as_ref().unwrap();
        assert_eq!(spec.containers[0].image.as_deref(), Some("h/proxyv2:t"));
        assert_eq!(spec.node_name.as_deref(), Some("node-1"));
        assert_eq!(spec.restart_policy.as_deref(), Some("Never"));
        assert_eq!(pod.labels()[names::INJECT], "false");
    }

    #[test]
    fn what_holds_a_pod_up_is_told() {
        let pod = |status: serde_json::Value| -> Pod {
            serde_json::from_value(json!({ "status": status })).unwrap()
        };
        let image = json!({"containerStatuses": [{"name": "x", "image": "y", "imageID": "", "ready": false,
            "restartCount": 0, "state": {"waiting": {"reason": "ErrImagePull", "message": "no such image"}}}]});
        assert_eq!(waiting(&pod(image)), "cannot get image y: no such image");
        let taint = json!({"conditions": [{"type": "PodScheduled", "status": "False", "message": "no room"}]});
        assert_eq!(waiting(&pod(taint)), "Pending: no room");
        assert!(waiting(&pod(json!({}))).contains("60 s"));
    }

    #[test]
    fn each_kernel_is_tried_once() {
        let node = |name: &str, kernel: &str| -> Node {
            serde_json::from_value(json!({"metadata": {"name": name}, "status": {"nodeInfo": {
                "architecture": "", "bootID": "", "containerRuntimeVersion": "", "kernelVersion": kernel,
                "kubeProxyVersion": "", "kubeletVersion": "", "machineID": "", "operatingSystem": "linux",
                "osImage": "", "systemUUID": ""}}}))
            .unwrap()
        };
        let nodes = [node("a", "6.1"), node("b", "6.1"), node("c", "5.15")];
        let tried: Vec<_> = kernels(&nodes).into_values().collect();
        assert_eq!(tried, ["c", "a"]);
    }
}
