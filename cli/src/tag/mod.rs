//! `lateenctl tag`: revision tags, second names of revisions. A namespace with the label
//! `istio.io/rev=prod` follows the tag `prod` from one revision to the next. The tag `default` is what
//! `istio-injection=enabled` means.

mod inventory;
mod list;
mod plan;
mod remove;
mod retire;
mod set;
pub(crate) mod takeover;

use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::Namespace;
use kube::api::ListParams;
use kube::{Api, Client, ResourceExt};
use lateen_wire::names;

use crate::arguments::{Connection, Tag as Command};
use crate::cluster::connect;
use crate::console::Console;
use crate::manifest::Manifest;
use inventory::Inventory;

/// By this name the API server knows what a default tag changed in other configurations, so that an
/// installation leaves it alone.
const MANAGER: &str = "lateenctl-tag";

/// Runs a command.
///
/// # Errors
/// The tag cannot be as asked for, the user declines, or the API server refuses.
pub async fn run(connection: &Connection, command: &Command, console: &Console) -> Result<()> {
    let client = connect(connection).await?;
    let inventory = Inventory::of(&client, connection.system_namespace()).await?;
    match command {
        Command::Set(options) => set::set(&client, &inventory, options, console).await,
        Command::Generate(options) => set::generate(&inventory, options, console),
        Command::List(options) => list::run(&client, &inventory, options, console).await,
        Command::Remove(options) => remove::run(&client, &inventory, options, console).await,
    }
}

/// Takes away what the tags of an installation had where they led before it.
///
/// # Errors
/// The API server refuses to list or delete something.
pub(crate) async fn settle(client: &Client, manifest: &Manifest) -> Result<()> {
    if manifest.tags.is_empty() {
        return Ok(());
    }
    let inventory = Inventory::of(client, &manifest.namespace).await?;
    for tag in &manifest.tags {
        retire::retire(client, &inventory, tag.as_str(), &manifest.admission).await?;
    }
    Ok(())
}

/// Namespaces that name a tag.
async fn users(client: &Client, tag: &str) -> Result<Vec<String>> {
    labelled(client, &format!("{}={tag}", names::REVISION)).await
}

/// Namespaces with a label.
async fn labelled(client: &Client, label: &str) -> Result<Vec<String>> {
    let api: Api<Namespace> = Api::all(client.clone());
    let selected = ListParams::default().labels(label);
    let found = api
        .list(&selected)
        .await
        .context("cannot list namespaces")?;
    Ok(found.iter().map(ResourceExt::name_any).collect())
}

#[cfg(test)]
mod tests;
