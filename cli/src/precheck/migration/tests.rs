//! What is told of clusters that come from Istio.

use serde_json::{Value, json};

use super::*;
use crate::fake_cluster::FakeCluster;
use crate::level::Level;
use crate::values::Sources;

/// A definition of Istio's as an old version has it.
fn definition(plural: &str, kind: &str, group: &str) -> CustomResourceDefinition {
    serde_json::from_value(json!({
        "metadata": {"name": format!("{plural}.{group}")},
        "spec": {"group": group, "names": {"kind": kind, "plural": plural}, "scope": "Namespaced",
            "versions": [
                {"name": "v1beta1", "served": true, "storage": false},
                {"name": "v1alpha3", "served": true, "storage": true},
            ]},
    }))
    .unwrap()
}

fn virtual_service(namespace: &str, name: &str) -> Value {
    json!({"apiVersion": "networking.istio.io/v1alpha3", "kind": "VirtualService",
        "metadata": {"name": name, "namespace": namespace}})
}

/// What is told, as levels and messages.
async fn told(
    cluster: &FakeCluster,
    definitions: &[CustomResourceDefinition],
    version: &str,
) -> Vec<(Level, String)> {
    let values = Values::load(&Sources::default()).unwrap();
    let version = version.parse().unwrap();
    let findings = look(&cluster.client(), Some(definitions), &values, version).await;
    findings
        .into_iter()
        .map(|finding| (finding.level, finding.message))
        .collect()
}

#[tokio::test]
async fn changes_are_told_to_those_who_come_from_before_them() {
    let zipkin = json!({"apiVersion": "v1", "kind": "Service",
        "metadata": {"name": "zipkin", "namespace": "istio-system"}});
    let cluster = FakeCluster::with([zipkin]);
    let operator = [definition(
        "istiooperators",
        "IstioOperator",
        "install.istio.io",
    )];
    let subjects = ["zipkin", "503", "IstioOperator", "native"];
    for (version, expected) in [
        ("1.21.6", &subjects[..]),
        ("1.22", &subjects[1..]),
        ("1.23", &subjects[1..]),
        ("1.24", &subjects[3..]),
        ("1.26", &subjects[3..]),
        ("1.27", &["nothing that differs from Istio 1.27"]),
        ("1.31", &["nothing that differs from Istio 1.31"]),
        ("1.32", &["changes after Istio 1.31 are not known"]),
    ] {
        let told = told(&cluster, &operator, version).await;
        assert_eq!(told.len(), expected.len(), "{version}: {told:?}");
        for ((_, message), subject) in told.iter().zip(expected) {
            assert!(message.contains(subject), "{version}: {message}");
        }
    }
    let without_traces = told(&FakeCluster::default(), &[], "1.20").await;
    let all_known = without_traces
        .iter()
        .all(|(level, _)| *level == Level::Info);
    assert!(all_known && without_traces.len() == 2, "{without_traces:?}");
}

#[tokio::test]
async fn what_has_no_effect_is_told_where_it_is() {
    let policy = json!({"apiVersion": "security.istio.io/v1alpha3", "kind": "AuthorizationPolicy",
        "metadata": {"name": "deny", "namespace": "shop"}});
    let ambient = json!({"apiVersion": "v1", "kind": "Namespace",
        "metadata": {"name": "quiet", "labels": {"istio.io/dataplane-mode": "ambient"}}});
    let mesh = json!({"apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "istio", "namespace": "istio-system"},
        "data": {"mesh": "extensionProviders:\n- name: zipkin\n"}});
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "alone",
        "namespace": "shop", "labels": {"istio.io/dataplane-mode": "ambient"}}});
    let mut objects = vec![
        policy,
        ambient,
        pod,
        mesh,
        virtual_service("shop", "second"),
    ];
    objects.extend((1..=7).map(|number| virtual_service(&format!("n{number}"), "first")));
    let cluster = FakeCluster::with(objects);
    let definitions = [
        definition("virtualservices", "VirtualService", "networking.istio.io"),
        definition(
            "authorizationpolicies",
            "AuthorizationPolicy",
            "security.istio.io",
        ),
        definition(
            "peerauthentications",
            "PeerAuthentication",
            "security.istio.io",
        ),
    ];
    let mut told = told(&cluster, &definitions, "1.31").await;
    let (_, settings) = told.pop().unwrap();
    assert!(
        settings.starts_with("ConfigMap istio-system/istio: meshConfig.extensionProviders: "),
        "{settings}"
    );
    let expected = [
        (
            Level::Error,
            "1 of kind AuthorizationPolicy would have no effect, in namespace shop",
        ),
        (
            Level::Warning,
            "8 of kind VirtualService would have no effect, in namespaces n1, n2, n3, n4, n5 and 3 more",
        ),
        (
            Level::Warning,
            "there is no ambient mode, which the label of namespace quiet asks for",
        ),
        (
            Level::Warning,
            "there is no ambient mode, which pods ask for by their labels, in namespace shop",
        ),
    ];
    assert_eq!(
        told,
        expected.map(|(level, message)| (level, message.to_owned()))
    );
}

#[tokio::test]
async fn settings_of_ones_own_installation_are_told_by_that() {
    let mesh = json!({"apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "istio", "namespace": "istio-system",
            "labels": {"app.kubernetes.io/part-of": "lateen"}},
        "data": {"mesh": "extensionProviders:\n- name: zipkin\n"}});
    let told = told(&FakeCluster::with([mesh]), &[], "1.31").await;
    assert!(told[0].1.starts_with("nothing that differs"), "{told:?}");
}

#[tokio::test]
async fn settings_of_every_revision_are_told_with_their_places() {
    let control = |name: &str, namespace: &str, revision: &str| {
        json!({"apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": name, "namespace": namespace,
                "labels": {"app": "istiod", "istio.io/rev": revision}}})
    };
    let mesh = |namespace: &str, name: &str| {
        json!({"apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": name, "namespace": namespace},
            "data": {"mesh": "extensionProviders:\n- name: zipkin\n"}})
    };
    let cluster = FakeCluster::with([
        control("istiod-1-26", "istio-system", "1-26"),
        control("istiod", "other", "default"),
        mesh("istio-system", "istio-1-26"),
        mesh("istio-system", "istio-unused"),
        mesh("other", "istio"),
    ]);
    let told = told(&cluster, &[], "1.31").await;
    let places: Vec<&str> = told
        .iter()
        .filter_map(|(_, message)| Some(message.split_once(": ")?.0))
        .collect();
    assert_eq!(
        places,
        ["ConfigMap istio-system/istio-1-26", "ConfigMap other/istio"],
        "{told:?}"
    );
}

#[tokio::test]
async fn what_may_not_be_read_hides_nothing_else() {
    let service = virtual_service("shop", "web");
    let ambient = json!({"apiVersion": "v1", "kind": "Namespace",
        "metadata": {"name": "quiet", "labels": {"istio.io/dataplane-mode": "ambient"}}});
    let cluster = FakeCluster::with([service, ambient]);
    let definitions = [
        definition(
            "authorizationpolicies",
            "AuthorizationPolicy",
            "security.istio.io",
        ),
        definition("virtualservices", "VirtualService", "networking.istio.io"),
    ];
    let forbidden = [
        "services",
        "authorizationpolicies",
        "pods",
        "deployments",
        "configmaps",
    ];
    let cluster = forbidden.into_iter().fold(cluster, FakeCluster::forbidding);
    let told = told(&cluster, &definitions, "1.20").await;
    let refused = |(_, message): &&(Level, String)| message.starts_with("could not be looked at");
    assert_eq!(
        told.iter().filter(refused).count(),
        forbidden.len(),
        "{told:?}"
    );
    for part in ["503", "native", "VirtualService", "namespace quiet"] {
        let is_told = told.iter().any(|(_, message)| message.contains(part));
        assert!(is_told, "{part}: {told:?}");
    }
}
