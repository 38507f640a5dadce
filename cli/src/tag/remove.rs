//! `lateenctl tag remove`.

use std::time::Instant;

use anyhow::{Result, ensure};
use k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration;
use kube::{Api, Client};
use lateen_wire::names;

use super::inventory::Inventory;
use super::retire::{retire, tagged};
use super::{labelled, takeover, users};
use crate::arguments::RemoveTag;
use crate::console::Console;
use crate::deletion::{delete_all, kind};
use crate::hooks::Hook;

/// Removes a tag. The revision without a name gets back what the tag `default` took over.
pub(super) async fn run(
    client: &Client,
    inventory: &Inventory,
    options: &RemoveTag,
    console: &Console,
) -> Result<()> {
    let (started, tag) = (Instant::now(), &options.tag);
    let sleeping: Vec<&Hook> = match tag.as_str() {
        names::DEFAULT_REVISION => takeover::sleeping(&inventory.hooks).collect(),
        _ => Vec::new(),
    };
    let users = users_of(client, tag).await?;
    if !users.is_empty() && !options.skip_confirmation {
        let injector = if sleeping.is_empty() {
            "have no sidecar"
        } else {
            "get their sidecars from the revision without a name"
        };
        console.confirm(&format!(
            "These namespaces use the tag, and their new pods will {injector}: {}.",
            users.join(", ")
        ))?;
    }
    for hook in sleeping {
        takeover::reactivate(client, hook).await?;
        console.note(&format!("{} is in action again", hook.name()));
    }
    let mut removed = retire(client, inventory, tag, &[]).await?;
    // Istio's tag `default` has one.
    let validators = kind::<ValidatingWebhookConfiguration>();
    let api = Api::all_with(client.clone(), &validators);
    removed += delete_all(&api, &validators, &tagged(tag), |_| true).await?;
    ensure!(removed > 0, "there is no tag {tag}; `tag list` has all");
    console.done(&format!("Tag {tag} removed"), started.elapsed());
    Ok(())
}

/// Namespaces whose pods are injected by way of a tag.
async fn users_of(client: &Client, tag: &str) -> Result<Vec<String>> {
    let mut users = users(client, tag).await?;
    if tag == names::DEFAULT_REVISION {
        users.extend(labelled(client, &format!("{}=enabled", names::INJECTION)).await?);
    }
    Ok(users)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::fake_cluster::FakeCluster;

    #[tokio::test]
    async fn the_default_tag_is_used_by_the_label_of_injection_too() {
        let namespace = |name: &str, label: &str, value: &str| {
            json!({"apiVersion": "v1", "kind": "Namespace",
                "metadata": {"name": name, "labels": {label: value}}})
        };
        let client = FakeCluster::with([
            namespace("a", "istio.io/rev", "prod"),
            namespace("b", "istio.io/rev", "default"),
            namespace("c", "istio-injection", "enabled"),
            namespace("d", "istio-injection", "disabled"),
        ])
        .client();
        assert_eq!(users_of(&client, "prod").await.unwrap(), ["a"]);
        assert_eq!(users_of(&client, "default").await.unwrap(), ["b", "c"]);
    }
}
