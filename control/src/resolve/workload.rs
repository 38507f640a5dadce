//! The workload that a pod is part of, with the fall-backs of Istio's standard metric labels.

use lateen_wire::lateen::Workload;
use lateen_wire::names;

use super::view::View;
use crate::snapshot::Pod;

/// Deprecated label with the locality, in which dots stand for slashes.
const OLD_LOCALITY: &str = "istio-locality";

pub(super) fn of_pod(view: &View<'_>, pod: &Pod) -> Workload {
    let first = |labels: &[&str], otherwise: &str| {
        pod.labels.first_of(labels).unwrap_or(otherwise).to_owned()
    };
    Workload {
        name: pod.workload.to_string(),
        namespace: pod.namespace.to_string(),
        service_account: pod.service_account.to_string(),
        canonical_name: first(
            &[names::CANONICAL_NAME, "app.kubernetes.io/name", "app"],
            &pod.workload,
        ),
        canonical_revision: first(
            &[
                names::CANONICAL_REVISION,
                "app.kubernetes.io/version",
                "version",
            ],
            "latest",
        ),
        app: first(&["app"], ""),
        version: first(&["version"], ""),
        cluster: view.cluster().id.clone(),
        locality: locality(view, pod),
        mutual_tls: accepts_mutual_tls(pod),
        trust_domain: view.mesh().trust_domain.clone(),
        host_network: pod.host_network,
    }
}

fn locality(view: &View<'_>, pod: &Pod) -> String {
    if let Some(given) = pod.labels.first_of(&[names::LOCALITY]) {
        // A label's value cannot hold a slash.
        return given.replace('.', "/");
    }
    if let Some(given) = pod.labels.first_of(&[OLD_LOCALITY]) {
        return given.replace('.', "/");
    }
    view.locality(&pod.node).to_owned()
}

/// A pod on the host's network has no sidecar, whatever its labels claim.
fn accepts_mutual_tls(pod: &Pod) -> bool {
    !pod.host_network && pod.labels.get(names::TLS_MODE) == Some(names::TLS_MODE_ISTIO)
}
