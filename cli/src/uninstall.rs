//! `lateenctl uninstall`: removes what `install` applied and what the control plane wrote itself.
//! Webhook configurations go first, so that no pod is held up by an injector that is gone; so do tags
//! that lead to it.
//!
//! What revisions share stays while there is another one. The custom resource definitions, with
//! everybody's resources, and the root certificate, by which running sidecars know each other, stay
//! for a later installation unless `--purge` is given. The namespace stays: others may have put things
//! there.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use k8s_openapi::api::admissionregistration::v1::{
    MutatingWebhookConfiguration, ValidatingWebhookConfiguration,
};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Secret, Service, ServiceAccount};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, Role, RoleBinding};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{ApiResource, DynamicObject, ListParams};
use kube::{Api, Client, ResourceExt};
use lateen_wire::{Revision, names};

use crate::arguments::{Connection, Uninstall};
use crate::cluster::connect;
use crate::console::Console;
use crate::deletion::{delete, delete_all, kind};
use crate::hooks::{self, Hook};
use crate::manifest::{MANAGED_LABEL, MANAGED_VALUE};
use crate::tag::takeover;
use crate::wait::{Patience, State};

/// How long pods may take to end: their grace period and some more.
const END_OF_PODS: Duration = Duration::from_secs(90);

/// Uninstalls.
///
/// # Errors
/// Several revisions are installed and none is named, the user declines, or the API server refuses
/// to list or delete something.
pub async fn run(connection: &Connection, options: &Uninstall, console: &Console) -> Result<()> {
    let client = connect(connection).await?;
    remove(client, connection.system_namespace(), options, console).await
}

async fn remove(
    client: Client,
    namespace: &str,
    options: &Uninstall,
    console: &Console,
) -> Result<()> {
    let installed = installed(&client, namespace).await?;
    let doomed = doomed(&installed, options.revision.as_ref(), options.purge)?;
    if !options.skip_confirmation {
        console.confirm(&question(namespace, &doomed, options.purge))?;
    }
    give_back(&client, &doomed, console).await?;
    let mut removed = 0;
    for revision in &doomed {
        let removal = Removal {
            client: client.clone(),
            namespace,
            revision,
            console,
        };
        removed += removal.run().await?;
    }
    if installed.is_subset(&doomed) {
        let shared = Shared {
            client,
            namespace,
            console,
        };
        removed += shared.run(options.purge).await?;
    }
    if removed == 0 {
        console.note(&format!("Nothing is installed in namespace {namespace}."));
    }
    console.note("Pods keep their sidecars until they are made anew: kubectl rollout restart deployment -n NAMESPACE");
    Ok(())
}

/// Puts the revision without a name back into action if the tag that has taken over from it goes.
async fn give_back(client: &Client, doomed: &BTreeSet<Revision>, console: &Console) -> Result<()> {
    let hooks = hooks::list(client).await?;
    let goes = |hook: &Hook| {
        doomed
            .iter()
            .any(|doomed| hook.revision() == doomed.as_str())
    };
    let mut defaults = hooks
        .iter()
        .filter(|hook| hook.tag() == Some(names::DEFAULT_REVISION));
    if defaults.any(goes) && !doomed.contains(&Revision::default()) {
        for hook in takeover::sleeping(&hooks) {
            takeover::reactivate(client, hook).await?;
            console.note(&format!(
                "{} is in action again: the tag default goes with its revision",
                hook.name()
            ));
        }
    }
    Ok(())
}

/// The revisions whose objects there are in a namespace.
async fn installed(client: &Client, namespace: &str) -> Result<BTreeSet<Revision>> {
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), namespace);
    let failed = || format!("cannot list what is installed in namespace {namespace}");
    let maps = maps.list(&ours()).await.with_context(failed)?;
    let deployments = deployments.list(&ours()).await.with_context(failed)?;
    let revision = |labels: &std::collections::BTreeMap<String, String>| {
        labels.get(names::REVISION)?.parse().ok()
    };
    let of_maps = maps.iter().filter_map(|map| revision(map.labels()));
    let of_deployments = deployments
        .iter()
        .filter_map(|deployment| revision(deployment.labels()));
    Ok(of_maps.chain(of_deployments).collect())
}

/// Which revisions are to go. What only parts of are there may go too.
fn doomed(
    installed: &BTreeSet<Revision>,
    named: Option<&Revision>,
    purge: bool,
) -> Result<BTreeSet<Revision>> {
    match named {
        Some(revision) if purge && installed.iter().any(|other| other != revision) => bail!(
            "--purge removes what all revisions share, and there are others than {revision}: {}; leave out --revision to remove them all, or --purge to keep them",
            listed(installed)
        ),
        Some(revision) => Ok(BTreeSet::from([revision.clone()])),
        None if purge || installed.len() == 1 => Ok(installed
            .iter()
            .cloned()
            .chain(at_least(installed))
            .collect()),
        None if installed.is_empty() => Ok(at_least(installed).into_iter().collect()),
        None => bail!(
            "several revisions are installed: {}; name one by --revision, or remove all by --purge",
            listed(installed)
        ),
    }
}

/// Where nothing tells a revision, the default one's leavings are looked for.
fn at_least(installed: &BTreeSet<Revision>) -> Option<Revision> {
    installed.is_empty().then(Revision::default)
}

fn listed(revisions: &BTreeSet<Revision>) -> String {
    let names: Vec<&str> = revisions.iter().map(Revision::as_str).collect();
    names.join(", ")
}

fn question(namespace: &str, doomed: &BTreeSet<Revision>, purge: bool) -> String {
    let more = if purge {
        ", all of its custom resources and its root certificate"
    } else {
        ""
    };
    format!(
        "This removes the mesh in namespace {namespace}, revision {}{more}.",
        listed(doomed)
    )
}

/// Takes one revision away.
struct Removal<'a> {
    client: Client,
    namespace: &'a str,
    revision: &'a Revision,
    console: &'a Console,
}

impl Removal<'_> {
    /// Removes everything that is the revision's own, and returns how many objects that were.
    async fn run(&self) -> Result<usize> {
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
        let roles = [kind::<ClusterRoleBinding>(), kind::<ClusterRole>()];
        removed += self.step("Cluster roles", self.in_cluster(&roles)).await?;
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

    /// The revision's objects of some kinds of the whole cluster, unless they belong to a mesh in
    /// another namespace.
    async fn in_cluster(&self, kinds: &[ApiResource]) -> Result<usize> {
        let is_here = |object: &DynamicObject| belongs_to(object, self.namespace);
        let mut count = 0;
        for kind in kinds {
            let api = Api::all_with(self.client.clone(), kind);
            count += delete_all(&api, kind, &of(self.revision), is_here).await?;
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

/// Takes away what all revisions share.
struct Shared<'a> {
    client: Client,
    namespace: &'a str,
    console: &'a Console,
}

impl Shared<'_> {
    /// Removes the published roots and, to purge, the root itself and the API.
    async fn run(&self, purge: bool) -> Result<usize> {
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

async fn step(
    what: &str,
    removal: impl Future<Output = Result<usize>>,
    console: &Console,
) -> Result<usize> {
    let started = Instant::now();
    let count = removal.await?;
    if count > 0 {
        console.done(&format!("{what}: {count} removed"), started.elapsed());
    }
    Ok(count)
}

/// Whether an object of the whole cluster is that of the mesh in a namespace: webhook configurations
/// lead to a Service there, the names of cluster roles end in it.
fn belongs_to(object: &DynamicObject, namespace: &str) -> bool {
    let service = object.data.pointer("/webhooks/0/clientConfig/service");
    match service.and_then(|service| service.get("namespace")) {
        Some(home) => home == namespace,
        None => object.name_any().ends_with(&format!("-{namespace}")),
    }
}

/// Selects what installations made.
fn ours() -> ListParams {
    ListParams::default().labels(&format!("{MANAGED_LABEL}={MANAGED_VALUE}"))
}

/// Selects what an installation of a revision made.
fn of(revision: &Revision) -> ListParams {
    ListParams::default().labels(&format!(
        "{MANAGED_LABEL}={MANAGED_VALUE},{}={revision}",
        names::REVISION
    ))
}

#[cfg(test)]
mod tests;
