//! `lateenctl tag list`.

use std::collections::BTreeSet;

use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::Service;
use kube::api::ListParams;
use kube::{Api, Client, ResourceExt};
use lateen_wire::names;
use serde::Serialize;

use super::{TAGGED_SERVICES, namespaces};
use crate::arguments::{ListTags, OutputForm};
use crate::console::Console;
use crate::hooks;
use crate::manifest::tag::TAG_LABEL;
use crate::table::Table;

/// A tag, with `istioctl`'s names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Description {
    tag: String,
    revision: String,
    namespaces: Vec<String>,
}

/// Lists all tags with the namespaces that name them.
pub(super) async fn run(client: &Client, options: &ListTags, console: &Console) -> Result<()> {
    let mut tags = Vec::new();
    for (tag, revision) in known(client).await? {
        tags.push(Description {
            namespaces: namespaces(client, &tag).await?,
            tag,
            revision,
        });
    }
    if tags.is_empty() && options.output.is_none() {
        console.note("There are no revision tags.");
        return Ok(());
    }
    console.result(&match options.output {
        None => table(&tags),
        Some(OutputForm::Json) => serde_json::to_string_pretty(&tags)? + "\n",
        Some(OutputForm::Yaml) => serde_saphyr::to_string(&tags)?,
    })
}

/// Tags and the revisions that they lead to, sorted: those of webhook configurations, and those that
/// only a Service tells of.
pub(super) async fn known(client: &Client) -> Result<BTreeSet<(String, String)>> {
    let hooks = hooks::list(client).await?;
    let of_hooks = hooks
        .iter()
        .filter_map(|hook| Some((hook.tag()?.to_owned(), hook.revision().to_owned())));
    let services: Api<Service> = Api::all(client.clone());
    let tagged = ListParams::default().labels(&format!("{TAGGED_SERVICES},{TAG_LABEL}"));
    let services = services
        .list(&tagged)
        .await
        .context("cannot list Services")?;
    let of_services = services.iter().filter_map(|service| {
        let labels = service.labels();
        Some((
            labels.get(TAG_LABEL)?.clone(),
            labels.get(names::REVISION)?.clone(),
        ))
    });
    Ok(of_hooks.chain(of_services).collect())
}

fn table(tags: &[Description]) -> String {
    let mut table = Table::new(["TAG", "REVISION", "NAMESPACES"]);
    for tag in tags {
        table.row([
            tag.tag.clone(),
            tag.revision.clone(),
            tag.namespaces.join(","),
        ]);
    }
    table.to_string()
}
