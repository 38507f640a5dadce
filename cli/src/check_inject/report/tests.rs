//! Explanations of whole situations.

use k8s_openapi::api::core::v1::{Pod, PodSpec};
use lateen_webhook::config::InjectionConfig;
use serde_json::json;

use super::*;
use crate::check_inject::policy;
use crate::hooks::selector::Labels;
use crate::hooks::{Hook, never};
use crate::manifest::admission::{Audience, Call, entries};

fn hook(name: &str, revision: &str) -> Hook {
    let audience = Audience {
        revision,
        is_default: revision == "default",
        unlabelled_namespaces: false,
    };
    let labels = json!({"istio.io/rev": revision});
    let mut configuration: k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration =
        serde_json::from_value(json!({"metadata": {"name": name, "labels": labels}})).unwrap();
    configuration.webhooks = Some(entries(audience, &Call::default()));
    Hook::new(configuration).unwrap()
}

fn labels(pairs: &[(&str, &str)]) -> Labels {
    let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
    pairs.iter().map(owned).collect()
}

fn subject(namespace: &[(&str, &str)], pod: &[(&str, &str)]) -> Subject {
    Subject {
        title: "Deployment shop/web".to_owned(),
        namespace: "shop".to_owned(),
        namespace_labels: labels(namespace),
        pod: Pod {
            metadata: kube::api::ObjectMeta {
                labels: Some(labels(pod)),
                ..Default::default()
            },
            spec: Some(PodSpec::default()),
            status: None,
        },
        fate: None,
    }
}

fn report(subject: &Subject, hooks: &[Hook]) -> Report {
    let verdicts = hooks.iter().map(|hook| {
        let mut verdict = Verdict::of_selectors(hook, subject);
        if verdict.is_asked() {
            verdict.ask(Ok(policy::rules(subject, &InjectionConfig::default())));
        }
        verdict
    });
    Report::new(subject, verdicts.collect())
}

fn both() -> [Hook; 2] {
    [
        hook("istio-sidecar-injector", "default"),
        hook("istio-sidecar-injector-canary", "canary"),
    ]
}

#[test]
fn an_injected_pod_is_explained_rule_by_rule() {
    let subject = subject(&[("istio-injection", "enabled")], &[]);
    insta::assert_snapshot!(report(&subject, &both()).to_text());
}

#[test]
fn a_label_that_prevents_injection_is_named() {
    for (namespace, pod, expected) in [
        (
            &[("istio-injection", "enabled")][..],
            &[("sidecar.istio.io/inject", "false")][..],
            "the pod has label sidecar.istio.io/inject=false",
        ),
        (
            &[("istio-injection", "disabled")],
            &[("sidecar.istio.io/inject", "true")],
            "the namespace has label istio-injection=disabled",
        ),
        (
            &[],
            &[],
            "istio-injection In [enabled] on the namespace, or ",
        ),
    ] {
        let report = report(&subject(namespace, pod), &both()[..1]);
        assert!(!report.injected);
        let reason = &report.webhooks[0].reason;
        assert!(reason.contains(expected), "{namespace:?} {pod:?}: {reason}");
    }
}

#[test]
fn the_policy_has_the_last_word() {
    let mut subject = subject(&[("istio-injection", "enabled")], &[]);
    subject.pod.spec.as_mut().unwrap().host_network = Some(true);
    let report = report(&subject, &both());
    assert!(!report.injected);
    let reason = &report.webhooks[0].reason;
    assert!(
        reason.contains("but the pod uses the network of its node"),
        "{reason}"
    );
}

#[test]
fn an_unknown_policy_is_told() {
    let subject = subject(&[("istio-injection", "enabled")], &[]);
    let mut verdict = Verdict::of_selectors(&both()[0], &subject);
    verdict.ask(Err("forbidden".to_owned()));
    assert!(verdict.injected);
    assert!(
        verdict.reason.contains("not known: forbidden"),
        "{}",
        verdict.reason
    );
}

#[test]
fn two_injectors_of_one_pod_are_an_error() {
    let subject = subject(&[("istio-injection", "enabled")], &[]);
    let rivals = [hook("a", "default"), hook("b", "default")];
    let error = report(&subject, &rivals).refuse_rivals().unwrap_err();
    assert!(error.to_string().contains("a and b"), "{error}");
    assert!(report(&subject, &both()).refuse_rivals().is_ok());
}

#[test]
fn what_a_tag_put_out_of_action_says_so() {
    let mut configuration = both()[0].configuration().clone();
    for entry in configuration.webhooks.iter_mut().flatten() {
        entry.namespace_selector = Some(never());
        entry.object_selector = Some(never());
    }
    let hook = Hook::new(configuration).unwrap();
    let subject = subject(&[("istio-injection", "enabled")], &[]);
    let reason = &report(&subject, &[hook]).webhooks[0].reason;
    assert!(reason.contains("out of action"), "{reason}");
}

#[test]
fn programs_get_every_condition() {
    let subject = subject(&[("istio.io/rev", "canary")], &[]);
    let report = serde_json::to_value(report(&subject, &both())).unwrap();
    assert_eq!(report["injected"], true);
    assert_eq!(report["webhooks"][1]["injected"], true);
    let condition = &report["webhooks"][1]["entries"][0]["namespace"][0];
    assert_eq!(condition["condition"], "istio.io/rev In [canary]");
    assert_eq!(condition["holds"], true);
    assert_eq!(condition["found"], "istio.io/rev=canary");
}
