//! What each component may do: service accounts, roles and bindings. `docs/install.md` gives the
//! reason of every rule.

use anyhow::Result;
use k8s_openapi::api::core::v1::{LocalObjectReference, ServiceAccount};
use k8s_openapi::api::rbac::v1::{
    ClusterRole, ClusterRoleBinding, PolicyRule, Role, RoleBinding, RoleRef, Subject,
};
use lateen_api::networking;
use lateen_webhook::openshift;
use lateen_wire::{Revision, names};

use super::component::{COMPONENTS, Component};
use super::object::Object;
use crate::values::Values;

const CORE: &str = "";
const ADMISSION: &str = "admissionregistration.k8s.io";
const WEBHOOKS: &str = "mutatingwebhookconfigurations";
const RBAC: &str = "rbac.authorization.k8s.io";
/// What it takes to follow objects, even a single one by its name.
const FOLLOW: &[&str] = &["list", "watch"];
const READ: &[&str] = &["get", "list", "watch"];

/// Secret with an intermediate certificate that an operator provides.
const PLUGGED_IN_CERTS: &str = "cacerts";

/// Accounts, roles and bindings of both components.
pub(super) fn objects(values: &Values) -> Result<Vec<Object>> {
    let mut objects = Vec::new();
    for component in COMPONENTS {
        objects.push(Object::new(&account(component, values))?);
        objects.push(Object::new(&cluster_role(component, values))?);
        objects.push(Object::new(&cluster_role_binding(component, values))?);
        objects.push(Object::new(&role(component, values))?);
        objects.push(Object::new(&role_binding(component, values))?);
    }
    Ok(objects)
}

fn account(component: Component, values: &Values) -> ServiceAccount {
    let secrets = values.global.image_pull_secrets.iter();
    let secrets: Vec<_> = secrets
        .map(|name| LocalObjectReference { name: name.clone() })
        .collect();
    ServiceAccount {
        metadata: component.metadata(values),
        image_pull_secrets: (!secrets.is_empty()).then_some(secrets),
        ..ServiceAccount::default()
    }
}

/// What the component may do in the whole cluster.
fn cluster_role(component: Component, values: &Values) -> ClusterRole {
    let own = |object| values.revision.name_of(object);
    let rules = match component {
        Component::Control => vec![
            rule(CORE, &["services", "pods", "nodes", "namespaces"], FOLLOW),
            rule("discovery.k8s.io", &["endpointslices"], FOLLOW),
            rule("networking.k8s.io", &["servicecidrs"], FOLLOW),
            rule("authentication.k8s.io", &["tokenreviews"], &["create"]),
            rule(CORE, &["configmaps"], &["create"]),
            named(
                CORE,
                "configmaps",
                &[names::ROOT_CONFIG_MAP],
                &["list", "watch", "patch"],
            ),
        ],
        Component::Injector => {
            let on_openshift = values.global.platform.as_str() == openshift::PLATFORM;
            let mut rules = vec![
                rule(CORE, &["nodes"], FOLLOW),
                rule(networking::GROUP, &["proxyconfigs"], FOLLOW),
            ];
            rules.extend(on_openshift.then(|| rule(CORE, &["namespaces"], FOLLOW)));
            rules.push(rule(ADMISSION, &[WEBHOOKS], FOLLOW));
            rules.push(keep_webhooks(&[&own(names::INJECTOR)]));
            rules
        }
    };
    ClusterRole {
        metadata: component.cluster_metadata(values, &cluster_role_name(component, values)),
        rules: Some(rules),
        ..ClusterRole::default()
    }
}

/// What the component may do in its own namespace.
fn role(component: Component, values: &Values) -> Role {
    let own = |object| values.revision.name_of(object);
    let rules = match component {
        Component::Control => vec![
            rule(CORE, &["secrets"], &["create"]),
            named(CORE, "secrets", &[PLUGGED_IN_CERTS], READ),
            named(
                CORE,
                "secrets",
                &[names::ROOT_SECRET],
                &["get", "list", "watch", "update"],
            ),
            named(
                CORE,
                "secrets",
                &[&own(names::INJECTOR_CERTS)],
                &["list", "watch", "patch"],
            ),
            named(CORE, "configmaps", &[&own(names::MESH_CONFIG_MAP)], FOLLOW),
            rule("coordination.k8s.io", &["leases"], &["create"]),
            named(
                "coordination.k8s.io",
                "leases",
                &[&own(names::LEADER_LEASE)],
                &["get", "update"],
            ),
            rule(CORE, &["events"], &["create"]),
        ],
        Component::Injector => vec![
            named(
                CORE,
                "configmaps",
                &[&own(names::MESH_CONFIG_MAP), &own(names::INJECTOR)],
                FOLLOW,
            ),
            named(CORE, "secrets", &[&own(names::INJECTOR_CERTS)], FOLLOW),
            rule(CORE, &["events"], &["create"]),
        ],
    };
    Role {
        metadata: component.metadata(values),
        rules: Some(rules),
    }
}

fn cluster_role_binding(component: Component, values: &Values) -> ClusterRoleBinding {
    let name = cluster_role_name(component, values);
    ClusterRoleBinding {
        metadata: component.cluster_metadata(values, &name),
        role_ref: reference("ClusterRole", &name),
        subjects: Some(vec![subject(
            component,
            &values.revision,
            values.namespace(),
        )]),
    }
}

fn role_binding(component: Component, values: &Values) -> RoleBinding {
    RoleBinding {
        metadata: component.metadata(values),
        role_ref: reference("Role", &component.name_in(&values.revision)),
        subjects: Some(vec![subject(
            component,
            &values.revision,
            values.namespace(),
        )]),
    }
}

fn cluster_role_name(component: Component, values: &Values) -> String {
    component.cluster_role(&values.revision, values.namespace())
}

pub(super) fn reference(kind: &str, name: &str) -> RoleRef {
    RoleRef {
        api_group: RBAC.to_owned(),
        kind: kind.to_owned(),
        name: name.to_owned(),
    }
}

pub(super) fn subject(component: Component, revision: &Revision, namespace: &str) -> Subject {
    Subject {
        kind: "ServiceAccount".to_owned(),
        name: component.name_in(revision),
        namespace: Some(namespace.to_owned()),
        ..Subject::default()
    }
}

/// The right to keep `caBundle` of webhook configurations.
pub(super) fn keep_webhooks(names: &[&str]) -> PolicyRule {
    named(ADMISSION, WEBHOOKS, names, &["patch"])
}

fn rule(group: &str, resources: &[&str], verbs: &[&str]) -> PolicyRule {
    PolicyRule {
        api_groups: Some(vec![group.to_owned()]),
        resources: Some(owned(resources)),
        verbs: owned(verbs),
        ..PolicyRule::default()
    }
}

/// A rule for single objects by their names.
fn named(group: &str, resource: &str, names: &[&str], verbs: &[&str]) -> PolicyRule {
    PolicyRule {
        resource_names: Some(owned(names)),
        ..rule(group, &[resource], verbs)
    }
}

fn owned(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}
