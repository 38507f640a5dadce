//! The tag `default` takes over from the revision without a name: that one's webhook configuration
//! stays, but never matches, until the tag is removed.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use k8s_openapi::api::admissionregistration::v1::{MutatingWebhook, MutatingWebhookConfiguration};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use lateen_wire::names;
use serde_json::{Value, json};

use super::MANAGER;
use crate::hooks::{Hook, never};
use crate::manifest::admission::{Audience, Call, entries};

/// Whether an injector claims what the tag `default` claims.
pub(super) fn is_rival(hook: &Hook) -> bool {
    hook.tag().is_none() && hook.revision() == names::DEFAULT_REVISION && !hook.is_deactivated()
}

/// The injectors that the tag takes over from.
pub(super) fn rivals(hooks: &[Hook]) -> impl Iterator<Item = &Hook> {
    hooks.iter().filter(|hook| is_rival(hook))
}

/// Puts them out of action.
pub(crate) async fn deactivate(client: &Client, hooks: &[Hook]) -> Result<()> {
    for hook in rivals(hooks) {
        let selectors = hook
            .entries()
            .map(|entry| (entry.name.as_str(), [never(), never()]));
        reselect(client, hook, &selectors.collect()).await?;
    }
    Ok(())
}

/// Those of ours that the tag has put out of action.
pub(crate) fn sleeping(hooks: &[Hook]) -> impl Iterator<Item = &Hook> {
    hooks.iter().filter(|hook| {
        hook.tag().is_none()
            && hook.revision() == names::DEFAULT_REVISION
            && hook.is_deactivated()
            && hook.is_ours()
    })
}

/// Puts one of them back into action.
pub(crate) async fn reactivate(client: &Client, hook: &Hook) -> Result<()> {
    let original = original();
    let selectors = original
        .iter()
        .map(|entry| (entry.name.as_str(), both(entry)));
    reselect(client, hook, &selectors.collect()).await
}

/// The entries of the default revision as they are installed.
fn original() -> Vec<MutatingWebhook> {
    let audience = Audience {
        revision: names::DEFAULT_REVISION,
        is_default: true,
        unlabelled_namespaces: true,
    };
    entries(audience, &Call::default())
}

/// The selector of namespaces and that of pods.
fn both(entry: &MutatingWebhook) -> [LabelSelector; 2] {
    [&entry.namespace_selector, &entry.object_selector]
        .map(|selector| selector.clone().unwrap_or_default())
}

/// Gives entries other selectors. Those that the configuration does not have are not added.
async fn reselect(
    client: &Client,
    hook: &Hook,
    selectors: &BTreeMap<&str, [LabelSelector; 2]>,
) -> Result<()> {
    let api: Api<MutatingWebhookConfiguration> = Api::all(client.clone());
    let parameters = PatchParams {
        field_manager: Some(MANAGER.to_owned()),
        ..PatchParams::default()
    };
    let patch = Patch::Strategic(with_selectors(hook, selectors)?);
    api.patch(hook.name(), &parameters, &patch)
        .await
        .with_context(|| {
            format!(
                "cannot change the selectors of MutatingWebhookConfiguration {}",
                hook.name()
            )
        })?;
    Ok(())
}

/// A strategic merge patch; it knows entries by their names, and replaces their selectors whole.
fn with_selectors(hook: &Hook, selectors: &BTreeMap<&str, [LabelSelector; 2]>) -> Result<Value> {
    let mut entries = Vec::new();
    for entry in hook.entries() {
        if let Some([namespace, object]) = selectors.get(entry.name.as_str()) {
            entries.push(json!({
                "name": entry.name,
                "namespaceSelector": replacement(namespace)?,
                "objectSelector": replacement(object)?,
            }));
        }
    }
    Ok(json!({ "webhooks": entries }))
}

fn replacement(selector: &LabelSelector) -> Result<Value> {
    let mut value = serde_json::to_value(selector).context("cannot write a selector as JSON")?;
    if let Some(fields) = value.as_object_mut() {
        fields.insert("$patch".to_owned(), Value::from("replace"));
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn installed() -> Hook {
        let mut configuration: MutatingWebhookConfiguration =
            serde_json::from_value(json!({"metadata": {"name": "istio-sidecar-injector"}}))
                .unwrap();
        let mut entries = original();
        entries.truncate(4);
        configuration.webhooks = Some(entries);
        Hook::new(configuration).unwrap()
    }

    #[test]
    fn only_entries_that_are_there_get_selectors() {
        let hook = installed();
        assert!(is_rival(&hook));
        let original = original();
        let selectors = original
            .iter()
            .map(|entry| (entry.name.as_str(), both(entry)))
            .collect();
        let patch = with_selectors(&hook, &selectors).unwrap();
        let entries = patch["webhooks"].as_array().unwrap();
        assert_eq!(entries.len(), 4, "{patch}");
        for (patched, entry) in entries.iter().zip(hook.entries()) {
            let expected = serde_json::to_value(entry.object_selector.clone().unwrap()).unwrap();
            assert_eq!(
                patched["objectSelector"]["matchExpressions"],
                expected["matchExpressions"]
            );
        }
    }

    #[test]
    fn nothing_matches_what_is_out_of_action() {
        let mut configuration = installed().configuration().clone();
        for entry in configuration.webhooks.iter_mut().flatten() {
            entry.namespace_selector = Some(never());
            entry.object_selector = Some(never());
        }
        let hook = Hook::new(configuration).unwrap();
        assert!(hook.is_deactivated() && !is_rival(&hook));
        let enabled = [(names::INJECTION.to_owned(), "enabled".to_owned())].into();
        assert!(hook.firing(&enabled, &BTreeMap::new()).is_none());
    }
}
