//! What is listed of whole clusters.

use serde_json::{Value, json};

use super::*;
use crate::fake_cluster::FakeCluster;
use crate::manifest::Manifest;
use crate::values::{Sources, Values};

/// The webhook configuration and the ConfigMap of a revision whose images have its name as their tag.
fn installed(revision: &str) -> Vec<Value> {
    let sources = Sources {
        revision: Some(revision.to_owned()),
        assignments: vec!["hub=hub".to_owned(), format!("tag={revision}")],
        ..Sources::default()
    };
    let manifest = Manifest::build(&Values::load(&sources).unwrap()).unwrap();
    let objects = manifest.configuration.iter().chain(&manifest.admission);
    let objects = objects.map(|object| object.to_json().unwrap());
    let is_wanted = |object: &Value| {
        ["ConfigMap", "MutatingWebhookConfiguration"].contains(&object["kind"].as_str().unwrap())
    };
    objects.filter(is_wanted).collect()
}

fn namespace(name: &str, labels: &Value) -> Value {
    json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}})
}

fn pod(place: &str, revision: Option<&str>, labels: &Value, host_network: bool) -> Value {
    let (namespace, name) = place.split_once('/').unwrap();
    let status = revision.map(|revision| json!({ "revision": revision }).to_string());
    json!({"apiVersion": "v1", "kind": "Pod",
        "metadata": {"namespace": namespace, "name": name, "labels": labels,
            "annotations": {"sidecar.istio.io/status": status}},
        "spec": {"containers": [], "hostNetwork": host_network}})
}

fn without_nulls(mut pod: Value) -> Value {
    let annotations = pod["metadata"]["annotations"].as_object_mut().unwrap();
    annotations.retain(|_, value| !value.is_null());
    pod
}

fn cluster() -> FakeCluster {
    let none = json!({});
    let mut objects = installed("default");
    objects.extend(installed("canary"));
    objects.extend([
        namespace("istio-system", &none),
        namespace("kube-system", &json!({"istio-injection": "enabled"})),
        namespace("plain", &none),
        namespace("left", &none),
        namespace("empty", &json!({"istio.io/rev": "canary"})),
        namespace("lost", &json!({"istio.io/rev": "gone"})),
        namespace("shop", &json!({"istio-injection": "enabled"})),
        namespace(
            "waypoint",
            &json!({"istio.io/dataplane-mode": "ambient", "istio.io/rev": "canary"}),
        ),
    ]);
    let pods = [
        pod("shop/new", Some("default"), &none, false),
        pod("shop/old", Some("canary"), &none, false),
        pod("shop/bare", None, &none, false),
        pod(
            "shop/not",
            None,
            &json!({"sidecar.istio.io/inject": "false"}),
            false,
        ),
        pod("shop/node", None, &none, true),
        pod("left/behind", Some("default"), &none, false),
        pod(
            "left/own",
            Some("default"),
            &json!({"sidecar.istio.io/inject": "true"}),
            false,
        ),
        pod("plain/x", None, &none, false),
        pod("istio-system/istiod", None, &none, false),
    ];
    objects.extend(pods.map(without_nulls));
    FakeCluster::with(objects)
}

async fn listed(only: Option<&str>) -> Report {
    look(&cluster().client(), "istio-system", only)
        .await
        .unwrap()
}

#[tokio::test]
async fn namespaces_are_listed_with_the_revisions_of_their_pods() {
    let report = listed(None).await;
    let expected = "\
NAMESPACE   ISTIO-REVISION   POD-REVISIONS
empty       canary           <no pods>
left                         default: 2 NEEDS RESTART: 1
lost        MISSING/gone     <no pods>
shop        default          <non-Istio>: 3 (injection disabled: 1) NEEDS RESTART: 1
shop        default          canary: 1 NEEDS RESTART: 1
shop        default          default: 1

NAMESPACES   INJECTOR-HOOK                   ISTIO-REVISION   SIDECAR-IMAGE
shop         istio-sidecar-injector          default          hub/proxyv2:default
empty        istio-sidecar-injector-canary   canary           hub/proxyv2:canary
";
    assert_eq!(report.to_text(), expected);
}

#[tokio::test]
async fn one_namespace_is_listed_alone() {
    let report = serde_json::to_value(listed(Some("left")).await).unwrap();
    let pods = json!([{"revision": "default", "pods": 2, "disabled": 0, "needsRestart": 1}]);
    let namespaces = json!([{"namespace": "left", "revision": "", "pods": pods}]);
    assert_eq!(report["namespaces"], namespaces);
    assert_eq!(report["injectors"][0]["namespaces"], json!([]));
    let missing = look(&cluster().client(), "istio-system", Some("none")).await;
    assert!(missing.unwrap_err().to_string().contains("none"));
}

#[tokio::test]
async fn clusters_without_a_mesh_have_nothing_to_list() {
    let report = look(&FakeCluster::default().client(), "istio-system", None).await;
    assert_eq!(
        report.unwrap().to_text(),
        "No namespace is injected.\n\nThere are no injectors.\n"
    );
}
