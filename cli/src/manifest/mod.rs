//! The objects of an installation, built from typed values: what `install` applies, and what the
//! Helm charts render too. A test holds both equal.

mod access;
pub(crate) mod admission;
mod component;
mod configuration;
mod definitions;
mod network;
mod object;
mod pod;
pub(crate) mod tag;
mod workload;

use anyhow::Result;
use lateen_wire::Revision;

pub use component::{COMPONENTS, Component, query};
pub use object::{MANAGED_LABEL, MANAGED_VALUE, Object, is_managed};

use crate::values::Values;

/// All objects, grouped in the order in which they are installed: each group works only when those
/// before it do.
#[derive(Clone, Debug)]
pub struct Manifest {
    /// Namespace of the control plane.
    pub namespace: String,
    /// Which of several control planes it is.
    pub revision: Revision,
    /// Tags that lead to it.
    pub tags: Vec<Revision>,
    /// Custom resource definitions.
    pub definitions: Vec<Object>,
    /// Service accounts, roles and their bindings.
    pub access: Vec<Object>,
    /// ConfigMaps.
    pub configuration: Vec<Object>,
    /// The control plane.
    pub control: Vec<Object>,
    /// The injector.
    pub injector: Vec<Object>,
    /// Webhook configurations: from here on the API server depends on the injector.
    pub admission: Vec<Object>,
}

impl Manifest {
    /// Builds the objects.
    ///
    /// # Errors
    /// Only if a value cannot be written as YAML or JSON.
    pub fn build(values: &Values) -> Result<Self> {
        Ok(Self {
            namespace: values.namespace().to_owned(),
            revision: values.revision.clone(),
            tags: values.tags.clone(),
            definitions: definitions::objects()?,
            access: access::objects(values)?,
            configuration: configuration::objects(values)?,
            control: workload::objects(Component::Control, values)?,
            injector: workload::objects(Component::Injector, values)?,
            admission: admission::objects(values)?,
        })
    }

    /// All objects in the order of installation.
    pub fn objects(&self) -> impl DoubleEndedIterator<Item = &Object> {
        [
            &self.definitions,
            &self.access,
            &self.configuration,
            &self.control,
            &self.injector,
            &self.admission,
        ]
        .into_iter()
        .flatten()
    }
}

/// Objects as one YAML stream, each document begun by `---`.
///
/// # Errors
/// Only if an object cannot be written as YAML.
pub fn to_yaml<'a>(objects: impl IntoIterator<Item = &'a Object>) -> Result<String> {
    let mut text = String::new();
    for object in objects {
        text.push_str("---\n");
        text.push_str(&object.to_yaml()?);
    }
    Ok(text)
}

#[cfg(test)]
mod tests;
