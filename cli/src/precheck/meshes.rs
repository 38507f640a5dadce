//! Meshes that are there: the namespace of the control plane, revisions of ours, another Istio.

use anyhow::{Context, Result};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::ListParams;
use kube::{Api, Client, ResourceExt};
use lateen_wire::names;

use super::finding::{Finding, Findings};
use crate::manifest::{Component, is_managed};
use crate::values::Values;

/// Name of the check.
pub(super) const CHECK: &str = "mesh";

/// Looks for what an installation would meet.
pub(super) async fn look(
    client: &Client,
    definitions: Option<&[CustomResourceDefinition]>,
    values: &Values,
) -> Findings {
    let mut findings = Findings::default();
    let namespace = namespace(client, values.namespace()).await;
    findings.add(CHECK, namespace.map(|finding| [finding]));
    let controls = findings.learn(CHECK, controls(client).await);
    let controls = controls.unwrap_or_default();
    findings.extend(controls.iter().map(|control| of_control(control, values)));
    findings.extend(definitions.and_then(foreign_definitions));
    findings
}

/// The control planes that are installed, Istio's and ours.
pub(super) async fn controls(client: &Client) -> Result<Vec<Deployment>> {
    let api: Api<Deployment> = Api::all(client.clone());
    let selected = ListParams::default().labels("app=istiod");
    let found = api
        .list(&selected)
        .await
        .context("cannot list Deployments")?;
    Ok(found.items)
}

/// The revision of a control plane.
pub(super) fn revision(control: &Deployment) -> &str {
    let label = control.labels().get(names::REVISION);
    label.map_or(names::DEFAULT_REVISION, String::as_str)
}

async fn namespace(client: &Client, name: &str) -> Result<Finding> {
    let api: Api<Namespace> = Api::all(client.clone());
    let found = api
        .get_opt(name)
        .await
        .with_context(|| format!("cannot look at namespace {name}"))?;
    let Some(namespace) = found else {
        let told = format!("there is no namespace {name} yet; an installation makes it");
        return Ok(Finding::info(CHECK, told));
    };
    if namespace.metadata.deletion_timestamp.is_some() {
        return Ok(
            Finding::error(CHECK, format!("namespace {name} is being deleted")).remedy(
                "wait for its end, or find out what holds it: kubectl get namespace -o yaml",
            ),
        );
    }
    Ok(Finding::info(CHECK, format!("namespace {name} exists")))
}

/// A control plane that is there: one to upgrade, one beside which there is room, or one in the way.
fn of_control(control: &Deployment, values: &Values) -> Finding {
    let place = format!(
        "{}/{}",
        control.namespace().unwrap_or_default(),
        control.name_any()
    );
    let revision = revision(control);
    if is_managed(control) {
        return Finding::info(CHECK, format!("revision {revision} is installed: {place}"));
    }
    let in_the_way = control.namespace().as_deref() == Some(values.namespace())
        && control.name_any() == Component::Control.name_in(&values.revision);
    let told = format!("another Istio is installed: {place}, revision {revision}");
    if in_the_way {
        Finding::error(CHECK, told)
            .remedy("install beside it with --revision NAME, and move namespace by namespace")
    } else {
        Finding::info(CHECK, told)
    }
}

/// Kinds of Istio's API that somebody else has defined, and who keeps them.
fn foreign_definitions(definitions: &[CustomResourceDefinition]) -> Option<Finding> {
    let is_foreign = |definition: &&CustomResourceDefinition| {
        definition.spec.group.ends_with(".istio.io") && !is_managed(*definition)
    };
    let count = definitions.iter().filter(is_foreign).count();
    (count > 0).then(|| {
        Finding::warning(
            CHECK,
            format!("{count} kinds of Istio's API are defined by another installation"),
        )
        .remedy("an installation takes their definitions over and keeps all resources; `--set base.enableCRDTemplates=false` of the chart base leaves them alone")
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::level::Level;
    use crate::manifest::{MANAGED_LABEL, MANAGED_VALUE};
    use crate::values::Sources;

    #[test]
    fn another_istio_is_an_error_only_where_it_is_in_the_way() {
        let values = |revision: &str| {
            let sources = Sources {
                revision: Some(revision.to_owned()),
                ..Sources::default()
            };
            Values::load(&sources).unwrap()
        };
        let control = |labels: serde_json::Value| -> Deployment {
            let metadata = json!({"name": "istiod", "namespace": "istio-system", "labels": labels});
            serde_json::from_value(json!({ "metadata": metadata })).unwrap()
        };
        let (istio, ours) = (
            control(json!({"app": "istiod", "istio.io/rev": "default"})),
            control(json!({MANAGED_LABEL: MANAGED_VALUE})),
        );
        assert_eq!(of_control(&istio, &values("")).level, Level::Error);
        assert_eq!(of_control(&istio, &values("lateen")).level, Level::Info);
        assert_eq!(of_control(&ours, &values("")).level, Level::Info);
    }
}
