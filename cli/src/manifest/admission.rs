//! MutatingWebhookConfigurations: about which pods the API server asks which injector. An entry
//! fires if both of its selectors match. `caBundle` of a revision's own configuration is absent: the
//! injector keeps it, so that no upgrade ever blanks it.

use anyhow::Result;
use k8s_openapi::api::admissionregistration::v1::{
    MutatingWebhook, MutatingWebhookConfiguration, RuleWithOperations, ServiceReference,
    WebhookClientConfig,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};
use lateen_wire::names;

use super::component::Component;
use super::object::Object;
use super::tag::{Control, Tag};
use super::workload;
use crate::values::{ReinvocationPolicy, Values};

/// How the names of all entries end, of Istio's as of ours.
pub(crate) const ENTRY_SUFFIX: &str = "sidecar-injector.istio.io";

/// Namespaces that are not injected by default even where all are.
pub(crate) const SYSTEM_NAMESPACES: [&str; 4] = [
    "kube-system",
    "kube-public",
    "kube-node-lease",
    "local-path-storage",
];

/// Whom a configuration speaks for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Audience<'a> {
    /// The revision or tag that labels `istio.io/rev` name.
    pub(crate) revision: &'a str,
    /// Whether silence about the revision means this one.
    pub(crate) is_default: bool,
    /// Whether silence about injection, too, means this one; only for the default.
    pub(crate) unlabelled_namespaces: bool,
}

/// How the injector is called.
#[derive(Clone, Debug, Default)]
pub(crate) struct Call {
    /// Where it is, and the authority of its certificate.
    pub(crate) client_config: WebhookClientConfig,
    /// Whether it is called again when a later webhook has changed the pod.
    pub(crate) reinvocation_policy: Option<String>,
}

/// A revision's own configuration, and those of the tags that lead to it.
pub(super) fn objects(values: &Values) -> Result<Vec<Object>> {
    let call = call(values);
    let mut objects = vec![Object::new(&configuration(values, &call))?];
    for tag in &values.tags {
        let tag = Tag {
            name: tag.as_str(),
            revision: &values.revision,
            configuration: &Tag::configuration_name(tag.as_str()),
            call: &call,
            unlabelled_namespaces: values.injection.enable_namespaces_by_default,
            injector: Some(values.namespace()),
            control: Some(Control {
                namespace: values.namespace().to_owned(),
                annotations: workload::service_annotations(Component::Control, values),
                spec: workload::service_spec(Component::Control, &values.revision),
            }),
        };
        objects.extend(tag.objects()?);
    }
    Ok(objects)
}

fn configuration(values: &Values, call: &Call) -> MutatingWebhookConfiguration {
    let audience = Audience {
        revision: values.revision.as_str(),
        is_default: values.revision.is_default(),
        unlabelled_namespaces: values.injection.enable_namespaces_by_default,
    };
    let name = Component::Injector.name_in(&values.revision);
    MutatingWebhookConfiguration {
        metadata: Component::Injector.cluster_metadata(values, &name),
        webhooks: Some(entries(audience, call)),
    }
}

/// How the revision's injector is called.
fn call(values: &Values) -> Call {
    let reinvocation = match values.injection.reinvocation_policy {
        ReinvocationPolicy::IfNeeded => "IfNeeded",
        ReinvocationPolicy::Never => "Never",
    };
    Call {
        client_config: WebhookClientConfig {
            service: Some(ServiceReference {
                name: Component::Injector.name_in(&values.revision),
                namespace: values.namespace().to_owned(),
                path: Some("/inject".to_owned()),
                port: Some(443),
            }),
            ..WebhookClientConfig::default()
        },
        reinvocation_policy: Some(reinvocation.to_owned()),
    }
}

/// The entries by which an audience reaches an injector.
pub(crate) fn entries(audience: Audience<'_>, call: &Call) -> Vec<MutatingWebhook> {
    let revised = || one_of(names::REVISION, &[audience.revision]);
    let unrevised = || absent(names::REVISION);
    let unlabelled = || absent(names::INJECTION);
    let allowed = || none_of(names::INJECT, &["false"]);

    let mut entries = vec![
        entry(
            "rev.namespace",
            call,
            vec![revised(), unlabelled()],
            vec![allowed()],
        ),
        entry(
            "rev.object",
            call,
            vec![unrevised(), unlabelled()],
            vec![allowed(), revised()],
        ),
    ];
    if !audience.is_default {
        return entries;
    }
    entries.push(entry(
        "namespace",
        call,
        vec![one_of(names::INJECTION, &["enabled"])],
        vec![allowed()],
    ));
    entries.push(entry(
        "object",
        call,
        vec![unrevised(), unlabelled()],
        vec![one_of(names::INJECT, &["true"]), unrevised()],
    ));
    if audience.unlabelled_namespaces {
        let ordinary = none_of("kubernetes.io/metadata.name", &SYSTEM_NAMESPACES);
        entries.push(entry(
            "auto",
            call,
            vec![unrevised(), unlabelled(), ordinary],
            vec![absent(names::INJECT), unrevised()],
        ));
    }
    entries
}

fn entry(
    name: &str,
    call: &Call,
    namespace: Vec<LabelSelectorRequirement>,
    object: Vec<LabelSelectorRequirement>,
) -> MutatingWebhook {
    MutatingWebhook {
        name: format!("{name}.{ENTRY_SUFFIX}"),
        admission_review_versions: vec!["v1".to_owned()],
        client_config: call.client_config.clone(),
        failure_policy: Some("Fail".to_owned()),
        match_policy: Some("Equivalent".to_owned()),
        reinvocation_policy: call.reinvocation_policy.clone(),
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
