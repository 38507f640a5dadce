//! `lateenctl install`: brings a cluster to the objects of a [`Manifest`], in an order in which
//! every part finds what it needs, and waits until all of it works. Run again it changes nothing.
//!
//! Webhook configurations come last, when the injector is ready: until then no pod of any
//! namespace can be held up by an injector that is not there.

mod apply;
mod conflict;
mod published;
mod rollout;
mod strangers;

use std::time::Instant;

use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client};
use lateen_wire::names;

use crate::arguments::{Connection, Install};
use crate::cluster::connect;
use crate::console::Console;
use crate::manifest::{Component, Manifest, Object};
use crate::tag;
use crate::values::Values;
use crate::wait::{Patience, State};

pub(crate) use apply::Applier;
use apply::Tally;

/// Installs.
///
/// # Errors
/// A value is wrong, the user declines, the API server refuses an object, or a part does not become
/// ready in time; then the message says what keeps it.
pub async fn run(connection: &Connection, options: &Install, console: &Console) -> Result<()> {
    let values = Values::load(&options.values.sources(connection))?;
    values
        .warnings
        .iter()
        .for_each(|warning| console.warning(warning));
    let manifest = Manifest::build(&values)?;
    let client = connect(connection).await?;
    if !options.skip_confirmation && !options.dry_run {
        let version = env!("CARGO_PKG_VERSION");
        console.confirm(&format!(
            "This installs Lateen {version}, revision {}, into namespace {}.",
            manifest.revision, manifest.namespace
        ))?;
    }

    let started = Instant::now();
    let applier = Applier::new(client.clone(), *console, options.dry_run, options.force);
    let steps = Steps {
        client,
        applier,
        console,
        patience: Patience::new(options.readiness_timeout.into()),
    };
    strangers::refuse(&steps.client, &manifest.namespace, &manifest.revision).await?;
    steps
        .ensure_namespace(&manifest.namespace, options.dry_run)
        .await?;
    let tally = if options.dry_run {
        steps.preview(&manifest).await?
    } else {
        steps.install(&manifest).await?
    };

    let verb = if options.dry_run {
        "Dry run complete"
    } else {
        "Installation complete"
    };
    console.done(&format!("{verb}: {tally}"), started.elapsed());
    if !options.dry_run {
        let label = if manifest.revision.is_default() {
            format!("{}=enabled", names::INJECTION)
        } else {
            format!("{}={}", names::REVISION, manifest.revision)
        };
        console.note(&format!(
            "Label a namespace to inject its new pods: kubectl label namespace default {label}"
        ));
    }
    Ok(())
}

/// What every step of an installation uses.
struct Steps<'a> {
    client: Client,
    applier: Applier,
    console: &'a Console,
    patience: Patience,
}

impl Steps<'_> {
    /// All steps in order.
    async fn install(&self, manifest: &Manifest) -> Result<Tally> {
        let (namespace, revision) = (manifest.namespace.as_str(), &manifest.revision);
        let mut tally = self
            .apply("Custom resource definitions", &manifest.definitions)
            .await?;
        self.wait("Custom resource definitions are served", || {
            published::definitions(&self.client, &manifest.definitions)
        })
        .await?;
        tally += self
            .apply("Service accounts and roles", &manifest.access)
            .await?;
        tally += self.apply("Configuration", &manifest.configuration).await?;

        tally += self.apply("Control plane", &manifest.control).await?;
        self.wait("Control plane is ready", || {
            rollout::check(&self.client, namespace, revision, Component::Control)
        })
        .await?;
        self.wait("Root certificate is published", || {
            published::certificates(&self.client, namespace, revision)
        })
        .await?;

        tally += self.apply("Sidecar injector", &manifest.injector).await?;
        self.wait("Sidecar injector is ready", || {
            rollout::check(&self.client, namespace, revision, Component::Injector)
        })
        .await?;

        tally += self
            .apply("Webhook configuration", &manifest.admission)
            .await?;
        self.wait("Webhook configuration trusts the injector", || {
            published::trust(&self.client, &manifest.admission)
        })
        .await?;
        self.wait("API server reaches the injector", || {
            published::reach(&self.client, namespace, revision)
        })
        .await?;
        tag::settle(&self.client, manifest).await?;
        Ok(tally)
    }

    /// What would change, without a change and so without waiting.
    async fn preview(&self, manifest: &Manifest) -> Result<Tally> {
        let mut tally = Tally::default();
        for object in manifest.objects() {
            let outcome = self.applier.apply(object).await?;
            self.console.note(&format!("{} {outcome}", object.title()));
            tally += outcome.count();
        }
        Ok(tally)
    }

    async fn apply(&self, what: &str, objects: &[Object]) -> Result<Tally> {
        let started = Instant::now();
        let mut tally = Tally::default();
        for object in objects {
            tally += self.applier.apply(object).await?.count();
        }
        self.console
            .done(&format!("{what}: {tally}"), started.elapsed());
        Ok(tally)
    }

    async fn wait<F, P>(&self, what: &str, check: F) -> Result<()>
    where
        F: Fn() -> P,
        P: Future<Output = Result<State>>,
    {
        let elapsed = self.patience.until(what, self.console, check).await?;
        self.console.done(what, elapsed);
        Ok(())
    }

    /// Makes the control plane's namespace if there is none. One that exists is left as it is.
    async fn ensure_namespace(&self, name: &str, dry_run: bool) -> Result<()> {
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        let found = namespaces.get_opt(name).await;
        if found
            .with_context(|| format!("cannot look at namespace {name}"))?
            .is_some()
        {
            return Ok(());
        }
        let namespace = Namespace {
            metadata: ObjectMeta {
                name: Some(name.to_owned()),
                ..ObjectMeta::default()
            },
            ..Namespace::default()
        };
        let parameters = PostParams {
            dry_run,
            field_manager: Some(apply::MANAGER.to_owned()),
        };
        namespaces
            .create(&parameters, &namespace)
            .await
            .with_context(|| format!("cannot create namespace {name}"))?;
        self.console.note(&format!("Namespace {name} created"));
        Ok(())
    }
}
