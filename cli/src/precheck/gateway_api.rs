//! The Kubernetes Gateway API: whether its definitions are installed, which version they are, and
//! whether that is new enough for a mesh. It is fine to have none.

use std::collections::BTreeSet;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::ResourceExt;

use super::finding::Finding;

/// Name of the check.
pub(super) const CHECK: &str = "gateway api";

const GROUP: &str = "gateway.networking.k8s.io";
/// Annotation with the release that a definition is from, such as `v1.4.0`.
const BUNDLE: &str = "gateway.networking.k8s.io/bundle-version";
/// Annotation with `standard` or `experimental`.
const CHANNEL: &str = "gateway.networking.k8s.io/channel";

/// Versions that have to be served of kinds that are installed, as Istio wants them.
const NEEDED: [(&str, &str); 5] = [
    ("Gateway", "v1"),
    ("GatewayClass", "v1"),
    ("GRPCRoute", "v1"),
    ("HTTPRoute", "v1"),
    ("ReferenceGrant", "v1beta1"),
];

/// Looks at the Gateway API's definitions among all of a cluster.
pub(super) fn look(definitions: &[CustomResourceDefinition]) -> Vec<Finding> {
    let of_group = |definition: &&CustomResourceDefinition| definition.spec.group == GROUP;
    let installed: Vec<_> = definitions.iter().filter(of_group).collect();
    if installed.is_empty() {
        return vec![Finding::info(CHECK, "the Gateway API is not installed")];
    }
    let told = format!("the Gateway API {} is installed", releases(&installed));
    let old: Vec<Finding> = installed.iter().filter_map(|kind| too_old(kind)).collect();
    if old.is_empty() {
        let told = format!("{told} and new enough; Lateen does not act on its resources yet");
        return vec![Finding::info(CHECK, told)];
    }
    let mut findings = vec![Finding::info(CHECK, told)];
    findings.extend(old);
    findings
}

/// A kind that is not served in the version that is needed.
fn too_old(definition: &CustomResourceDefinition) -> Option<Finding> {
    let kind = &definition.spec.names.kind;
    let (_, needed) = NEEDED.iter().find(|(needed, _)| needed == kind)?;
    let versions = definition.spec.versions.iter();
    let served: Vec<&str> = versions
        .filter(|version| version.served)
        .map(|version| version.name.as_str())
        .collect();
    if served.contains(needed) {
        return None;
    }
    let has = match served.as_slice() {
        [] => "no version".to_owned(),
        served => served.join(", "),
    };
    let told = format!("{kind} of the Gateway API is too old: served is {has}, needed {needed}");
    let remedy = "install the definitions of the Gateway API 1.1 or newer";
    Some(Finding::warning(CHECK, told).remedy(remedy))
}

/// `v1.4.0 (standard)`: one release, unless definitions were mixed.
fn releases(installed: &[&CustomResourceDefinition]) -> String {
    let releases: BTreeSet<String> = installed.iter().map(|kind| release(kind)).collect();
    releases.into_iter().collect::<Vec<_>>().join(", ")
}

fn release(definition: &CustomResourceDefinition) -> String {
    let annotations = definition.annotations();
    let bundle = annotations
        .get(BUNDLE)
        .map_or("of unknown version", String::as_str);
    match annotations.get(CHANNEL) {
        Some(channel) => format!("{bundle} ({channel})"),
        None => bundle.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::level::Level;

    fn definition(kind: &str, versions: &[&str], release: &str) -> CustomResourceDefinition {
        let versions: Vec<_> = versions
            .iter()
            .map(|name| json!({"name": name, "served": *name != "v1alpha1", "storage": true}))
            .collect();
        serde_json::from_value(json!({
            "metadata": {"annotations": {BUNDLE: release, CHANNEL: "standard"}},
            "spec": {"group": GROUP, "names": {"kind": kind, "plural": "x"}, "scope": "Namespaced",
                "versions": versions},
        }))
        .unwrap()
    }

    fn told(definitions: &[CustomResourceDefinition]) -> Vec<(Level, String)> {
        let findings = look(definitions).into_iter();
        findings
            .map(|finding| (finding.level, finding.message))
            .collect()
    }

    #[test]
    fn nobody_needs_the_gateway_api() {
        let expected = (Level::Info, "the Gateway API is not installed".to_owned());
        assert_eq!(told(&[]), [expected]);
    }

    #[test]
    fn new_definitions_are_told_with_their_release() {
        let definitions = [
            definition("Gateway", &["v1", "v1beta1"], "v1.4.0"),
            definition("ReferenceGrant", &["v1beta1"], "v1.4.0"),
            definition("XListenerSet", &["v1alpha1"], "v1.4.0"),
        ];
        let expected = "the Gateway API v1.4.0 (standard) is installed and new enough; Lateen does not act on its resources yet";
        assert_eq!(told(&definitions), [(Level::Info, expected.to_owned())]);
    }

    #[test]
    fn old_definitions_are_warned_of_kind_by_kind() {
        let definitions = [
            definition("HTTPRoute", &["v1", "v1beta1"], "v1.0.0"),
            definition("GRPCRoute", &["v1alpha2"], "v1.0.0"),
            definition("ReferenceGrant", &["v1alpha1"], "v0.5.0"),
        ];
        let expected = [
            (
                Level::Info,
                "the Gateway API v0.5.0 (standard), v1.0.0 (standard) is installed",
            ),
            (
                Level::Warning,
                "GRPCRoute of the Gateway API is too old: served is v1alpha2, needed v1",
            ),
            (
                Level::Warning,
                "ReferenceGrant of the Gateway API is too old: served is no version, needed v1beta1",
            ),
        ];
        assert_eq!(
            told(&definitions),
            expected.map(|(level, message)| (level, message.to_owned()))
        );
    }
}
