//! Whether all pods of a component run the new state and are ready, and if not, why.

use anyhow::{Context, Result};
use k8s_openapi::api::apps::v1::{Deployment, DeploymentStatus};
use k8s_openapi::api::core::v1::{Event, Pod};
use kube::api::{ListParams, LogParams};
use kube::{Api, Client};
use lateen_wire::Revision;

use crate::manifest::{Component, query};
use crate::readiness;
use crate::trouble::{Trouble, trouble};
use crate::wait::State;

/// Looks at a component's Deployment and, unless it is ready, at its pods.
pub(super) async fn check(
    client: &Client,
    namespace: &str,
    revision: &Revision,
    component: Component,
) -> Result<State> {
    let name = component.name_in(revision);
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), namespace);
    let deployment = deployments
        .get(&name)
        .await
        .with_context(|| format!("cannot look at Deployment {namespace}/{name}"))?;
    let Some(lag) = lag(&deployment) else {
        return Ok(State::Ready);
    };

    let mut lines = vec![format!("{name}: {lag}")];
    lines.extend(refusals(&deployment));
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let pods = pods
        .list(&ListParams::default().labels(&query(&component.selector(revision))))
        .await?;
    let mut told = Vec::new();
    for (pod, trouble) in pods.iter().filter_map(|pod| Some((pod, trouble(pod)?))) {
        // Replicas share their troubles: one of each kind is enough.
        let kind = std::mem::discriminant(&trouble);
        if !told.contains(&kind) {
            told.push(kind);
            lines.push(describe(client, namespace, pod, &trouble, component).await);
        }
    }
    Ok(State::Waiting(lines.join("\n")))
}

/// How far the Deployment is from its spec; `None` if it is there.
fn lag(deployment: &Deployment) -> Option<String> {
    let status = deployment.status.clone().unwrap_or_default();
    if status.observed_generation < deployment.metadata.generation {
        return Some("not looked at by Kubernetes yet".to_owned());
    }
    let wanted = deployment
        .spec
        .as_ref()
        .and_then(|spec| spec.replicas)
        .unwrap_or(1);
    let DeploymentStatus {
        replicas,
        updated_replicas,
        available_replicas,
        ..
    } = status;
    let (all, updated, available) = (
        replicas.unwrap_or(0),
        updated_replicas.unwrap_or(0),
        available_replicas.unwrap_or(0),
    );
    if updated < wanted {
        return Some(format!("{updated} of {wanted} pods made"));
    }
    if available < wanted {
        return Some(format!("{available} of {wanted} pods ready"));
    }
    (all > updated).then(|| {
        format!(
            "{} old pods stay until the new ones are ready",
            all - updated
        )
    })
}

/// Why Kubernetes does not even make the pods: quotas, Pod Security, other webhooks.
fn refusals(deployment: &Deployment) -> Vec<String> {
    let conditions = deployment
        .status
        .iter()
        .flat_map(|status| status.conditions.iter().flatten());
    conditions
        .filter(|condition| condition.type_ == "ReplicaFailure" && condition.status == "True")
        .filter_map(|condition| condition.message.clone())
        .collect()
}

/// A pod's trouble with what else helps: the last line of its log, or what its probe was told.
async fn describe(
    client: &Client,
    namespace: &str,
    pod: &Pod,
    trouble: &Trouble,
    component: Component,
) -> String {
    let name = pod.metadata.name.as_deref().unwrap_or_default();
    let mut text = format!("{name}: {trouble}");
    match trouble {
        Trouble::Crashes { .. } => {
            if let Some(line) = last_log_line(client, namespace, name, component).await {
                text.push_str(&format!("\n  last line of its log: {line}"));
            }
        }
        Trouble::NotReady { .. } => {
            let words = readiness::words(client, namespace, name, component).await;
            let said = match words {
                Some(words) => Some(format!("it says: {words}")),
                None => failed_probe(client, namespace, name).await,
            };
            if let Some(message) = said {
                text.push_str(&format!("\n  {message}"));
            }
        }
        Trouble::Unscheduled { .. } | Trouble::Image { .. } | Trouble::Starting { .. } => {}
    }
    if let Some(hint) = trouble.hint(component) {
        text.push_str(&format!("\n  {hint}"));
    }
    text
}

/// The last line that a crashed container wrote, or the one that replaced it if that is lost.
async fn last_log_line(
    client: &Client,
    namespace: &str,
    pod: &str,
    component: Component,
) -> Option<String> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    for previous in [true, false] {
        let parameters = LogParams {
            container: Some(component.container().to_owned()),
            previous,
            tail_lines: Some(1),
            ..LogParams::default()
        };
        let log = pods.logs(pod, &parameters).await.unwrap_or_default();
        if let Some(line) = log.lines().last().filter(|line| !line.is_empty()) {
            return Some(line.to_owned());
        }
    }
    None
}

/// What the kubelet said when the readiness probe failed last.
async fn failed_probe(client: &Client, namespace: &str, pod: &str) -> Option<String> {
    let events: Api<Event> = Api::namespaced(client.clone(), namespace);
    let about = format!("involvedObject.kind=Pod,involvedObject.name={pod},reason=Unhealthy");
    let events = events
        .list(&ListParams::default().fields(&about))
        .await
        .ok()?;
    events
        .into_iter()
        .max_by_key(|event| event.last_timestamp.clone())
        .and_then(|event| event.message)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn deployment(status: &serde_json::Value) -> Deployment {
        serde_json::from_value(json!({
            "metadata": {"generation": 2}, "spec": {"replicas": 2, "selector": {}, "template": {}}, "status": status
        }))
        .unwrap()
    }

    #[test]
    fn only_new_available_pods_count() {
        for (status, expected) in [
            (json!({}), Some("not looked at by Kubernetes yet")),
            (
                json!({"observedGeneration": 1, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 2}),
                Some("not looked at by Kubernetes yet"),
            ),
            (json!({"observedGeneration": 2}), Some("0 of 2 pods made")),
            (
                json!({"observedGeneration": 2, "replicas": 3, "updatedReplicas": 1, "availableReplicas": 2}),
                Some("1 of 2 pods made"),
            ),
            (
                json!({"observedGeneration": 2, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 1}),
                Some("1 of 2 pods ready"),
            ),
            (
                json!({"observedGeneration": 2, "replicas": 3, "updatedReplicas": 2, "availableReplicas": 3}),
                Some("1 old pods stay until the new ones are ready"),
            ),
            (
                json!({"observedGeneration": 2, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 2}),
                None,
            ),
        ] {
            assert_eq!(lag(&deployment(&status)).as_deref(), expected, "{status}");
        }
    }

    #[test]
    fn refused_pods_are_told() {
        let status = json!({"conditions": [
            {"type": "ReplicaFailure", "status": "True", "message": "pods \"x\" is forbidden: exceeded quota"},
            {"type": "Available", "status": "False", "message": "no"}
        ]});
        assert_eq!(
            refusals(&deployment(&status)),
            ["pods \"x\" is forbidden: exceeded quota"]
        );
    }
}
