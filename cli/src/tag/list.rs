//! `lateenctl tag list`.

use anyhow::Result;
use kube::Client;
use serde::Serialize;

use super::inventory::Inventory;
use super::users;
use crate::arguments::ListTags;
use crate::console::Console;
use crate::table::Table;

/// A tag, with `istioctl`'s names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Description {
    tag: String,
    revision: String,
    namespaces: Vec<String>,
}

/// Lists all tags with the namespaces that name them.
pub(super) async fn run(
    client: &Client,
    inventory: &Inventory,
    options: &ListTags,
    console: &Console,
) -> Result<()> {
    let mut tags = Vec::new();
    for (tag, revision) in inventory.tags() {
        tags.push(Description {
            tag: tag.to_owned(),
            revision: revision.to_owned(),
            namespaces: users(client, tag).await?,
        });
    }
    if tags.is_empty() {
        console.note("There are no revision tags.");
    }
    console.answer(options.output, &tags, || table(&tags))
}

fn table(tags: &[Description]) -> String {
    if tags.is_empty() {
        return String::new();
    }
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
