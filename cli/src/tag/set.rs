//! `lateenctl tag set` and `tag generate`.

use std::time::Instant;

use anyhow::Result;
use kube::Client;
use lateen_wire::names;

use super::inventory::Inventory;
use super::plan::Plan;
use super::retire::retire;
use super::takeover;
use crate::arguments::SetTag;
use crate::console::Console;
use crate::install::Applier;
use crate::manifest::to_yaml;

/// Makes a tag, or lets it lead to another revision.
pub(super) async fn set(
    client: &Client,
    inventory: &Inventory,
    options: &SetTag,
    console: &Console,
) -> Result<()> {
    let started = Instant::now();
    let plan = Plan::new(options, inventory)?;
    if let Some(question) = plan.doubts(&inventory.hooks)
        && !options.skip_confirmation
    {
        console.confirm(&question)?;
    }
    let applier = Applier::new(client.clone(), *console, false, true);
    let objects = plan.tag().objects()?;
    for object in &objects {
        applier.apply(object).await?;
    }
    // What is new is there before what is old goes, so that the tag always leads somewhere, and there
    // is always one who injects.
    if plan.is_default() {
        takeover::deactivate(client, &inventory.hooks).await?;
    }
    retire(client, inventory, &options.tag, &objects).await?;
    let (tag, revision) = (&options.tag, &options.revision);
    console.done(
        &format!("Tag {tag} leads to revision {revision}"),
        started.elapsed(),
    );
    let label = if plan.is_default() {
        format!("{}=enabled", names::INJECTION)
    } else {
        format!("{}={tag}", names::REVISION)
    };
    console.note(&format!(
        "Namespaces use it by a label: kubectl label namespace NAMESPACE {label}"
    ));
    Ok(())
}

/// Prints what [`set`] would apply. What it would take away or put out of action is not part of it.
pub(super) fn generate(inventory: &Inventory, options: &SetTag, console: &Console) -> Result<()> {
    let plan = Plan::new(options, inventory)?;
    let objects = plan.tag().objects()?;
    if let Some(doubts) = plan.doubts(&inventory.hooks) {
        console.warning(&doubts);
    }
    if plan.is_default() && takeover::rivals(&inventory.hooks).next().is_some() {
        console.warning("Only `tag set` puts the injector of the revision without a name out of action; until then both inject.");
    }
    for former in plan.former(inventory, &objects) {
        console.warning(&format!(
            "Only `tag set` takes {former} away, by which the tag leads elsewhere."
        ));
    }
    console.result(&to_yaml(&objects)?)
}
