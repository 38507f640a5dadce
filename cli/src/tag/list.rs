//! `lateenctl tag list`.

use anyhow::Result;
use kube::Client;
use serde::Serialize;

use super::namespaces;
use crate::arguments::{ListTags, OutputForm};
use crate::console::Console;
use crate::hooks;
use crate::table::Table;

/// A tag, with `istioctl`'s names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
struct Description {
    tag: String,
    revision: String,
    namespaces: Vec<String>,
}

/// Lists all tags with the namespaces that name them.
pub(super) async fn run(client: &Client, options: &ListTags, console: &Console) -> Result<()> {
    let mut tags = Vec::new();
    for hook in &hooks::list(client).await? {
        if let Some(tag) = hook.tag() {
            tags.push(Description {
                tag: tag.to_owned(),
                revision: hook.revision().to_owned(),
                namespaces: namespaces(client, tag).await?,
            });
        }
    }
    tags.sort();
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
