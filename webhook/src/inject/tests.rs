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
fn with_tproxy_the_proxy_is_root_and_known_by_its_group_whatever_the_user_wants() {
    let own = json!({"runAsUser": 2000, "runAsGroup": 2000, "runAsNonRoot": true});
    let pod = |mode: &str| {
        json!({
            "metadata": {"annotations": {"sidecar.istio.io/interceptionMode": mode}},
            "spec": {"containers": [
                {"name": "web"}, {"name": "istio-proxy", "securityContext": own},
            ]},
        })
    };
    let identity = |mode: &str| {
        let spec = injected(pod(mode), "").pod.spec.unwrap();
        let [init, proxy] = spec.init_containers.unwrap().try_into().unwrap();
        let context = proxy.security_context.unwrap();
        let user = init.args.unwrap()[6].clone();
        let proxy = (
            context.run_as_user,
            context.run_as_group,
            context.run_as_non_root,
        );
        (user, proxy)
    };
    let (user, proxy) = identity("TPROXY");
    assert_eq!(
        (user.as_str(), proxy),
        ("1337", (Some(0), Some(1337), Some(false)))
    );
    let (user, proxy) = identity("REDIRECT");
    assert_eq!(
        (user.as_str(), proxy),
        ("2000", (Some(2000), Some(2000), Some(true)))
    );
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
