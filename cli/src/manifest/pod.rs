//! The pods of both components. They satisfy the `restricted` Pod Security level.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    Affinity, Capabilities, Container, ContainerPort, EnvVar, EnvVarSource, HTTPGetAction,
    ObjectFieldSelector, PodAffinityTerm, PodAntiAffinity, PodSecurityContext, PodSpec,
    PodTemplateSpec, Probe, ResourceRequirements, SeccompProfile, SecurityContext,
    WeightedPodAffinityTerm,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use lateen_wire::{names, ports};

use super::component::{CONTROL_HEALTH, Component, text_map};
use crate::values::{Text, Values};

/// Name of this cluster in telemetry, unless the values name it.
const CLUSTER_NAME: &str = "Kubernetes";
/// DNS domain of the cluster, unless the values name it.
const CLUSTER_DOMAIN: &str = "cluster.local";

/// What a component's pods are made from.
pub(super) fn template(component: Component, values: &Values) -> PodTemplateSpec {
    PodTemplateSpec {
        metadata: Some(metadata(component, values)),
        spec: Some(spec(component, values)),
    }
}

fn metadata(component: Component, values: &Values) -> ObjectMeta {
    let own = component.values(values);
    let mut labels = component.labels(&values.revision);
    // The injector is never asked about the pods that it needs to exist itself.
    labels.insert(names::INJECT.to_owned(), "false".to_owned());
    labels.extend(plain(&own.pod_labels));
    let mut annotations = text_map([
        ("prometheus.io/port", "15014"),
        ("prometheus.io/scrape", "true"),
    ]);
    annotations.extend(plain(&own.pod_annotations));
    ObjectMeta {
        labels: Some(labels),
        annotations: Some(annotations),
        ..ObjectMeta::default()
    }
}

fn spec(component: Component, values: &Values) -> PodSpec {
    let own = component.values(values);
    PodSpec {
        service_account_name: Some(component.name_in(&values.revision)),
        security_context: Some(PodSecurityContext {
            run_as_non_root: Some(true),
            run_as_user: Some(names::PROXY_UID.into()),
            run_as_group: Some(names::PROXY_UID.into()),
            seccomp_profile: Some(SeccompProfile {
                type_: "RuntimeDefault".to_owned(),
                ..SeccompProfile::default()
            }),
            ..PodSecurityContext::default()
        }),
        priority_class_name: values.global.priority_class_name.given(),
        node_selector: optional(&own.node_selector),
        tolerations: (!own.tolerations.is_empty()).then(|| own.tolerations.clone()),
        affinity: Some(affinity(component, values)),
        containers: vec![container(component, values)],
        ..PodSpec::default()
    }
}

/// The user's affinity, or else: prefer a node without another replica.
fn affinity(component: Component, values: &Values) -> Affinity {
    let own = &component.values(values).affinity;
    if *own != Affinity::default() {
        return own.clone();
    }
    let other_replica = PodAffinityTerm {
        topology_key: "kubernetes.io/hostname".to_owned(),
        label_selector: Some(component.label_selector(&values.revision)),
        ..PodAffinityTerm::default()
    };
    Affinity {
        pod_anti_affinity: Some(PodAntiAffinity {
            preferred_during_scheduling_ignored_during_execution: Some(vec![
                WeightedPodAffinityTerm {
                    weight: 100,
                    pod_affinity_term: other_replica,
                },
            ]),
            ..PodAntiAffinity::default()
        }),
        ..Affinity::default()
    }
}

fn container(component: Component, values: &Values) -> Container {
    let own = component.values(values);
    let (arguments, listens) = match component {
        Component::Control => (
            Some(vec!["discovery".to_owned()]),
            vec![
                port("https-dns", ports::DISCOVERY),
                port("http-monitoring", ports::MONITORING),
                port("http-health", CONTROL_HEALTH),
            ],
        ),
        Component::Injector => (
            None,
            vec![
                port("https-webhook", ports::WEBHOOK),
                port("http-monitoring", ports::MONITORING),
            ],
        ),
    };
    Container {
        name: component.container().to_owned(),
        image: Some(image(component, values)),
        image_pull_policy: values.global.image_pull_policy.given(),
        args: arguments,
        ports: Some(listens),
        readiness_probe: Some(readiness(component.health_port())),
        env: Some(environment(component, values)),
        resources: resources(&own.resources),
        security_context: Some(SecurityContext {
            allow_privilege_escalation: Some(false),
            read_only_root_filesystem: Some(true),
            capabilities: Some(Capabilities {
                drop: Some(vec!["ALL".to_owned()]),
                ..Capabilities::default()
            }),
            ..SecurityContext::default()
        }),
        ..Container::default()
    }
}

/// A whole reference, or `hub/name:tag`.
fn image(component: Component, values: &Values) -> String {
    let (own, global) = (component.values(values), &values.global);
    let name = own.image.as_str();
    if name.contains('/') {
        return name.to_owned();
    }
    format!(
        "{}/{name}:{}",
        own.hub.or(global.hub.as_str()),
        own.tag.or(global.tag.as_str())
    )
}

fn port(name: &str, number: u16) -> ContainerPort {
    ContainerPort {
        name: Some(name.to_owned()),
        container_port: number.into(),
        protocol: Some("TCP".to_owned()),
        ..ContainerPort::default()
    }
}

fn readiness(port: u16) -> Probe {
    Probe {
        http_get: Some(HTTPGetAction {
            path: Some("/ready".to_owned()),
            port: IntOrString::Int(port.into()),
            ..HTTPGetAction::default()
        }),
        initial_delay_seconds: Some(1),
        period_seconds: Some(3),
        timeout_seconds: Some(5),
        ..Probe::default()
    }
}

fn environment(component: Component, values: &Values) -> Vec<EnvVar> {
    let text = |name: &str, value: &str| EnvVar {
        name: name.to_owned(),
        value: Some(value.to_owned()),
        ..EnvVar::default()
    };
    let field = |name: &str, path: &str| EnvVar {
        name: name.to_owned(),
        value_from: Some(EnvVarSource {
            field_ref: Some(ObjectFieldSelector {
                api_version: Some("v1".to_owned()),
                field_path: path.to_owned(),
            }),
            ..EnvVarSource::default()
        }),
        ..EnvVar::default()
    };
    let mut environment = vec![
        text("REVISION", values.revision.as_str()),
        field("POD_NAME", "metadata.name"),
        field("POD_NAMESPACE", "metadata.namespace"),
    ];
    if component == Component::Control {
        let global = &values.global;
        let cluster = global.multi_cluster.cluster_name.or(CLUSTER_NAME);
        let domain = global.proxy.cluster_domain.or(CLUSTER_DOMAIN);
        let audience = global.sds.token.aud.or(names::TOKEN_AUDIENCE);
        environment.extend([
            text("CLUSTER_ID", cluster),
            text("CLUSTER_DOMAIN", domain),
            text("TOKEN_AUDIENCE", audience),
        ]);
    }
    let own = &component.values(values).env;
    environment.extend(own.iter().map(|(name, value)| text(name, value.as_str())));
    environment
}

fn resources(given: &BTreeMap<String, BTreeMap<String, Text>>) -> Option<ResourceRequirements> {
    let quantities = |kind: &str| {
        let amounts = given.get(kind)?.iter();
        Some(
            amounts
                .map(|(name, amount)| (name.clone(), Quantity(amount.as_str().to_owned())))
                .collect(),
        )
    };
    (!given.is_empty()).then(|| ResourceRequirements {
        limits: quantities("limits"),
        requests: quantities("requests"),
        ..ResourceRequirements::default()
    })
}

fn plain(map: &BTreeMap<String, Text>) -> BTreeMap<String, String> {
    map.iter()
        .map(|(key, value)| (key.clone(), value.as_str().to_owned()))
        .collect()
}

/// A map, unless there is nothing in it.
pub(super) fn optional(map: &BTreeMap<String, Text>) -> Option<BTreeMap<String, String>> {
    (!map.is_empty()).then(|| plain(map))
}
