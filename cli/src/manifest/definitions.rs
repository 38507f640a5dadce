//! The custom resource definitions, as the chart `base` has them.

use anyhow::Result;

use super::component::text_map;
use super::object::{MANAGED_LABEL, MANAGED_VALUE, Object};

/// Keeps Helm from deleting the definitions, and with them everybody's resources.
const HELM_KEEPS: (&str, &str) = ("helm.sh/resource-policy", "keep");

/// Every kind of the mesh's API.
pub(super) fn objects() -> Result<Vec<Object>> {
    lateen_api::crds()
        .into_iter()
        .map(|mut definition| {
            let metadata = &mut definition.metadata;
            metadata
                .labels
                .get_or_insert_default()
                .extend(text_map([(MANAGED_LABEL, MANAGED_VALUE)]));
            metadata
                .annotations
                .get_or_insert_default()
                .extend(text_map([HELM_KEEPS]));
            Object::new(&definition)
        })
        .collect()
}
