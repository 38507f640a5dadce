//! `lateenctl tag set` and `tag generate`.

use std::time::Instant;

use anyhow::{Result, bail, ensure};
use kube::Client;
use lateen_wire::names;

use super::takeover;
use crate::arguments::SetTag;
use crate::console::Console;
use crate::hooks::contest::{Contest, contests};
use crate::hooks::{self, Hook};
use crate::install::Applier;
use crate::manifest::admission::Call;
use crate::manifest::tag::{Home, Tag};
use crate::manifest::to_yaml;

/// Makes a tag, or lets it lead to another revision.
pub(super) async fn set(client: &Client, options: &SetTag, console: &Console) -> Result<()> {
    let started = Instant::now();
    let hooks = hooks::list(client).await?;
    let plan = Plan::new(options, &hooks)?;
    if let Some(question) = plan.doubts(&hooks)
        && !options.skip_confirmation
    {
        console.confirm(&question)?;
    }
    let applier = Applier::new(client.clone(), *console, false, true);
    for object in plan.tag().objects()? {
        applier.apply(&object).await?;
    }
    if plan.is_default() {
        // The tag is there first, so that there is always one who injects.
        takeover::deactivate(client, &hooks).await?;
    }
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

/// Prints what [`set`] would apply. What a default tag puts out of action is not part of it.
pub(super) async fn generate(client: &Client, options: &SetTag, console: &Console) -> Result<()> {
    let hooks = hooks::list(client).await?;
    let plan = Plan::new(options, &hooks)?;
    if let Some(doubts) = plan.doubts(&hooks) {
        console.warning(&doubts);
    }
    if plan.is_default() && takeover::rivals(&hooks).next().is_some() {
        console.warning("Only `tag set` puts the injector of the revision without a name out of action; until then both inject.");
    }
    console.result(&to_yaml(&plan.tag().objects()?)?)
}

/// A tag that can be.
struct Plan<'a> {
    options: &'a SetTag,
    configuration: String,
    call: Call,
    /// Namespace of the revision, if it is ours.
    home: Option<String>,
}

impl<'a> Plan<'a> {
    /// Finds the revision, and refuses what would break something.
    fn new(options: &'a SetTag, hooks: &[Hook]) -> Result<Self> {
        let SetTag { tag, revision, .. } = options;
        let own = || hooks.iter().filter(|hook| hook.tag().is_none());
        ensure!(
            tag == names::DEFAULT_REVISION || own().all(|hook| hook.revision() != tag),
            "there is a revision {tag}, so a tag cannot be called so"
        );
        ensure!(
            tag == names::DEFAULT_REVISION || !options.auto_inject_namespaces,
            "--auto-inject-namespaces is about namespaces without a label, which only the tag default is about"
        );
        let exists = hooks.iter().any(|hook| hook.tag() == Some(tag));
        ensure!(
            options.overwrite || !exists,
            "tag {tag} exists already; --overwrite lets it lead to revision {revision}"
        );
        let mut found = own().filter(|hook| hook.revision() == revision.as_str());
        let Some(hook) = found.next() else {
            bail!(
                "there is no revision {revision}; {}",
                installed(&own().map(Hook::revision).collect::<Vec<_>>())
            );
        };
        if let Some(other) = found.next() {
            bail!(
                "both {} and {} are injectors of revision {revision}; remove one",
                hook.name(),
                other.name()
            );
        }
        let call = hook.call();
        let bundle = call.client_config.ca_bundle.as_ref();
        ensure!(
            bundle.is_some_and(|bundle| !bundle.0.is_empty()),
            "{} has no caBundle yet, which its injector sets when it is ready; try again then",
            hook.name()
        );
        let service = hook.service().filter(|_| hook.is_ours());
        Ok(Self {
            options,
            configuration: options
                .webhook_name
                .clone()
                .unwrap_or_else(|| Tag::configuration_name(tag)),
            home: service.map(|service| service.namespace.clone()),
            call,
        })
    }

    fn is_default(&self) -> bool {
        self.options.tag == names::DEFAULT_REVISION
    }

    fn tag(&self) -> Tag<'_> {
        Tag {
            name: &self.options.tag,
            revision: &self.options.revision,
            configuration: &self.configuration,
            call: &self.call,
            unlabelled_namespaces: self.options.auto_inject_namespaces,
            home: self.home.as_deref().map(|namespace| Home {
                namespace,
                service_annotations: None,
            }),
        }
    }

    /// Pods that would have two injectors.
    fn doubts(&self, hooks: &[Hook]) -> Option<String> {
        let ends = |hook: &Hook| {
            hook.name() == self.configuration || (self.is_default() && takeover::is_rival(hook))
        };
        let mut after: Vec<Hook> = hooks.iter().filter(|hook| !ends(hook)).cloned().collect();
        after.extend(Hook::new(self.tag().configuration()));
        let contests = contests(&after);
        let ours = |contest: &&Contest| contest.hooks.contains(&self.configuration);
        contests.iter().find(ours).map(|contest| {
            format!(
                "Pods would have two injectors, {}: for example with {} on the namespace and {} on the pod.",
                contest.hooks.join(" and "),
                contest.namespace,
                contest.pod
            )
        })
    }
}

fn installed(revisions: &[&str]) -> String {
    if revisions.is_empty() {
        "none is installed".to_owned()
    } else {
        format!("installed: {}", revisions.join(", "))
    }
}

#[cfg(test)]
mod tests;
