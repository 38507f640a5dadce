//! Labels and annotations of an injected pod. What the user wrote stays.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use lateen_wire::names;

use super::{Plan, cni};
use crate::keys;

/// Longest value of a label (Kubernetes).
const LONGEST_LABEL: usize = 63;

/// Adds the labels and annotations that do not depend on what else is injected.
pub(crate) fn add(plan: &Plan<'_>, metadata: &mut ObjectMeta) {
    let name = canonical_name(plan);
    let revision = first_label(plan, &["app.kubernetes.io/version", "version"]);
    let labels = metadata.labels.get_or_insert_default();
    if !plan.is_gateway() {
        set(labels, names::TLS_MODE, names::TLS_MODE_ISTIO);
    }
    set(labels, names::CANONICAL_NAME, &name);
    set(
        labels,
        names::CANONICAL_REVISION,
        revision.unwrap_or("latest"),
    );
    if wants_tunnel(plan) && !plan.is_gateway() {
        set(labels, keys::TUNNEL, "http");
    }
    if let Some(network) = plan.network() {
        set(labels, keys::NETWORK, network);
    }
    let annotations = metadata.annotations.get_or_insert_default();
    annotations.insert(
        names::REVISION.to_owned(),
        plan.values.revision().to_owned(),
    );
    if let Some(container) = plan.containers().next() {
        set(annotations, keys::DEFAULT_CONTAINER, &container.name);
        set(annotations, keys::DEFAULT_LOGS_CONTAINER, &container.name);
    }
    if !plan.is_gateway() {
        let told = cni::annotations(plan).into_iter();
        annotations.extend(told.map(|(key, value)| (key.to_owned(), value)));
    }
    if let Some(overrides) = plan.overrides.annotation(plan.native) {
        annotations.insert(keys::OVERRIDES.to_owned(), overrides);
    }
}

fn set(entries: &mut BTreeMap<String, String>, key: &str, value: &str) {
    if !entries.contains_key(key) {
        entries.insert(key.to_owned(), value.to_owned());
    }
}

/// The service that the workload belongs to by convention, fit for a label.
fn canonical_name(plan: &Plan<'_>) -> String {
    let name = first_label(plan, &["app.kubernetes.io/name", "app"]).unwrap_or(&plan.owner.name);
    let cut = name
        .char_indices()
        .nth(LONGEST_LABEL)
        .map_or(name.len(), |(index, _)| index);
    let (cut, _) = name.split_at(cut);
    cut.trim_matches(['-', '_', '.']).to_owned()
}

fn first_label<'a>(plan: &'a Plan<'_>, keys: &[&str]) -> Option<&'a str> {
    let labels = plan.pod.metadata.labels.as_ref()?;
    let mut values = keys.iter().filter_map(|key| labels.get(*key));
    values.find(|value| !value.is_empty()).map(String::as_str)
}

fn wants_tunnel(plan: &Plan<'_>) -> bool {
    let metadata = &plan.proxy_config.proxy_metadata;
    metadata
        .get("ISTIO_META_ENABLE_HBONE")
        .is_some_and(|value| value == "true")
}
