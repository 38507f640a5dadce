//! `lateenctl uninstall`: removes what `install` applied and what the control plane wrote itself.
//! Webhook configurations go first, so that no pod is held up by an injector that is gone.
//!
//! The custom resource definitions, with everybody's resources, and the root certificate, by which
//! running sidecars know each other, stay for a later installation unless `--purge` is given.
//! The namespace stays: others may have put things there.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use k8s_openapi::api::admissionregistration::v1::{
    MutatingWebhookConfiguration, ValidatingWebhookConfiguration,
};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Secret, Service, ServiceAccount};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, Role, RoleBinding};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{ApiResource, DeleteParams, DynamicObject, ListParams};
use kube::{Api, Client, ResourceExt};
use lateen_wire::names;

use crate::arguments::{Connection, Uninstall};
use crate::cluster::connect;
use crate::console::Console;
use crate::manifest::{COMPONENTS, MANAGED_LABEL, MANAGED_VALUE};
use crate::wait::{Patience, State};

/// How long pods may take to end: their grace period and some more.
const END_OF_PODS: Duration = Duration::from_secs(90);

/// Uninstalls.
///
/// # Errors
/// The user declines, or the API server refuses to list or delete something.
pub async fn run(connection: &Connection, options: &Uninstall, console: &Console) -> Result<()> {
    let namespace = connection.system_namespace();
    let client = connect(connection).await?;
    if !options.skip_confirmation {
        let what = if options.purge {
            ", all of its custom resources and its root certificate"
        } else {
            ""
        };
        console.confirm(&format!(
            "This removes the mesh in namespace {namespace}{what}."
        ))?;
    }
    let removal = Removal {
        client,
        namespace,
        console,
    };
    let removed = removal.run(options.purge).await?;
    if removed == 0 {
        console.note(&format!("Nothing is installed in namespace {namespace}."));
    }
    console.note("Pods keep their sidecars until they are made anew: kubectl rollout restart deployment -n NAMESPACE");
    Ok(())
}

struct Removal<'a> {
    client: Client,
    namespace: &'a str,
    console: &'a Console,
}

impl Removal<'_> {
    /// Removes everything, and returns how many objects that were.
    async fn run(&self, purge: bool) -> Result<usize> {
        let hooks = [
            kind::<MutatingWebhookConfiguration>(),
            kind::<ValidatingWebhookConfiguration>(),
        ];
        let mut removed = self
            .step("Webhook configurations", self.in_cluster(&hooks))
            .await?;

        let workloads = [
            kind::<Deployment>(),
            kind::<Service>(),
            kind::<PodDisruptionBudget>(),
        ];
        removed += self
            .step("Control plane and injector", self.in_namespace(&workloads))
            .await?;
        self.wait_for_pods().await?;

        let settings = [
            kind::<ConfigMap>(),
            kind::<RoleBinding>(),
            kind::<Role>(),
            kind::<ServiceAccount>(),
        ];
        removed += self
            .step("Configuration and roles", self.in_namespace(&settings))
            .await?;
        removed += self.step("Cluster roles", self.cluster_roles()).await?;

        // With control gone, nobody writes these again.
        removed += self
            .step("Root certificates of namespaces", self.root_config_maps())
            .await?;
        let written = self.written_by_control(purge);
        removed += self
            .step("Secrets and lease of the control plane", written)
            .await?;
        if purge {
            let kinds = [kind::<CustomResourceDefinition>()];
            removed += self
                .step("Custom resource definitions", self.in_cluster(&kinds))
                .await?;
        }
        Ok(removed)
    }

    async fn step(
        &self,
        what: &str,
        removal: impl Future<Output = Result<usize>>,
    ) -> Result<usize> {
        let started = Instant::now();
        let count = removal.await?;
        if count > 0 {
            self.console
                .done(&format!("{what}: {count} removed"), started.elapsed());
        }
        Ok(count)
    }

    /// All of our objects of some kinds of the whole cluster.
    async fn in_cluster(&self, kinds: &[ApiResource]) -> Result<usize> {
        let mut count = 0;
        for kind in kinds {
            let api = Api::all_with(self.client.clone(), kind);
            count += delete_ours(&api, kind, |_| true).await?;
        }
        Ok(count)
    }

    /// All of our objects of some kinds in the control plane's namespace.
    async fn in_namespace(&self, kinds: &[ApiResource]) -> Result<usize> {
        let mut count = 0;
        for kind in kinds {
            let api = Api::namespaced_with(self.client.clone(), self.namespace, kind);
            count += delete_ours(&api, kind, |_| true).await?;
        }
        Ok(count)
    }

    /// Cluster roles and bindings of this control plane, whose namespace ends their names.
    async fn cluster_roles(&self) -> Result<usize> {
        let ours = COMPONENTS.map(|component| format!("{}-{}", component.name(), self.namespace));
        let mut count = 0;
        for kind in [kind::<ClusterRoleBinding>(), kind::<ClusterRole>()] {
            let api = Api::all_with(self.client.clone(), &kind);
            count += delete_ours(&api, &kind, |object| ours.contains(&object.name_any())).await?;
        }
        Ok(count)
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

    /// The injector's certificate, control's Lease and, to purge, the root itself.
    async fn written_by_control(&self, purge: bool) -> Result<usize> {
        let (secret, lease) = (kind::<Secret>(), kind::<Lease>());
        let secrets = Api::namespaced_with(self.client.clone(), self.namespace, &secret);
        let leases = Api::namespaced_with(self.client.clone(), self.namespace, &lease);
        let mut count = delete(&secrets, &secret, names::INJECTOR_CERTS).await?;
        count += delete(&leases, &lease, names::LEADER_LEASE).await?;
        if purge {
            count += delete(&secrets, &secret, names::ROOT_SECRET).await?;
        }
        Ok(count)
    }

    /// Waits until the control plane's pods are gone.
    async fn wait_for_pods(&self) -> Result<()> {
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), self.namespace);
        let check = || async {
            let left: Vec<String> = pods
                .list(&ours())
                .await?
                .iter()
                .map(ResourceExt::name_any)
                .collect();
            if left.is_empty() {
                Ok(State::Ready)
            } else {
                Ok(State::Waiting(format!("still ending: {}", left.join(", "))))
            }
        };
        Patience::new(END_OF_PODS)
            .until("Pods of the control plane end", self.console, check)
            .await?;
        Ok(())
    }
}

fn kind<K: kube::Resource<DynamicType = ()>>() -> ApiResource {
    ApiResource::erase::<K>(&())
}

/// Deletes those of our objects that are meant.
async fn delete_ours(
    api: &Api<DynamicObject>,
    kind: &ApiResource,
    meant: impl Fn(&DynamicObject) -> bool,
) -> Result<usize> {
    let found = api
        .list(&ours())
        .await
        .with_context(|| format!("cannot list {}", kind.plural))?;
    let mut count = 0;
    for object in found.into_iter().filter(meant) {
        count += delete(api, kind, &object.name_any()).await?;
    }
    Ok(count)
}

/// Selects what an installation made.
fn ours() -> ListParams {
    ListParams::default().labels(&format!("{MANAGED_LABEL}={MANAGED_VALUE}"))
}

/// Deletes one object; 0 if there is none.
async fn delete(api: &Api<DynamicObject>, kind: &ApiResource, name: &str) -> Result<usize> {
    match api.delete(name, &DeleteParams::background()).await {
        Ok(_) => Ok(1),
        Err(kube::Error::Api(status)) if status.is_not_found() => Ok(0),
        Err(error) => Err(error).with_context(|| format!("cannot delete {} {name}", kind.kind)),
    }
}
