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

use super::{TAGGED_SERVICES, namespaces, takeover};
use crate::arguments::RemoveTag;
use crate::console::Console;
use crate::hooks;
use crate::manifest::tag::TAG_LABEL;

/// Removes a tag. The revision without a name gets back what the tag `default` took over.
pub(super) async fn run(client: &Client, options: &RemoveTag, console: &Console) -> Result<()> {
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
    let tagged = format!("{TAG_LABEL}={tag}");
    let mut removed = 0;
    for (kind, selector) in [
        (kind::<MutatingWebhookConfiguration>(), &tagged),
        (kind::<ValidatingWebhookConfiguration>(), &tagged),
        (kind::<ClusterRoleBinding>(), &tagged),
        (kind::<ClusterRole>(), &tagged),
        (kind::<Service>(), &format!("{TAGGED_SERVICES},{tagged}")),
    ] {
        removed += delete(client, &kind, selector).await?;
    }
    ensure!(removed > 0, "there is no tag {tag}; `tag list` has all");
    console.done(&format!("Tag {tag} removed"), started.elapsed());
    Ok(())
}

fn kind<K: kube::Resource<DynamicType = ()>>() -> ApiResource {
    ApiResource::erase::<K>(&())
}

/// Deletes all objects of a kind that have these labels, wherever they are.
async fn delete(client: &Client, kind: &ApiResource, selector: &str) -> Result<usize> {
    let everywhere: Api<DynamicObject> = Api::all_with(client.clone(), kind);
    let found = everywhere
        .list(&ListParams::default().labels(selector))
        .await
        .with_context(|| format!("cannot list {}", kind.plural))?;
    for object in &found {
        let api: Api<DynamicObject> = match object.namespace() {
            Some(namespace) => Api::namespaced_with(client.clone(), &namespace, kind),
            None => everywhere.clone(),
        };
        let name = object.name_any();
        api.delete(&name, &DeleteParams::background())
            .await
            .with_context(|| format!("cannot delete {} {name}", kind.kind))?;
    }
    Ok(found.items.len())
}
