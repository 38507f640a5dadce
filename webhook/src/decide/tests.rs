use serde_json::json;

use super::*;

fn config(yaml: &str) -> InjectionConfig {
    InjectionConfig::parse(yaml).unwrap().0
}

fn decided(pod: serde_json::Value, namespace: &str, config: &InjectionConfig) -> (bool, Reason) {
    let decision = decide(&serde_json::from_value(pod).unwrap(), namespace, config);
    (decision.inject, decision.reason)
}

/// A pod with the value of its label and that of its annotation.
fn pod(label: Option<&str>, annotation: Option<&str>) -> serde_json::Value {
    let mut pod = json!({"metadata": {"labels": {"app": "web"}, "annotations": {}}});
    if let Some(value) = label {
        pod["metadata"]["labels"][names::INJECT] = value.into();
    }
    if let Some(value) = annotation {
        pod["metadata"]["annotations"][names::INJECT] = value.into();
    }
    pod
}

#[test]
fn the_pod_s_label_beats_its_annotation_and_both_beat_the_policy() {
    let cases = [
        (None, None, (true, Reason::Policy)),
        (Some("true"), None, (true, Reason::Pod)),
        (Some("false"), None, (false, Reason::Pod)),
        (None, Some("true"), (true, Reason::Pod)),
        (None, Some("false"), (false, Reason::Pod)),
        (Some("true"), Some("false"), (true, Reason::Pod)),
        (Some("false"), Some("true"), (false, Reason::Pod)),
        (Some(""), Some("false"), (true, Reason::Policy)),
        (Some("no"), None, (true, Reason::Policy)),
        (Some("False"), None, (true, Reason::Policy)),
    ];
    for (label, annotation, expected) in cases {
        let result = decided(pod(label, annotation), "shop", &config("policy: enabled"));
        assert_eq!(result, expected, "{label:?} {annotation:?}");
    }
    let disabled = config("policy: disabled");
    assert_eq!(
        decided(pod(None, None), "shop", &disabled),
        (false, Reason::Policy)
    );
    assert_eq!(
        decided(pod(Some("true"), None), "shop", &disabled),
        (true, Reason::Pod)
    );
}

#[test]
fn pods_that_cannot_have_a_sidecar_and_system_namespaces_are_never_injected() {
    let mut host = pod(Some("true"), None);
    host["spec"] = json!({"hostNetwork": true, "containers": []});
    assert_eq!(
        decided(host, "shop", &config("")),
        (false, Reason::HostNetwork)
    );
    for spec in [
        json!({"os": {"name": "windows"}, "containers": []}),
        json!({"nodeSelector": {"kubernetes.io/os": "windows"}, "containers": []}),
    ] {
        let mut windows = pod(Some("true"), None);
        windows["spec"] = spec;
        assert_eq!(
            decided(windows, "shop", &config("")),
            (false, Reason::OperatingSystem)
        );
    }
    for namespace in SYSTEM_NAMESPACES {
        let result = decided(pod(Some("true"), None), namespace, &config(""));
        assert_eq!(result, (false, Reason::SystemNamespace));
    }
}

#[test]
fn selectors_decide_for_pods_that_say_nothing() {
    let never = config("neverInjectSelector: [{matchLabels: {app: web}}]");
    assert_eq!(
        decided(pod(None, None), "shop", &never),
        (false, Reason::NeverSelector)
    );
    assert_eq!(
        decided(pod(Some("true"), None), "shop", &never),
        (true, Reason::Pod)
    );
    let always = config(
        "
policy: disabled
neverInjectSelector: [{}, {matchExpressions: [{key: app, operator: NotIn, values: [web]}]}]
alwaysInjectSelector: [{matchLabels: {app: other}}, {matchExpressions: [{key: app, operator: Exists}]}]
",
    );
    assert_eq!(
        decided(pod(None, None), "shop", &always),
        (true, Reason::AlwaysSelector)
    );
    let both = config(
        "
neverInjectSelector: [{matchLabels: {app: web}}]
alwaysInjectSelector: [{matchLabels: {app: web}}]
",
    );
    assert_eq!(
        decided(pod(None, None), "shop", &both),
        (false, Reason::NeverSelector)
    );
}

#[test]
fn an_explanation_ends_with_the_rule_that_decides() {
    let config = config("neverInjectSelector: [{matchLabels: {app: other}}]");
    let explained = |pod: serde_json::Value| {
        let pod = serde_json::from_value(pod).unwrap();
        let steps = explain(&pod, "shop", &config);
        let decision = decide(&pod, "shop", &config);
        let last = steps.last().unwrap();
        assert_eq!(
            (last.rule, last.inject),
            (decision.reason, Some(decision.inject))
        );
        let (_, before) = steps.split_last().unwrap();
        assert!(before.iter().all(|step| step.inject.is_none()));
        steps.iter().map(Step::to_string).collect::<Vec<_>>()
    };
    assert_eq!(explained(pod(None, None)).len(), 7);
    assert_eq!(
        explained(pod(Some("false"), None)),
        [
            "the pod is for Linux",
            "the pod has a network of its own",
            "the namespace does not belong to Kubernetes",
            "label or annotation sidecar.istio.io/inject of the pod says so",
        ]
    );
}
