//! Metrics merging: Prometheus scrapes the agent, and the agent the application (Istio's
//! `enablePrometheusMerge`).

use std::collections::BTreeMap;

use crate::annotations::{PodOptions, Scrape, is_spelling};
use crate::keys;

/// The agent's page with the metrics of application, proxy and agent.
const MERGED_PATH: &str = "/stats/prometheus";

/// Environment variable that tells the agent where the application's metrics are.
pub(crate) const VARIABLE: &str = "ISTIO_PROMETHEUS_ANNOTATIONS";

/// Whether the pod's metrics are merged: neither the pod nor the mesh is against it, the agent has a
/// port, and nobody has sent Prometheus there before.
pub(crate) fn is_merged(options: &PodOptions, mesh_merges: bool, status_port: u16) -> bool {
    options.merge_metrics.unwrap_or(mesh_merges)
        && status_port != 0
        && !options.scrape.is_off()
        && !options.scrape.is_merged(status_port)
}

/// Sends Prometheus to the agent, whatever spelling the annotations had before.
pub(crate) fn redirect(annotations: &mut BTreeMap<String, String>, status_port: u16) {
    let ours = [
        keys::PROMETHEUS_SCRAPE,
        keys::PROMETHEUS_PORT,
        keys::PROMETHEUS_PATH,
    ];
    annotations.retain(|spelling, _| !ours.iter().any(|key| is_spelling(spelling, key)));
    let values = [
        "true".to_owned(),
        status_port.to_string(),
        MERGED_PATH.to_owned(),
    ];
    annotations.extend(ours.map(str::to_owned).into_iter().zip(values));
}

/// The value of [`VARIABLE`], if the application has metrics.
pub(crate) fn variable(scrape: &Scrape) -> Option<String> {
    if scrape.is_empty() {
        return None;
    }
    serde_json::to_string(scrape).ok()
}
