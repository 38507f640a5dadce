//! `lateenctl tag`: revision tags, second names of revisions. A namespace with the label
//! `istio.io/rev=prod` follows the tag `prod` from one revision to the next. The tag `default` is what
//! `istio-injection=enabled` means.

mod list;
mod remove;
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

/// By this name the API server knows what a default tag changed in other configurations, so that an
/// installation leaves it alone.
const MANAGER: &str = "lateenctl-tag";

/// Selects Services of control, ours and Istio's, of which those with the label of a tag are a tag's.
const TAGGED_SERVICES: &str = "app=istiod";

/// Runs a command.
///
/// # Errors
/// The tag cannot be as asked for, the user declines, or the API server refuses.
pub async fn run(connection: &Connection, command: &Command, console: &Console) -> Result<()> {
    let client = connect(connection).await?;
    match command {
        Command::Set(options) => set::set(&client, options, console).await,
        Command::Generate(options) => set::generate(&client, options, console).await,
        Command::List(options) => list::run(&client, options, console).await,
        Command::Remove(options) => remove::run(&client, options, console).await,
    }
}

/// Namespaces that name a tag.
async fn namespaces(client: &Client, tag: &str) -> Result<Vec<String>> {
    let api: Api<Namespace> = Api::all(client.clone());
    let labelled = ListParams::default().labels(&format!("{}={tag}", names::REVISION));
    let found = api
        .list(&labelled)
        .await
        .context("cannot list namespaces")?;
    Ok(found.iter().map(ResourceExt::name_any).collect())
}

#[cfg(test)]
mod tests;
