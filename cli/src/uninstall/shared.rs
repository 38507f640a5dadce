//! Takes away what all revisions share, with the last of them.

use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{DynamicObject, ListParams};
use kube::{Api, Client, ResourceExt};
use lateen_wire::names;

use super::{ours, step};
use crate::console::Console;
use crate::deletion::{delete, delete_all, kind};

/// Takes away what all revisions share.
pub(super) struct Shared<'a> {
    pub(super) client: Client,
    pub(super) namespace: &'a str,
    pub(super) console: &'a Console,
}

impl Shared<'_> {
    /// Removes the published roots and, to purge, the root itself and the API.
    pub(super) async fn run(&self, purge: bool) -> Result<usize> {
        // With control gone, nobody writes these again.
        let mut removed = step(
            "Root certificates of namespaces",
            self.root_config_maps(),
            self.console,
        )
        .await?;
        if purge {
            let secret = kind::<Secret>();
            let secrets = Api::namespaced_with(self.client.clone(), self.namespace, &secret);
            let root = delete(&secrets, &secret, names::ROOT_SECRET);
            removed += step("Root certificate", root, self.console).await?;

            let definition = kind::<CustomResourceDefinition>();
            let definitions = Api::all_with(self.client.clone(), &definition);
            let all = ours();
            let definitions = delete_all(&definitions, &definition, &all, |_| true);
            removed += step("Custom resource definitions", definitions, self.console).await?;
        }
        Ok(removed)
    }

    /// The root certificate's ConfigMap in every namespace.
    async fn root_config_maps(&self) -> Result<usize> {
        let kind = kind::<ConfigMap>();
        let named =
            ListParams::default().fields(&format!("metadata.name={}", names::ROOT_CONFIG_MAP));
        let everywhere: Api<DynamicObject> = Api::all_with(self.client.clone(), &kind);
        let found = everywhere
            .list(&named)
            .await
            .with_context(|| format!("cannot list {}", kind.plural))?;
        let mut count = 0;
        for namespace in found.into_iter().filter_map(|object| object.namespace()) {
            let api = Api::namespaced_with(self.client.clone(), &namespace, &kind);
            count += delete(&api, &kind, names::ROOT_CONFIG_MAP).await?;
        }
        Ok(count)
    }
}
