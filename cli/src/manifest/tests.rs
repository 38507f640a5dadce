//! Goldens of what is installed, so that a review sees every change of it.

use k8s_openapi::api::rbac::v1::PolicyRule;
use serde_json::Value;

use super::*;
use crate::values::{Sources, Values};

fn manifest(assignments: &[&str]) -> Manifest {
    let assignments = assignments.iter().map(|text| (*text).to_owned()).collect();
    let sources = Sources {
        assignments,
        ..Sources::default()
    };
    Manifest::build(&Values::load(&sources).unwrap()).unwrap()
}

#[test]
fn access_is_this_and_nothing_more() {
    let manifest = manifest(&[]);
    let roles = manifest
        .access
        .iter()
        .filter(|object| object.resource.kind.ends_with("Role"));
    let rules: Vec<String> = roles
        .flat_map(|role| {
            let rules: Vec<PolicyRule> =
                serde_json::from_value(role.to_json().unwrap()["rules"].clone()).unwrap();
            let lines = rules.into_iter().map(|rule| line(&rule));
            std::iter::once(role.title())
                .chain(lines)
                .collect::<Vec<_>>()
        })
        .collect();
    insta::assert_snapshot!(rules.join("\n"));
}

/// `verbs: group/resources [names]`.
fn line(rule: &PolicyRule) -> String {
    let join = |texts: &Option<Vec<String>>| texts.clone().unwrap_or_default().join(",");
    let names = rule
        .resource_names
        .as_ref()
        .map(|names| format!(" {names:?}"))
        .unwrap_or_default();
    format!(
        "  {}: {}/{}{names}",
        rule.verbs.join(","),
        join(&rule.api_groups),
        join(&rule.resources)
    )
}

#[test]
fn bindings_bind_each_role_to_its_own_account() {
    let manifest = manifest(&[]);
    let bindings = manifest
        .access
        .iter()
        .filter(|object| object.resource.kind.ends_with("Binding"));
    insta::assert_snapshot!(to_yaml(bindings).unwrap());
}

#[test]
fn configuration_by_default() {
    insta::assert_snapshot!(to_yaml(&manifest(&[]).configuration).unwrap());
}

#[test]
fn control_by_default() {
    insta::assert_snapshot!(to_yaml(&manifest(&[]).control).unwrap());
}

#[test]
fn injector_by_default() {
    insta::assert_snapshot!(to_yaml(&manifest(&[]).injector).unwrap());
}

#[test]
fn admission_by_default() {
    insta::assert_snapshot!(to_yaml(&manifest(&[]).admission).unwrap());
}

#[test]
fn every_object_is_found_by_uninstall() {
    let manifest = manifest(&["sidecarInjectorWebhook.enableNamespacesByDefault=true"]);
    for object in manifest.objects() {
        let labels = object.content.metadata.labels.as_ref().unwrap();
        assert_eq!(
            labels.get(MANAGED_LABEL).unwrap(),
            MANAGED_VALUE,
            "{}",
            object.title()
        );
    }
}

#[test]
fn an_installation_asks_for_its_own_namespace() {
    let manifest = manifest(&["namespace=mesh"]);
    let yaml = to_yaml(
        manifest
            .objects()
            .filter(|object| object.resource.kind != "CustomResourceDefinition"),
    )
    .unwrap();
    assert!(yaml.contains("istiod.mesh.svc:15012"));
    assert!(!yaml.contains("istio-system"), "{yaml}");
}

#[test]
fn building_twice_gives_the_same() {
    let json = || -> Vec<Value> {
        manifest(&[])
            .objects()
            .map(|object| object.to_json().unwrap())
            .collect()
    };
    assert_eq!(json(), json());
}
