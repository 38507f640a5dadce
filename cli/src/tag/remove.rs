//! `lateenctl tag remove`.

use std::time::Instant;

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::admissionregistration::v1::{
    MutatingWebhookConfiguration, ValidatingWebhookConfiguration,
};
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding};
use kube::api::{ApiResource, DeleteParams, DynamicObject, ListParams};
use kube::{Api, Client, ResourceExt};
use lateen_wire::names;

use super::{namespaces, takeover};
use crate::arguments::RemoveTag;
use crate::console::Console;
use crate::hooks;
use crate::manifest::tag::TAG_LABEL;

/// Removes a tag. The revision without a name gets back what the tag `default` took over.
pub(super) async fn run(
    client: &Client,
    system_namespace: &str,
    options: &RemoveTag,
    console: &Console,
) -> Result<()> {
    let (started, tag) = (Instant::now(), &options.tag);
    let users = namespaces(client, tag).await?;
    if !users.is_empty() && !options.skip_confirmation {
        console.confirm(&format!(
            "These namespaces use the tag, and their new pods will have no sidecar: {}.",
            users.join(", ")
        ))?;
    }
    if tag == names::DEFAULT_REVISION {
        for name in takeover::reactivate(client, &hooks::list(client).await?).await? {
            console.note(&format!("{name} is in action again"));
        }
    }
    let mut removed = 0;
    for kind in [
        ApiResource::erase::<MutatingWebhookConfiguration>(&()),
        ApiResource::erase::<ValidatingWebhookConfiguration>(&()),
        ApiResource::erase::<ClusterRoleBinding>(&()),
        ApiResource::erase::<ClusterRole>(&()),
    ] {
        removed += delete(Api::all_with(client.clone(), &kind), &kind, tag).await?;
    }
    // Istio's tags have a Service too.
    let kind = ApiResource::erase::<Service>(&());
    let services = Api::namespaced_with(client.clone(), system_namespace, &kind);
    removed += delete(services, &kind, tag).await?;
    ensure!(removed > 0, "there is no tag {tag}; `tag list` has all");
    console.done(&format!("Tag {tag} removed"), started.elapsed());
    Ok(())
}

async fn delete(api: Api<DynamicObject>, kind: &ApiResource, tag: &str) -> Result<usize> {
    let tagged = ListParams::default().labels(&format!("{TAG_LABEL}={tag}"));
    let found = api
        .list(&tagged)
        .await
        .with_context(|| format!("cannot list {}", kind.plural))?;
    for object in &found {
        let name = object.name_any();
        api.delete(&name, &DeleteParams::background())
            .await
            .with_context(|| format!("cannot delete {} {name}", kind.kind))?;
    }
    Ok(found.items.len())
}
