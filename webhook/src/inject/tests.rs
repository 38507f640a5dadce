use serde_json::{Value, json};

use super::*;
use crate::config::Sources;

fn inject(pod: Value, values: &str) -> Result<Outcome, InjectError> {
    let (config, _) = Config::parse(Sources {
        values,
        ..Sources::default()
    })
    .unwrap();
    let injector = Injector::new(config, NativeSidecars::Always).unwrap();
    let target = Target {
        namespace: "shop",
        parameters: &Parameters::default(),
        kubelets: &Kubelets::default(),
        owner: None,
    };
    injector.inject(&serde_json::from_value(pod).unwrap(), &target)
}

fn injected(pod: Value, values: &str) -> Injection {
    match inject(pod, values) {
        Ok(Outcome::Injected(injection)) => injection,
        other => panic!("not injected: {other:?}"),
    }
}

#[test]
fn every_wrong_annotation_is_named() {
    let pod = json!({
        "metadata": {"annotations": {
            "proxy.istio.io/config": "statusPort: none",
            "sidecar.istio.io/proxyCPU": "a lot",
            "traffic.sidecar.istio.io/includeOutboundPorts": "80\", \"-x",
        }},
        "spec": {"containers": [{"name": "web"}]},
    });
    let message = inject(pod, "").unwrap_err().to_string();
    for part in [
        "proxy.istio.io/config",
        "statusPort",
        "\"a lot\"",
        "includeOutboundPorts",
        "80\\\"",
    ] {
        assert!(message.contains(part), "{part}: {message}");
    }
}

#[test]
fn a_status_that_came_with_copied_annotations_counts_for_nothing() {
    let status = r#"{"initContainers":["istio-init","istio-proxy"],"containers":null}"#;
    for status in [status, "rubbish", "{}"] {
        let pod = json!({
            "metadata": {"annotations": {"sidecar.istio.io/status": status}},
            "spec": {"containers": [{"name": "web"}]},
        });
        assert!(
            matches!(inject(pod, ""), Ok(Outcome::Injected(_))),
            "{status}"
        );
    }
}

#[test]
fn values_that_cannot_be_are_refused_before_any_pod_comes() {
    let values = r#"{"global":{"proxy":{"excludeIPRanges":"10.0.0.0"}}}"#;
    let (config, _) = Config::parse(Sources {
        values,
        ..Sources::default()
    })
    .unwrap();
    let error = Injector::new(config, NativeSidecars::Auto)
        .unwrap_err()
        .to_string();
    assert!(error.contains("global.proxy.excludeIPRanges"), "{error}");
}

#[test]
fn a_pod_that_is_a_proxy_alone_keeps_it_as_its_container() {
    let pod =
        json!({"metadata": {}, "spec": {"containers": [{"name": "istio-proxy", "image": "auto"}]}});
    let spec = injected(pod, "").pod.spec.unwrap();
    assert_eq!(spec.containers.len(), 1);
    assert_eq!(
        spec.containers[0].image.as_deref(),
        Some("lateen/proxyv2:0.1.0")
    );
}
