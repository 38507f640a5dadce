//! Annotations that trigger a message, and such that do not.

use serde_json::{Value, json};

use super::super::example::{deployment, heads, namespace, pod, told};
use super::*;

fn annotated(annotations: &Value) -> Value {
    json!({ "annotations": annotations })
}

fn told_of_pod(annotations: &Value) -> Vec<String> {
    told(
        analyze,
        &[pod("shop/web", &annotated(annotations), &json!({}))],
    )
}

#[test]
fn known_annotations_in_their_place_are_well() {
    let annotations = json!({
        "sidecar.istio.io/proxyCPU": "100m",
        "sidecar.istio.io/status": "{}",
        "proxy.istio.io/config": "concurrency: 2",
        "galley.istio.io/analyze-suppress": "IST0001",
        "notistio.io/anything": "",
        "example.org/anything": "",
    });
    assert_eq!(told_of_pod(&annotations), Vec::<String>::new());
}

#[test]
fn unknown_annotations_are_told() {
    let told = told_of_pod(&json!({"sidecar.istio.io/proxyCpu": "100m"}));
    assert_eq!(heads(&told), ["IST0108 Pod shop/web"]);
    assert!(told[0].contains("sidecar.istio.io/proxyCpu"), "{told:?}");
}

#[test]
fn misplaced_annotations_are_told_with_their_place() {
    let mut object = deployment("shop/web", &json!({}), &json!({}));
    object["metadata"]["annotations"] = json!({"sidecar.istio.io/proxyCPU": "100m"});
    let mut space = namespace("shop", &json!({}));
    space["metadata"]["annotations"] = json!({"networking.istio.io/exportTo": "*"});
    let mut service = json!({"apiVersion": "v1", "kind": "Service",
        "metadata": {"namespace": "shop", "name": "web"}});
    service["metadata"]["annotations"] = json!({"networking.istio.io/exportTo": "*"});
    let told = told(analyze, &[object, space, service]);
    assert_eq!(
        heads(&told),
        ["IST0107 Deployment shop/web", "IST0107 Namespace shop"]
    );
    assert!(told[0].contains("below spec.template.metadata"), "{told:?}");
}

#[test]
fn wrong_values_are_told_of_pods_and_of_what_makes_them() {
    let wrong = annotated(&json!({"sidecar.istio.io/proxyCPU": "much"}));
    let told = told(
        analyze,
        &[
            pod("shop/web", &wrong, &json!({})),
            deployment("shop/web", &wrong, &json!({})),
        ],
    );
    assert_eq!(
        heads(&told),
        ["IST0125 Deployment shop/web", "IST0125 Pod shop/web"]
    );
    assert!(told[0].contains("\"much\""), "{told:?}");
}

#[test]
fn deprecated_annotations_are_told_unless_the_label_is_there_too() {
    let mut metadata = annotated(&json!({"sidecar.istio.io/inject": "true"}));
    let alone = told(analyze, &[pod("shop/web", &metadata, &json!({}))]);
    assert_eq!(heads(&alone), ["IST0135 Pod shop/web"]);
    metadata["labels"] = json!({"sidecar.istio.io/inject": "true"});
    let both = told(analyze, &[pod("shop/web", &metadata, &json!({}))]);
    assert_eq!(both, Vec::<String>::new());
}

#[test]
fn alpha_annotations_are_told_unless_the_mesh_has_written_them() {
    let annotations = annotated(&json!({
        "sidecar.istio.io/status": "{}",
        "sidecar.istio.io/interceptionMode": "REDIRECT",
        "proxy.istio.io/config": "{}",
    }));
    let by_plugin = pod("shop/plugin", &annotations, &json!({}));
    let init = json!({"initContainers": [{"name": "istio-init"}]});
    let by_init = pod("shop/init", &annotations, &init);
    let told = told(analyze_maturity, &[by_plugin, by_init]);
    assert_eq!(heads(&told), ["IST0136 Pod shop/init"]);
    assert!(told[0].contains("interceptionMode"), "{told:?}");
}
