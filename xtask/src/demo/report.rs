//! What the demo shows at its end: who is there, who called whom, and where to look.

use std::collections::BTreeMap;

use anyhow::Result;
use k8s_openapi::api::core::v1::Pod;

use super::metrics::{self, Calls, Edge};
use crate::kubectl::{self, Kubectl};
use crate::output;

/// Where every sidecar answers with its metrics.
const METRICS: &str = "15020/proxy/stats/prometheus";

/// Prints the pods.
pub(crate) fn pods(pods: &[Pod]) {
    let rows: Vec<_> = pods.iter().map(pod).collect();
    output::table(["POD", "READY", "STATUS", "ADDRESS", "NODE"], &rows);
}

fn pod(pod: &Pod) -> [String; 5] {
    let status = pod.status.clone().unwrap_or_default();
    let (ready, containers) = kubectl::readiness(pod);
    [
        kubectl::name(pod).to_owned(),
        format!("{ready}/{containers}"),
        status.phase.unwrap_or_default(),
        status.pod_ip.unwrap_or_default(),
        pod.spec
            .as_ref()
            .and_then(|spec| spec.node_name.clone())
            .unwrap_or_default(),
    ]
}

/// Prints who called whom, how often, how fast, as whom, and encrypted or not, as the sidecars of
/// `pods` saw it.
///
/// # Errors
/// When a sidecar does not answer.
pub(crate) fn calls(kubectl: &Kubectl, namespace: &str, pods: &[Pod]) -> Result<()> {
    let mut calls = BTreeMap::new();
    for pod in pods {
        let name = kubectl::name(pod);
        let path = format!("/api/v1/namespaces/{namespace}/pods/{name}:{METRICS}");
        metrics::add_calls(&kubectl.read(&["get", "--raw", &path])?, &mut calls);
    }
    let rows: Vec<_> = calls.iter().map(|(edge, calls)| row(edge, calls)).collect();
    let head = [
        "CALLER",
        "CALLED",
        "REQUESTS",
        "FAILED",
        "P50",
        "P99",
        "IDENTITY OF THE CALLER",
        "WIRE",
    ];
    output::table(head, &rows);
    Ok(())
}

fn row(edge: &Edge, calls: &Calls) -> [String; 8] {
    let time = |quantile| {
        calls
            .quantile(quantile)
            .map_or_else(|| "-".to_owned(), |time| format!("{time:.1} ms"))
    };
    let source = if edge.source == "unknown" {
        "outside the mesh"
    } else {
        &edge.source
    };
    let principal = if edge.principal == "unknown" {
        "-"
    } else {
        &edge.principal
    };
    [
        source.to_owned(),
        edge.destination.clone(),
        calls.requests.to_string(),
        calls.failures.to_string(),
        time(0.5),
        time(0.99),
        principal.to_owned(),
        if edge.mutual_tls {
            "mutual TLS"
        } else {
            "plain"
        }
        .to_owned(),
    ]
}
