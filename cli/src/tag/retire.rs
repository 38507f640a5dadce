//! What a tag consists of goes: all of it with the tag, or what led elsewhere once the tag is moved.

use anyhow::Result;
use k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration;
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding};
use kube::api::ListParams;
use kube::{Api, Client, ResourceExt};

use super::inventory::Inventory;
use crate::deletion::{delete, delete_all, kind};
use crate::manifest::Object;
use crate::manifest::tag::TAG_LABEL;

/// Selects the objects of a tag.
pub(super) fn tagged(tag: &str) -> ListParams {
    ListParams::default().labels(&format!("{TAG_LABEL}={tag}"))
}

/// Deletes the objects of a tag but for those that it now consists of, and tells how many that were.
pub(super) async fn retire(
    client: &Client,
    inventory: &Inventory,
    tag: &str,
    kept: &[Object],
) -> Result<usize> {
    let mut count = 0;
    for kind in [
        kind::<MutatingWebhookConfiguration>(),
        kind::<ClusterRoleBinding>(),
        kind::<ClusterRole>(),
    ] {
        let api = Api::all_with(client.clone(), &kind);
        count += delete_all(&api, &kind, &tagged(tag), |object| {
            let name = object.name_any();
            !kept.iter().any(|kept| kept.is(&kind, None, &name))
        })
        .await?;
    }
    for service in former_services(inventory, tag, kept) {
        let kind = kind::<Service>();
        let namespace = service.namespace().unwrap_or_default();
        let api = Api::namespaced_with(client.clone(), &namespace, &kind);
        count += delete(&api, &kind, &service.name_any()).await?;
    }
    Ok(count)
}

/// The Services of a tag but for the one that it now has.
pub(super) fn former_services<'a>(
    inventory: &'a Inventory,
    tag: &str,
    kept: &[Object],
) -> Vec<&'a Service> {
    let is_kept = |service: &Service| {
        let (namespace, name) = (service.namespace(), service.name_any());
        kept.iter()
            .any(|kept| kept.is(&kind::<Service>(), namespace.as_deref(), &name))
    };
    inventory
        .services_of(tag)
        .filter(|service| !is_kept(service))
        .collect()
}
