//! What becomes of a tag that is set: its objects, if they may be made.

use anyhow::{Result, bail, ensure};
use k8s_openapi::api::core::v1::{Service, ServicePort, ServiceSpec};
use kube::ResourceExt;
use lateen_wire::{Revision, names};

use super::inventory::Inventory;
use super::retire::former_services;
use super::takeover;
use crate::arguments::SetTag;
use crate::hooks::Hook;
use crate::hooks::contest::{Contest, contests};
use crate::manifest::Object;
use crate::manifest::admission::Call;
use crate::manifest::tag::{Control, Tag};

/// A tag that can be.
pub(super) struct Plan<'a> {
    options: &'a SetTag,
    configuration: String,
    /// The revision's own injector.
    hook: &'a Hook,
    call: Call,
    /// The Service of the revision's own name.
    control: Option<&'a Service>,
}

impl<'a> Plan<'a> {
    /// Finds the revision, and refuses what would break something.
    pub(super) fn new(options: &'a SetTag, inventory: &'a Inventory) -> Result<Self> {
        let SetTag { tag, revision, .. } = options;
        let configuration = options.webhook_name.clone();
        let configuration = configuration.unwrap_or_else(|| Tag::configuration_name(tag));
        ensure!(
            tag == names::DEFAULT_REVISION || !inventory.revisions().contains(tag.as_str()),
            "there is a revision {tag}, so a tag cannot be called so"
        );
        ensure!(
            tag == names::DEFAULT_REVISION || !options.auto_inject_namespaces,
            "--auto-inject-namespaces is about namespaces without a label, which only the tag default is about"
        );
        ensure!(
            options.overwrite || inventory.tags().iter().all(|(known, _)| known != tag),
            "tag {tag} exists already; --overwrite lets it lead to revision {revision}"
        );
        let mut hooks = inventory.hooks.iter();
        ensure!(
            hooks.all(|hook| hook.name() != configuration || hook.tag() == Some(tag)),
            "MutatingWebhookConfiguration {configuration} is another revision's or tag's; give --webhook-name another name"
        );
        let hook = own_hook(inventory, revision)?;
        let call = hook.call();
        let bundle = call.client_config.ca_bundle.as_ref();
        ensure!(
            bundle.is_some_and(|bundle| !bundle.0.is_empty()),
            "{} has no caBundle yet, which its injector sets when it is ready; try again then",
            hook.name()
        );
        let place = hook.service();
        let control =
            place.and_then(|place| inventory.control(revision.as_str(), &place.namespace));
        Ok(Self {
            options,
            configuration,
            hook,
            call,
            control,
        })
    }

    pub(super) fn is_default(&self) -> bool {
        self.options.tag == names::DEFAULT_REVISION
    }

    pub(super) fn tag(&self) -> Tag<'_> {
        let place = self.hook.service().filter(|_| self.hook.is_ours());
        Tag {
            name: &self.options.tag,
            revision: &self.options.revision,
            configuration: &self.configuration,
            call: &self.call,
            unlabelled_namespaces: self.options.auto_inject_namespaces,
            injector: place.map(|place| place.namespace.as_str()),
            control: self.control.map(leading_alike),
        }
    }

    /// What the tag has where it leads now, and has no more when it is set.
    pub(super) fn former(&self, inventory: &Inventory, objects: &[Object]) -> Vec<String> {
        let tag = self.options.tag.as_str();
        let hooks = inventory.hooks.iter();
        let hooks =
            hooks.filter(|hook| hook.tag() == Some(tag) && hook.name() != self.configuration);
        let hooks = hooks.map(|hook| format!("MutatingWebhookConfiguration {}", hook.name()));
        let services = former_services(inventory, tag, objects).into_iter();
        let services = services.map(|service| {
            let namespace = service.namespace().unwrap_or_default();
            format!("Service {namespace}/{}", service.name_any())
        });
        hooks.chain(services).collect()
    }

    /// Pods that would have two injectors.
    pub(super) fn doubts(&self, hooks: &[Hook]) -> Option<String> {
        let ends = |hook: &Hook| {
            hook.tag() == Some(&self.options.tag) || (self.is_default() && takeover::is_rival(hook))
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

/// The one injector of a revision.
fn own_hook<'a>(inventory: &'a Inventory, revision: &Revision) -> Result<&'a Hook> {
    let mut found = inventory
        .own_hooks()
        .filter(|hook| hook.revision() == revision.as_str());
    let Some(hook) = found.next() else {
        let installed: Vec<&str> = inventory.own_hooks().map(Hook::revision).collect();
        let installed = if installed.is_empty() {
            "none is installed".to_owned()
        } else {
            format!("installed: {}", installed.join(", "))
        };
        bail!("there is no revision {revision}; {installed}");
    };
    if let Some(other) = found.next() {
        bail!(
            "both {} and {} are injectors of revision {revision}; remove one",
            hook.name(),
            other.name()
        );
    }
    Ok(hook)
}

/// A Service that leads to where another one does.
fn leading_alike(service: &Service) -> Control {
    let spec = service.spec.as_ref();
    let ports = spec.and_then(|spec| spec.ports.clone());
    let without_node_port = |port| ServicePort {
        node_port: None,
        ..port
    };
    Control {
        namespace: service.namespace().unwrap_or_default(),
        annotations: None,
        spec: ServiceSpec {
            selector: spec.and_then(|spec| spec.selector.clone()),
            ports: ports.map(|ports| ports.into_iter().map(without_node_port).collect()),
            ..ServiceSpec::default()
        },
    }
}

#[cfg(test)]
mod tests;
