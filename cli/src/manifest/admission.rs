//! MutatingWebhookConfiguration `istio-sidecar-injector`: about which pods the API server asks the
//! injector. An entry fires if both of its selectors match. `caBundle` is absent: the injector
//! keeps it, so that no upgrade ever blanks it.

use k8s_openapi::api::admissionregistration::v1::{
    MutatingWebhook, MutatingWebhookConfiguration, RuleWithOperations, ServiceReference,
    WebhookClientConfig,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};
use lateen_wire::names;

use super::component::Component;
use crate::values::{ReinvocationPolicy, Values};

/// Namespaces that are not injected by default even where all are.
const SYSTEM_NAMESPACES: [&str; 4] = [
    "kube-system",
    "kube-public",
    "kube-node-lease",
    "local-path-storage",
];

/// The configuration with its entries for the default revision.
pub(super) fn webhooks(values: &Values) -> MutatingWebhookConfiguration {
    let revised = || one_of(names::REVISION, &[names::DEFAULT_REVISION]);
    let unrevised = || absent(names::REVISION);
    let unlabelled = || absent(names::INJECTION);
    let allowed = || none_of(names::INJECT, &["false"]);

    let entry = |name, namespace, object| entry(name, values, namespace, object);
    let mut entries = vec![
        entry(
            "rev.namespace",
            vec![revised(), unlabelled()],
            vec![allowed()],
        ),
        entry(
            "rev.object",
            vec![unrevised(), unlabelled()],
            vec![allowed(), revised()],
        ),
        entry(
            "namespace",
            vec![one_of(names::INJECTION, &["enabled"])],
            vec![allowed()],
        ),
        entry(
            "object",
            vec![unrevised(), unlabelled()],
            vec![one_of(names::INJECT, &["true"]), unrevised()],
        ),
    ];
    if values.injection.enable_namespaces_by_default {
        let ordinary = none_of("kubernetes.io/metadata.name", &SYSTEM_NAMESPACES);
        entries.push(entry(
            "auto",
            vec![unrevised(), unlabelled(), ordinary],
            vec![absent(names::INJECT), unrevised()],
        ));
    }
    MutatingWebhookConfiguration {
        metadata: Component::Injector.cluster_metadata(names::INJECTOR),
        webhooks: Some(entries),
    }
}

fn entry(
    name: &str,
    values: &Values,
    namespace: Vec<LabelSelectorRequirement>,
    object: Vec<LabelSelectorRequirement>,
) -> MutatingWebhook {
    let reinvocation = match values.injection.reinvocation_policy {
        ReinvocationPolicy::IfNeeded => "IfNeeded",
        ReinvocationPolicy::Never => "Never",
    };
    MutatingWebhook {
        name: format!("{name}.sidecar-injector.istio.io"),
        admission_review_versions: vec!["v1".to_owned()],
        client_config: WebhookClientConfig {
            service: Some(ServiceReference {
                name: names::INJECTOR.to_owned(),
                namespace: values.namespace().to_owned(),
                path: Some("/inject".to_owned()),
                port: Some(443),
            }),
            ..WebhookClientConfig::default()
        },
        failure_policy: Some("Fail".to_owned()),
        match_policy: Some("Equivalent".to_owned()),
        reinvocation_policy: Some(reinvocation.to_owned()),
        rules: Some(vec![created_pods()]),
        side_effects: "None".to_owned(),
        timeout_seconds: Some(10),
        namespace_selector: Some(selector(namespace)),
        object_selector: Some(selector(object)),
        ..MutatingWebhook::default()
    }
}

fn created_pods() -> RuleWithOperations {
    RuleWithOperations {
        api_groups: Some(vec![String::new()]),
        api_versions: Some(vec!["v1".to_owned()]),
        operations: Some(vec!["CREATE".to_owned()]),
        resources: Some(vec!["pods".to_owned()]),
        scope: Some("*".to_owned()),
    }
}

fn selector(requirements: Vec<LabelSelectorRequirement>) -> LabelSelector {
    LabelSelector {
        match_expressions: Some(requirements),
        ..LabelSelector::default()
    }
}

fn one_of(key: &str, values: &[&str]) -> LabelSelectorRequirement {
    requirement(key, "In", Some(values))
}

fn none_of(key: &str, values: &[&str]) -> LabelSelectorRequirement {
    requirement(key, "NotIn", Some(values))
}

fn absent(key: &str) -> LabelSelectorRequirement {
    requirement(key, "DoesNotExist", None)
}

fn requirement(key: &str, operator: &str, values: Option<&[&str]>) -> LabelSelectorRequirement {
    LabelSelectorRequirement {
        key: key.to_owned(),
        operator: operator.to_owned(),
        values: values.map(|values| values.iter().map(|value| (*value).to_owned()).collect()),
    }
}
