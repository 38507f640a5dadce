//! Metrics merging: Prometheus scrapes the agent, and the agent the application (Istio's
//! `enablePrometheusMerge`).

use std::collections::BTreeMap;

use serde::Deserialize;

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

/// Undoes [`redirect`]: brings back what `scrape`, the value of [`VARIABLE`], says the user had.
/// Annotations that lead elsewhere than to the agent's page are the user's own.
pub(crate) fn restore(annotations: &mut BTreeMap<String, String>, scrape: Option<&str>) {
    if annotations.get(keys::PROMETHEUS_PATH).map(String::as_str) != Some(MERGED_PATH) {
        return;
    }
    let before = scrape.and_then(|scrape| serde_json::from_str(scrape).ok());
    let Original { scrape, port, path } = before.unwrap_or_default();
    let originals = [
        (keys::PROMETHEUS_SCRAPE, scrape),
        (keys::PROMETHEUS_PORT, port),
        (keys::PROMETHEUS_PATH, path),
    ];
    for (key, value) in originals {
        if value.is_empty() {
            annotations.remove(key);
        } else {
            annotations.insert(key.to_owned(), value);
        }
    }
}

/// What the agent is told of the user's annotations.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Original {
    scrape: String,
    port: String,
    path: String,
}

/// The value of [`VARIABLE`], if the application has metrics.
pub(crate) fn variable(scrape: &Scrape) -> Option<String> {
    if scrape.is_empty() {
        return None;
    }
    serde_json::to_string(scrape).ok()
}
