//! Deployments, Services, PodDisruptionBudgets and NetworkPolicies.

use std::collections::BTreeMap;

use anyhow::Result;
use k8s_openapi::api::apps::v1::{
    Deployment, DeploymentSpec, DeploymentStrategy, RollingUpdateDeployment,
};
use k8s_openapi::api::core::v1::{Service, ServicePort, ServiceSpec};
use k8s_openapi::api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use lateen_wire::{Revision, ports};

use super::component::Component;
use super::object::Object;
use super::{network, pod};
use crate::values::Values;

/// What runs the component, and what leads to it.
pub(super) fn objects(component: Component, values: &Values) -> Result<Vec<Object>> {
    let mut objects = vec![
        Object::new(&service(component, values))?,
        Object::new(&deployment(component, values))?,
    ];
    if values.global.default_pod_disruption_budget.enabled {
        objects.push(Object::new(&disruption_budget(component, values))?);
    }
    if values.global.network_policy.enabled {
        objects.push(Object::new(&network::policy(component, values))?);
    }
    Ok(objects)
}

fn service(component: Component, values: &Values) -> Service {
    Service {
        metadata: ObjectMeta {
            annotations: service_annotations(component, values),
            ..component.metadata(values)
        },
        spec: Some(service_spec(component, &values.revision)),
        ..Service::default()
    }
}

/// What the user wants on every Service that leads to the component.
pub(super) fn service_annotations(
    component: Component,
    values: &Values,
) -> Option<BTreeMap<String, String>> {
    pod::optional(&component.values(values).service_annotations)
}

/// What leads to the component of a revision.
pub(super) fn service_spec(component: Component, revision: &Revision) -> ServiceSpec {
    let own = match component {
        Component::Control => ("https-dns", ports::DISCOVERY, ports::DISCOVERY),
        Component::Injector => ("https-webhook", 443, ports::WEBHOOK),
    };
    let monitoring = ("http-monitoring", ports::MONITORING, ports::MONITORING);
    let port = |(name, port, target): (&str, u16, u16)| ServicePort {
        name: Some(name.to_owned()),
        port: port.into(),
        target_port: Some(IntOrString::Int(target.into())),
        protocol: Some("TCP".to_owned()),
        ..ServicePort::default()
    };
    ServiceSpec {
        selector: Some(component.selector(revision)),
        ports: Some(vec![port(own), port(monitoring)]),
        ..ServiceSpec::default()
    }
}

fn disruption_budget(component: Component, values: &Values) -> PodDisruptionBudget {
    PodDisruptionBudget {
        metadata: component.metadata(values),
        spec: Some(PodDisruptionBudgetSpec {
            min_available: Some(IntOrString::Int(1)),
            selector: Some(component.label_selector(&values.revision)),
            ..PodDisruptionBudgetSpec::default()
        }),
        ..PodDisruptionBudget::default()
    }
}

fn deployment(component: Component, values: &Values) -> Deployment {
    let own = component.values(values);
    let percent = |share: &str| Some(IntOrString::String(share.to_owned()));
    Deployment {
        metadata: component.metadata(values),
        spec: Some(DeploymentSpec {
            replicas: Some(own.replica_count),
            selector: component.label_selector(&values.revision),
            strategy: Some(DeploymentStrategy {
                type_: Some("RollingUpdate".to_owned()),
                rolling_update: Some(RollingUpdateDeployment {
                    max_surge: percent("100%"),
                    max_unavailable: percent("25%"),
                }),
            }),
            template: pod::template(component, values),
            ..DeploymentSpec::default()
        }),
        ..Deployment::default()
    }
}
