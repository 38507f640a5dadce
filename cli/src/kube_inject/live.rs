//! The configuration of the injector that a cluster has for a revision.

use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{Api, Client};
use lateen_wire::{Revision, names};

use crate::arguments::{Connection, KubeInject};
use crate::console::{Console, chain};
use crate::hooks::{self, Hook};

/// Where the configuration is.
pub(super) struct Live<'a> {
    client: &'a Client,
    namespace: String,
    revision: Revision,
}

impl<'a> Live<'a> {
    /// Finds the revision that is meant: by the name of a webhook configuration, by its own name or
    /// that of a tag, or else the default one.
    pub(super) async fn find(
        client: &'a Client,
        connection: &Connection,
        options: &KubeInject,
        console: &Console,
    ) -> Result<Self> {
        let hooks = match hooks::list(client).await {
            Ok(hooks) => hooks,
            Err(error) if options.webhook_config.is_some() => return Err(error),
            Err(error) => {
                console.warning(&format!("Tags are not looked up: {}", chain(&error)));
                Vec::new()
            }
        };
        let wanted = options.revision.as_deref().unwrap_or_default();
        let hook = match &options.webhook_config {
            Some(name) => Some(hooks.iter().find(|hook| hook.name() == name).with_context(
                || format!("there is no MutatingWebhookConfiguration {name} with an injector"),
            )?),
            None => meant(&hooks, wanted),
        };
        let home = hook.and_then(Hook::service);
        let namespace = match (&connection.istio_namespace, home) {
            (None, Some(service)) => service.namespace.clone(),
            _ => connection.system_namespace().to_owned(),
        };
        Ok(Self {
            client,
            namespace,
            revision: hook.map_or(wanted, Hook::revision).parse()?,
        })
    }

    /// The name that is given, or else that of the revision's object.
    pub(super) fn name_or(&self, given: Option<&str>, object: &str) -> String {
        given.map_or_else(|| self.revision.name_of(object), str::to_owned)
    }

    /// The text that is given, or else one key of a ConfigMap.
    pub(super) async fn or_key(
        &self,
        given: Option<String>,
        name: &str,
        key: &str,
    ) -> Result<String> {
        if let Some(given) = given {
            return Ok(given);
        }
        let maps: Api<ConfigMap> = Api::namespaced(self.client.clone(), &self.namespace);
        let map = maps.get(name).await.with_context(|| {
            format!(
                "cannot read ConfigMap {}/{name}; is the mesh installed there, is -i another namespace, or --revision another revision?",
                self.namespace
            )
        })?;
        let text = map.data.and_then(|mut data| data.remove(key));
        text.with_context(|| format!("ConfigMap {}/{name} has no key {key}", self.namespace))
    }
}

/// The injector that a label `istio.io/rev` with this value would lead to. A tag comes first: only
/// the tag `default` can be called as a revision is, and has taken over from it.
fn meant<'h>(hooks: &'h [Hook], label: &str) -> Option<&'h Hook> {
    let label = if label.is_empty() {
        names::DEFAULT_REVISION
    } else {
        label
    };
    let tagged = hooks.iter().find(|hook| hook.tag() == Some(label));
    let own = || {
        hooks
            .iter()
            .find(|hook| hook.tag().is_none() && hook.revision() == label)
    };
    tagged.or_else(own)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_label_leads_to_a_tag_or_a_revision() {
        let hook = |name: &str, labels: serde_json::Value| {
            let configuration = json!({
                "metadata": {"name": name, "labels": labels},
                "webhooks": [{"name": "rev.namespace.sidecar-injector.istio.io",
                    "admissionReviewVersions": ["v1"], "clientConfig": {}, "sideEffects": "None"}],
            });
            Hook::new(serde_json::from_value(configuration).unwrap()).unwrap()
        };
        let mut hooks = vec![
            hook("own", json!({"istio.io/rev": "default"})),
            hook("canary", json!({"istio.io/rev": "canary"})),
            hook(
                "prod",
                json!({"istio.io/rev": "canary", "istio.io/tag": "prod"}),
            ),
        ];
        let name = |hooks: &[Hook], label| meant(hooks, label).map(|hook| hook.name().to_owned());
        for (label, expected) in [
            ("", Some("own")),
            ("default", Some("own")),
            ("canary", Some("canary")),
            ("prod", Some("prod")),
            ("other", None),
        ] {
            assert_eq!(name(&hooks, label).as_deref(), expected, "{label:?}");
        }
        hooks.push(hook(
            "new",
            json!({"istio.io/rev": "canary", "istio.io/tag": "default"}),
        ));
        assert_eq!(name(&hooks, "").as_deref(), Some("new"));
    }
}
