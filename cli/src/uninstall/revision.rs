//! Takes one revision away: webhook configurations first, so that no pod is held up by an injector
//! that is gone.

use std::time::Duration;

use anyhow::{Context, Result};
use k8s_openapi::api::admissionregistration::v1::{
    MutatingWebhookConfiguration, ValidatingWebhookConfiguration,
};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Secret, Service, ServiceAccount};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, Role, RoleBinding};
use kube::api::{ApiResource, DynamicObject, ListParams};
use kube::{Api, Client, ResourceExt};
use lateen_wire::{Revision, names};

use super::step;
use crate::console::Console;
use crate::deletion::{delete, delete_all, kind};
use crate::manifest::{MANAGED_LABEL, MANAGED_VALUE};
use crate::wait::{Patience, State};

/// How long pods may take to end: their grace period and some more.
const END_OF_PODS: Duration = Duration::from_secs(90);

/// Takes one revision away.
pub(super) struct Removal<'a> {
    pub(super) client: Client,
    pub(super) namespace: &'a str,
    pub(super) revision: &'a Revision,
    pub(super) console: &'a Console,
}

impl Removal<'_> {
    /// Removes everything that is the revision's own, and returns how many objects that were.
    pub(super) async fn run(&self) -> Result<usize> {
        let hooks = [
            kind::<MutatingWebhookConfiguration>(),
            kind::<ValidatingWebhookConfiguration>(),
        ];
        let mut removed = self
            .step("Webhook configurations", self.webhooks(&hooks))
            .await?;

        let workloads = [
            kind::<Deployment>(),
            kind::<Service>(),
            kind::<PodDisruptionBudget>(),
            kind::<NetworkPolicy>(),
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
        removed += self
            .step(
                "Certificate and lease of the control plane",
                self.written_by_control(),
            )
            .await?;
        Ok(removed)
    }

    async fn step(
        &self,
        what: &str,
        removal: impl Future<Output = Result<usize>>,
    ) -> Result<usize> {
        step(what, removal, self.console).await
    }

    /// The revision's webhook configurations, unless they lead to a mesh in another namespace.
    async fn webhooks(&self, kinds: &[ApiResource]) -> Result<usize> {
        let mut count = 0;
        for kind in kinds {
            let api = Api::all_with(self.client.clone(), kind);
            let leads_here = |object: &DynamicObject| leads_to(object, self.namespace);
            count += delete_all(&api, kind, &of(self.revision), leads_here).await?;
        }
        Ok(count)
    }

    /// The revision's roles in the whole cluster: those that accounts of the namespace have. Their
    /// bindings go last, since these tell which they are.
    async fn cluster_roles(&self) -> Result<usize> {
        let bindings: Api<ClusterRoleBinding> = Api::all(self.client.clone());
        let found = bindings.list(&of(self.revision)).await;
        let found = found.context("cannot list clusterrolebindings")?;
        let mut count = 0;
        for binding in found.iter().filter(|found| binds(found, self.namespace)) {
            for kind in [kind::<ClusterRole>(), kind::<ClusterRoleBinding>()] {
                let api = Api::all_with(self.client.clone(), &kind);
                count += delete(&api, &kind, &binding.name_any()).await?;
            }
        }
        Ok(count)
    }

    /// The revision's objects of some kinds in the control plane's namespace.
    async fn in_namespace(&self, kinds: &[ApiResource]) -> Result<usize> {
        let mut count = 0;
        for kind in kinds {
            let api = Api::namespaced_with(self.client.clone(), self.namespace, kind);
            count += delete_all(&api, kind, &of(self.revision), |_| true).await?;
        }
        Ok(count)
    }

    /// The injector's certificate and control's Lease.
    async fn written_by_control(&self) -> Result<usize> {
        let (secret, lease) = (kind::<Secret>(), kind::<Lease>());
        let secrets = Api::namespaced_with(self.client.clone(), self.namespace, &secret);
        let leases = Api::namespaced_with(self.client.clone(), self.namespace, &lease);
        let own = |name| self.revision.name_of(name);
        let mut count = delete(&secrets, &secret, &own(names::INJECTOR_CERTS)).await?;
        count += delete(&leases, &lease, &own(names::LEADER_LEASE)).await?;
        Ok(count)
    }

    /// Waits until the control plane's pods are gone.
    async fn wait_for_pods(&self) -> Result<()> {
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), self.namespace);
        let check = || async {
            let left: Vec<String> = pods
                .list(&of(self.revision))
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

/// Whether a webhook configuration leads to a Service in a namespace.
fn leads_to(configuration: &DynamicObject, namespace: &str) -> bool {
    let service = configuration
        .data
        .pointer("/webhooks/0/clientConfig/service");
    service
        .and_then(|service| service.get("namespace"))
        .is_some_and(|home| home == namespace)
}

/// Whether a binding is about accounts of a namespace.
fn binds(binding: &ClusterRoleBinding, namespace: &str) -> bool {
    let mut subjects = binding.subjects.iter().flatten();
    subjects.any(|subject| subject.namespace.as_deref() == Some(namespace))
}

/// Selects what an installation of a revision made.
fn of(revision: &Revision) -> ListParams {
    ListParams::default().labels(&format!(
        "{MANAGED_LABEL}={MANAGED_VALUE},{}={revision}",
        names::REVISION
    ))
}
