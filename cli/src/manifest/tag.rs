//! A revision tag: a second name of a revision, by which namespaces follow it from one revision to
//! the next without new labels.

use std::collections::BTreeMap;

use anyhow::Result;
use k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration;
use k8s_openapi::api::core::v1::{Service, ServiceSpec};
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
    /// Namespace of the injector, if that is one of ours, which keep `caBundle` current.
    pub(crate) injector: Option<&'a str>,
    /// What leads to the revision's control plane, if there is one in the cluster.
    pub(crate) control: Option<Control>,
}

/// What the tag's Service is like.
#[derive(Clone, Debug)]
pub(crate) struct Control {
    /// Namespace of the control plane.
    pub(crate) namespace: String,
    /// Annotations of Services of control.
    pub(crate) annotations: Option<BTreeMap<String, String>>,
    /// Where it leads.
    pub(crate) spec: ServiceSpec,
}

impl Tag<'_> {
    /// Name of a tag's webhook configuration, unless the user wants another.
    pub(crate) fn configuration_name(tag: &str) -> String {
        format!("istio-revision-tag-{tag}")
    }

    fn service_name(tag: &str) -> String {
        format!("{}-revision-tag-{tag}", names::CONTROL)
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

    /// The webhook configuration, and before it what it depends on: for an injector of ours the right
    /// to keep `caBundle` current, and a Service, by which Istio's tools know the tag.
    pub(crate) fn objects(&self) -> Result<Vec<Object>> {
        let mut objects = Vec::new();
        if let Some(namespace) = self.injector {
            objects.extend(self.access(namespace)?);
        }
        if let Some(control) = &self.control {
            objects.push(Object::new(&self.service(control))?);
        }
        objects.push(Object::new(&self.configuration())?);
        Ok(objects)
    }

    fn access(&self, namespace: &str) -> Result<[Object; 2]> {
        let name = format!("{}-{namespace}", self.configuration);
        let injector = access::subject(Component::Injector, self.revision, namespace);
        Ok([
            Object::new(&ClusterRole {
                metadata: self.metadata(&name),
                rules: Some(vec![access::keep_webhooks(&[self.configuration])]),
                ..ClusterRole::default()
            })?,
            Object::new(&ClusterRoleBinding {
                metadata: self.metadata(&name),
                role_ref: access::reference("ClusterRole", &name),
                subjects: Some(vec![injector]),
            })?,
        ])
    }

    /// Leads to the revision's control plane by the tag's name.
    fn service(&self, control: &Control) -> Service {
        let mut metadata = self.metadata_of(Component::Control, &Self::service_name(self.name));
        metadata.namespace = Some(control.namespace.clone());
        metadata.annotations.clone_from(&control.annotations);
        Service {
            metadata,
            spec: Some(control.spec.clone()),
            ..Service::default()
        }
    }

    fn metadata(&self, name: &str) -> ObjectMeta {
        self.metadata_of(Component::Injector, name)
    }

    fn metadata_of(&self, component: Component, name: &str) -> ObjectMeta {
        let mut labels = component.labels(self.revision);
        labels.insert(TAG_LABEL.to_owned(), self.name.to_owned());
        ObjectMeta {
            name: Some(name.to_owned()),
            labels: Some(labels),
            ..ObjectMeta::default()
        }
    }
}
