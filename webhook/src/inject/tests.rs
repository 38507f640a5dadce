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
        cluster: &Cluster::default(),
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

/// An application with a probe and metrics.
fn application() -> Value {
    json!({
        "metadata": {"labels": {"app": "web"}, "annotations": {"prometheus.io/port": "9100"}},
        "spec": {"containers": [
            {"name": "web", "image": "web:1", "livenessProbe": {"httpGet": {"path": "/live", "port": 80}}},
        ]},
    })
}

/// What the API server makes of a pod before anybody sees it again.
fn completed(pod: &Pod) -> Value {
    let mut pod = serde_json::to_value(pod).unwrap();
    let spec = pod["spec"].as_object_mut().unwrap();
    for list in ["containers", "initContainers"] {
        for container in spec[list].as_array_mut().into_iter().flatten() {
            container["terminationMessagePath"] = json!("/dev/termination-log");
            container["imagePullPolicy"] = json!("IfNotPresent");
            if container["resources"]["limits"].is_object() {
                container["resources"]["limits"] = json!({"cpu": "2", "memory": "1Gi"});
            }
            for probe in ["livenessProbe", "readinessProbe", "startupProbe"] {
                if let Some(probe) = container.get_mut(probe) {
                    probe["successThreshold"] = json!(1);
                    probe["httpGet"]["scheme"] = json!("HTTP");
                }
            }
            let mounts = container.as_object_mut().unwrap().entry("volumeMounts");
            let token =
                json!({"name": "t", "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount"});
            mounts
                .or_insert_with(|| json!([]))
                .as_array_mut()
                .unwrap()
                .push(token);
        }
    }
    pod
}

#[test]
fn a_complete_pod_is_left_alone_after_the_api_server_has_filled_it_in() {
    let injected = injected(application(), "");
    let mut again = completed(&injected.pod);
    assert_eq!(inject(again.clone(), ""), Ok(Outcome::AlreadyInjected));
    again["spec"]["initContainers"][1]["image"] = json!("older");
    let Ok(Outcome::Injected(new)) = inject(again, "") else {
        panic!("an old proxy stays")
    };
    let proxy = &new.pod.spec.unwrap().init_containers.unwrap()[1];
    assert_eq!(proxy.image.as_deref(), Some("lateen/proxyv2:0.1.0"));
}

#[test]
fn what_another_webhook_adds_after_us_is_taken_into_the_mesh() {
    let mut pod = completed(&injected(application(), "").pod);
    let helper = json!({"name": "helper", "livenessProbe": {"tcpSocket": {"port": 81}}});
    pod["spec"]["containers"]
        .as_array_mut()
        .unwrap()
        .push(helper);
    let spec = injected(pod, "").pod.spec.unwrap();
    let proxy = &spec.init_containers.as_ref().unwrap()[1];
    let variables: BTreeMap<&str, &str> = proxy
        .env
        .iter()
        .flatten()
        .filter_map(|set| Some((set.name.as_str(), set.value.as_deref()?)))
        .collect();
    assert_eq!(variables["ISTIO_META_APP_CONTAINERS"], "web,helper");
    assert!(variables["ISTIO_PROMETHEUS_ANNOTATIONS"].contains("9100"));
    let probers: Value = serde_json::from_str(variables["ISTIO_KUBE_APP_PROBERS"]).unwrap();
    assert_eq!(probers["/app-health/web/livez"]["httpGet"]["path"], "/live");
    assert_eq!(probers["/app-health/helper/livez"]["tcpSocket"]["port"], 81);
    let probe = spec.containers[1].liveness_probe.as_ref().unwrap();
    let path = probe.http_get.as_ref().unwrap().path.as_deref();
    assert_eq!(path, Some("/app-health/helper/livez"));
}
