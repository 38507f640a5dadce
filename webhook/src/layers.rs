//! Custom templates over a pod. They come before everything else, so that what is injected takes in
//! what they add: containers, probes, annotations.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, Pod};

use lateen_api::MeshConfig;

use crate::config::Values;
use crate::config::overlay::{Field, PodOverlay};
use crate::config::templates::Selection;
use crate::error::InjectError;
use crate::merge::lay_spec;
use crate::overrides::is_ours;
use crate::owner::Owner;
use crate::status::Status;

/// What `${FIELD}` in a custom template can stand for.
pub(crate) struct Facts<'a> {
    pub(crate) pod: &'a Pod,
    pub(crate) namespace: &'a str,
    pub(crate) owner: &'a Owner,
    pub(crate) values: &'a Values,
    pub(crate) mesh: &'a MeshConfig,
}

/// What custom templates have left to do.
#[derive(Debug, Default)]
pub(crate) struct Layers {
    /// What those below the built-in template say of the proxy's own containers,
    pub(crate) below_proxy: Vec<Container>,
    /// and those above it.
    pub(crate) above_proxy: Vec<Container>,
    /// What they have added.
    pub(crate) status: Status,
}

impl Layers {
    /// Lays the custom templates of a selection over a pod, in order.
    ///
    /// # Errors
    /// When a template makes something of this pod that no pod can have.
    pub(crate) fn lay(
        selection: &Selection,
        facts: &Facts<'_>,
        pod: &mut Pod,
    ) -> Result<Self, InjectError> {
        let mut layers = Self::default();
        let Self {
            below_proxy,
            above_proxy,
            status,
        } = &mut layers;
        for (templates, for_proxy) in [
            (&selection.below, below_proxy),
            (&selection.above, above_proxy),
        ] {
            for template in templates {
                let filled = template.fill(&|field| facts.value_of(field));
                let mut overlay = filled.map_err(|reason| InjectError::Template {
                    name: template.name.clone(),
                    reason,
                })?;
                status.note(&overlay.spec);
                if selection.base.is_some() {
                    for_proxy.extend(overlay.take_proxy());
                }
                overlay.lay_over(pod);
            }
        }
        Ok(layers)
    }
}

impl PodOverlay {
    /// Takes out what is meant for the proxy's own containers.
    fn take_proxy(&mut self) -> Vec<Container> {
        let spec = &mut self.spec;
        let lists = [Some(&mut spec.containers), spec.init_containers.as_mut()];
        let lists = lists.into_iter().flatten();
        let is_ours = |container: &mut Container| is_ours(container);
        lists
            .flat_map(|containers| containers.extract_if(.., is_ours))
            .collect()
    }

    fn lay_over(self, pod: &mut Pod) {
        let Self { metadata, spec } = self;
        let labels = pod.metadata.labels.get_or_insert_default();
        labels.extend(metadata.labels);
        let annotations = pod.metadata.annotations.get_or_insert_default();
        annotations.extend(metadata.annotations);
        lay_spec(pod.spec.get_or_insert_default(), spec);
    }
}

impl Facts<'_> {
    fn value_of(&self, field: Field<'_>) -> String {
        let metadata = &self.pod.metadata;
        let entry = |entries: &Option<BTreeMap<String, String>>, key: &str| {
            let value = entries.as_ref().and_then(|entries| entries.get(key));
            value.cloned().unwrap_or_default()
        };
        match field {
            Field::Label(key) => entry(&metadata.labels, key),
            Field::Annotation(key) => entry(&metadata.annotations, key),
            Field::Namespace => self.namespace.to_owned(),
            Field::Workload => self.owner.name.clone(),
            Field::ServiceAccount => service_account(self.pod).to_owned(),
            Field::Revision => self.values.revision().to_owned(),
            Field::Hub => self.values.global.hub.clone(),
            Field::Tag => self.values.global.tag.clone(),
            Field::Cluster => self.values.global.cluster().to_owned(),
            Field::TrustDomain => self.mesh.trust_domain.clone(),
        }
    }
}

/// The service account that a pod runs as.
pub(crate) fn service_account(pod: &Pod) -> &str {
    let spec = pod.spec.as_ref();
    let named = spec.and_then(|spec| spec.service_account_name.as_deref());
    named.filter(|name| !name.is_empty()).unwrap_or("default")
}
