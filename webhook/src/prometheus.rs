//! Metrics merging: Prometheus scrapes the agent, and the agent the application (Istio's
//! `enablePrometheusMerge`).

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

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
    let Original {
        scrape,
        mut port,
        mut path,
        targets,
    } = before.unwrap_or_default();
    if let Some(targets) = targets.as_array() {
        // Istio moves the annotation too, and repeats its first target.
        let text = |target: &Value, name: &str| {
            target.get(name).and_then(Value::as_str).map(str::to_owned)
        };
        let target = |target: &Value| {
            Some(format!(
                "{}:{}",
                text(target, "port")?,
                text(target, "path")?
            ))
        };
        let all: Vec<String> = targets.iter().filter_map(target).collect();
        annotations.insert(keys::SCRAPE_TARGETS.to_owned(), all.join(","));
        (port, path) = (String::new(), String::new());
    }
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
    /// A text of ours, of which the annotation stays, or a list of Istio's.
    targets: Value,
}

/// The value of [`VARIABLE`], if the application has metrics.
pub(crate) fn variable(scrape: &Scrape) -> Option<String> {
    if scrape.is_empty() {
        return None;
    }
    serde_json::to_string(scrape).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn restored(annotations: Value, scrape: &Value) -> Value {
        let mut annotations = serde_json::from_value(annotations).unwrap();
        restore(&mut annotations, Some(&scrape.to_string()));
        json!(annotations)
    }

    #[test]
    fn what_the_user_had_comes_back() {
        let ours = json!({
            "prometheus.io/scrape": "true", "prometheus.io/port": "15020",
            "prometheus.io/path": "/stats/prometheus", "a": "b",
        });
        let scrape = json!({"scrape": "true", "port": "9100", "path": ""});
        let expected =
            json!({"prometheus.io/scrape": "true", "prometheus.io/port": "9100", "a": "b"});
        assert_eq!(restored(ours.clone(), &scrape), expected);

        let targets = json!([{"port": "8080", "path": "/a"}, {"port": "9100", "path": "/b"}]);
        let scrape = json!({"scrape": "", "port": "8080", "path": "/a", "targets": targets});
        let expected = json!({"prometheus.istio.io/scrape-targets": "8080:/a,9100:/b", "a": "b"});
        assert_eq!(restored(ours, &scrape), expected);

        let own = json!({"prometheus.io/port": "9100", "prometheus.io/path": "/own"});
        assert_eq!(restored(own.clone(), &scrape), own);
    }
}
