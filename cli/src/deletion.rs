//! Deletes objects of any kind, and tells how many that were.

use anyhow::{Context, Result};
use kube::api::{ApiResource, DeleteParams, DynamicObject, ListParams};
use kube::{Api, ResourceExt};

/// A kind that is known by its type.
pub(crate) fn kind<K: kube::Resource<DynamicType = ()>>() -> ApiResource {
    ApiResource::erase::<K>(&())
}

/// Deletes those of the selected objects that are meant.
pub(crate) async fn delete_all(
    api: &Api<DynamicObject>,
    kind: &ApiResource,
    selected: &ListParams,
    meant: impl Fn(&DynamicObject) -> bool,
) -> Result<usize> {
    let found = api
        .list(selected)
        .await
        .with_context(|| format!("cannot list {}", kind.plural))?;
    let mut count = 0;
    for object in found.into_iter().filter(meant) {
        count += delete(api, kind, &object.name_any()).await?;
    }
    Ok(count)
}

/// Deletes one object; 0 if there is none.
pub(crate) async fn delete(
    api: &Api<DynamicObject>,
    kind: &ApiResource,
    name: &str,
) -> Result<usize> {
    match api.delete(name, &DeleteParams::background()).await {
        Ok(_) => Ok(1),
        Err(kube::Error::Api(status)) if status.is_not_found() => Ok(0),
        Err(error) => Err(error).with_context(|| format!("cannot delete {} {name}", kind.kind)),
    }
}
