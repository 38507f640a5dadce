//! A revision tag: a second name of a revision, by which namespaces follow it from one revision to
//! the next without new labels.

use std::collections::BTreeMap;

use anyhow::Result;
use k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration;
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding};
use kube::api::ObjectMeta;
use lateen_wire::{Revision, names};

use super::access;
use super::admission::{Audience, Call, entries};
use super::component::Component;
use super::object::Object;

/// Label of a tag's objects, with its name.
pub(crate) const TAG_LABEL: &str = "istio.io/tag";

/// What a tag is made of.
#[derive(Clone, Debug)]
pub(crate) struct Tag<'a> {
    /// Its name.
    pub(crate) name: &'a str,
    /// The revision that it leads to.
    pub(crate) revision: &'a Revision,
    /// Name of its webhook configuration.
    pub(crate) configuration: &'a str,
    /// How the revision's injector is called.
    pub(crate) call: &'a Call,
    /// Whether it injects namespaces without a label; only the tag `default` can.
    pub(crate) unlabelled_namespaces: bool,
    /// Namespace of the revision's injector, if that is ours and so keeps `caBundle`.
    pub(crate) keeper: Option<&'a str>,
}

impl Tag<'_> {
    /// Name of a tag's webhook configuration, unless the user wants another.
    pub(crate) fn configuration_name(tag: &str) -> String {
        format!("istio-revision-tag-{tag}")
    }

    /// The webhook configuration.
    pub(crate) fn configuration(&self) -> MutatingWebhookConfiguration {
        let audience = Audience {
            revision: self.name,
            is_default: self.name == names::DEFAULT_REVISION,
            unlabelled_namespaces: self.unlabelled_namespaces,
        };
        MutatingWebhookConfiguration {
            metadata: self.metadata(self.configuration),
            webhooks: Some(entries(audience, self.call)),
        }
    }

    /// The webhook configuration, and the right of the injector to keep its `caBundle` current.
    pub(crate) fn objects(&self) -> Result<Vec<Object>> {
        let mut objects = Vec::new();
        if let Some(namespace) = self.keeper {
            let name = format!("{}-{namespace}", self.configuration);
            let rules = vec![access::keep_webhooks(&[self.configuration])];
            objects.push(Object::new(&ClusterRole {
                metadata: self.metadata(&name),
                rules: Some(rules),
                ..ClusterRole::default()
            })?);
            objects.push(Object::new(&ClusterRoleBinding {
                metadata: self.metadata(&name),
                role_ref: access::reference("ClusterRole", &name),
                subjects: Some(vec![access::subject(
                    Component::Injector,
                    self.revision,
                    namespace,
                )]),
            })?);
        }
        objects.push(Object::new(&self.configuration())?);
        Ok(objects)
    }

    fn metadata(&self, name: &str) -> ObjectMeta {
        let mut labels: BTreeMap<String, String> = Component::Injector.labels(self.revision);
        labels.insert(TAG_LABEL.to_owned(), self.name.to_owned());
        ObjectMeta {
            name: Some(name.to_owned()),
            labels: Some(labels),
            ..ObjectMeta::default()
        }
    }
}
