//! Refuses to take over what is not this installation's: objects of another mesh may have our names,
//! but have other selectors, and a cluster has one injector for each revision.

use anyhow::{Context, Result, bail, ensure};
use k8s_openapi::api::apps::v1::Deployment;
use kube::{Api, Client};
use lateen_wire::{Revision, names};

use crate::hooks::{self, Hook};
use crate::manifest::{Component, is_managed};

/// Looks for a control plane in the namespace and an injector in the cluster that are in the way.
pub(super) async fn refuse(client: &Client, namespace: &str, revision: &Revision) -> Result<()> {
    let name = Component::Control.name_in(revision);
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), namespace);
    let control = deployments
        .get_opt(&name)
        .await
        .with_context(|| format!("cannot look at Deployment {namespace}/{name}"))?;
    ensure!(
        control.is_none_or(|control| is_managed(&control)),
        "Deployment {namespace}/{name} is another mesh's control plane; remove it first, or install beside it by --revision NAME"
    );
    refuse_injectors(&hooks::list(client).await?, namespace, revision)
}

fn refuse_injectors(hooks: &[Hook], namespace: &str, revision: &Revision) -> Result<()> {
    let name = Component::Injector.name_in(revision);
    let Some(injector) = hooks.iter().find(|hook| hook.name() == name) else {
        return refuse_second_default(hooks, revision);
    };
    ensure!(
        injector.is_ours(),
        "MutatingWebhookConfiguration {name} is another mesh's; remove it first, or install beside it by --revision NAME"
    );
    match injector.service() {
        Some(service) if service.namespace != namespace => {
            let home = &service.namespace;
            bail!(
                "revision {revision} of the mesh is installed in namespace {home} already; name it by -i {home} to change it, or uninstall it first"
            )
        }
        _ => Ok(()),
    }
}

/// Where a tag has made another revision the default one, a new one would claim the same pods.
fn refuse_second_default(hooks: &[Hook], revision: &Revision) -> Result<()> {
    let mut tags = hooks
        .iter()
        .filter(|hook| hook.tag() == Some(names::DEFAULT_REVISION));
    match tags.next() {
        Some(tag) if revision.is_default() => bail!(
            "tag default leads to revision {}, so there cannot be a second default; install by --revision NAME, or remove the tag first: tag remove default",
            tag.revision()
        ),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::manifest::{MANAGED_LABEL, MANAGED_VALUE};

    fn hook(name: &str, namespace: &str, labels: &serde_json::Value) -> Hook {
        let configuration = json!({
            "metadata": {"name": name, "labels": labels},
            "webhooks": [{
                "name": "rev.namespace.sidecar-injector.istio.io",
                "admissionReviewVersions": ["v1"],
                "clientConfig": {"service": {"name": name, "namespace": namespace}},
                "sideEffects": "None",
            }],
        });
        Hook::new(serde_json::from_value(configuration).unwrap()).unwrap()
    }

    #[test]
    fn only_what_is_in_the_way_is_refused() {
        let ours = json!({MANAGED_LABEL: MANAGED_VALUE, "istio.io/rev": "default"});
        let tag = json!({MANAGED_LABEL: MANAGED_VALUE, "istio.io/rev": "canary", "istio.io/tag": "default"});
        let injector = "istio-sidecar-injector";
        for (hook, revision, expected) in [
            (hook(injector, "mesh", &ours), "", None),
            (hook(injector, "other", &ours), "", Some("-i other")),
            (
                hook(injector, "mesh", &json!({})),
                "",
                Some("another mesh's"),
            ),
            (hook(injector, "mesh", &json!({})), "canary", None),
            (
                hook("tag", "mesh", &tag),
                "",
                Some("leads to revision canary"),
            ),
            (hook("tag", "mesh", &tag), "canary", None),
        ] {
            let refusal = refuse_injectors(&[hook], "mesh", &revision.parse().unwrap()).err();
            let refusal = refusal.map(|error| error.to_string());
            match expected {
                None => assert_eq!(refusal, None),
                Some(part) => assert!(
                    refusal.clone().unwrap_or_default().contains(part),
                    "{refusal:?}"
                ),
            }
        }
    }
}
